//! What the database refuses of one tenant stops nobody else, wherever it is refused.

use super::*;
use crate::engine::table_set::TableSet;
use crate::store::Sql;
use crate::testing::noise;

on_each_kind! {
    what_is_refused_parks_its_tenant_at_that_event_and_nobody_else
    whoever_is_resumed_gets_as_far_as_the_database_lets_it
    what_is_refused_while_tables_are_filled_parks_its_tenant_alone
    what_is_refused_when_tables_become_searchable_parks_its_tenant_alone
    a_name_that_is_too_long_parks_its_tenant_alone
}

mod indexes {
    use super::what_no_index_of_postgresql_holds_parks_its_tenant_alone;

    crate::temporary::on_postgres! {
        what_no_index_of_postgresql_holds_parks_its_tenant_alone
    }
}

/// Has the database refuse a tenant's second row of a table that satisfies `condition`.
pub(super) async fn refuse_second(set: &TableSet, table: &str, condition: &str) {
    let text = format!("CREATE UNIQUE INDEX second ON {table} (tenant) WHERE {condition}");
    Sql::new(&text).execute(&mut *set.writer().await).await.unwrap();
}

const POISON: &str = "name IN ('poison-1', 'poison-2', 'poison-3')";

/// A log of one partition with one writer, and a place for tables.
pub(super) struct World {
    pub(super) place: Temporary,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) keyring: Keyring,
    pub(super) history: History,
}

impl World {
    pub(super) async fn new(on: Kind) -> Self {
        Self::with(on, keyring().await).await
    }

    pub(super) async fn with(on: Kind, keyring: Keyring) -> Self {
        let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
        let history = History::new(log.clone(), &keyring).await;
        Self { place: Temporary::new(on).await, log, keyring, history }
    }

    pub(super) async fn start(&self) -> Projections {
        start(&self.place, &self.log, &self.keyring).await
    }

    pub(super) async fn register(&mut self, of: u128, names: &[&str]) {
        for it in names {
            self.history.register(tenant(of), &component(it), None).await;
        }
    }

    /// Appends what three tenants do at the same time; the first and the third are refused their
    /// second poison.
    pub(super) async fn append_poison(&mut self) -> event_log::Position {
        for round in 1..=3 {
            let (poison, after) = (format!("poison-{round}"), format!("after-{round}"));
            self.register(1, &[&poison, &after]).await;
            self.register(2, &[&after]).await;
            let third = if round == 1 { after.clone() } else { poison };
            self.register(3, &[&third, &format!("more-{round}")]).await;
        }
        self.history.append().await
    }

    /// A set of tables beside every other.
    pub(super) async fn table_set(&self, model: Model) -> Arc<TableSet> {
        let database = database(&self.place).await;
        let set = TableSet::open(&database, model, 1, self.log.as_ref(), READERS);
        Arc::new(set.await.unwrap())
    }

    /// Fills `set` as far as the log goes.
    pub(super) async fn fill(&self, set: &Arc<TableSet>) {
        let tools = tools(&self.place, &self.log, &self.keyring).await;
        let end = self.log.end(Partition(0)).await.unwrap();
        let workers = crew::Workers::start(set, &tools);
        let mut progress = set.progress();
        let filled = progress.wait_for(|all| {
            let place = all[0].applied.as_ref();
            set.stage() == checkpoint::Stage::Filled
                && place.is_some_and(|it| it.position.next() >= end)
        });
        tokio::time::timeout(PATIENCE, filled).await.unwrap().unwrap();
        workers.stop().await;
    }
}

/// The names of a tenant's entities, in order.
pub(super) async fn names(models: &ReadModels, of: u128) -> Vec<String> {
    let everything = Selection::matching(Filter::everything());
    let page = entities::list(models, &member(tenant(of)), &everything, &Window::first(100)).await;
    page.unwrap().into_nodes().map(|it| it.name).collect()
}

pub(super) async fn parked(projections: &Projections) -> Vec<ParkedTenant> {
    projections.status().await.unwrap().into_iter().flat_map(|it| it.parked).collect()
}

/// The position of the n-th event of a tenant, from 1.
pub(super) async fn position_of(
    log: &dyn EventLog,
    of: u128,
    sequence: &str,
) -> event_log::Position {
    let mut reader = log.read(Partition(0), event_log::Position::START).await.unwrap();
    loop {
        for it in reader.next(1_000).await.unwrap() {
            let tenant_of = it.record.attribute(event_log::Attribute::Tenant);
            let is_it = it.record.attribute(event_log::Attribute::Sequence) == sequence;
            if is_it && tenant_of == tenant(of).to_string() {
                return it.position;
            }
        }
    }
}

async fn what_is_refused_parks_its_tenant_at_that_event_and_nobody_else(on: Kind) {
    let mut world = World::new(on).await;
    let projections = world.start().await;
    refuse_second(projections.models().set(Model::Catalog), "entities", POISON).await;
    world.append_poison().await;
    world.register(1, &["late"]).await;
    world.register(2, &["late"]).await;
    let position = world.history.append().await;
    let models = visible(&projections, position).await;
    assert_eq!(names(&models, 1).await, ["after-1", "poison-1"]);
    assert_eq!(names(&models, 2).await, ["after-1", "after-2", "after-3", "late"]);
    assert_eq!(names(&models, 3).await, ["after-1", "more-1", "more-2", "poison-2"]);
    let parked = parked(&projections).await;
    let of: Vec<_> = parked.iter().map(|it| (it.model, it.tenant, it.position)).collect();
    let first = position_of(world.log.as_ref(), 1, "3").await;
    let third = position_of(world.log.as_ref(), 3, "5").await;
    assert_eq!(of, [(Model::Catalog, tenant(1), first), (Model::Catalog, tenant(3), third)]);
    for it in &parked {
        let code = if on == Kind::Sqlite { "(SQLite 2067)" } else { "(SQLSTATE 23505)" };
        let said = format!("the database refused it: a row that breaks a constraint {code}");
        assert_eq!(it.reason, said);
    }
    let status = projections.status().await.unwrap();
    assert!(status.iter().all(|it| it.partitions[0].stopped.is_none()));
    projections.stop().await;
}

async fn whoever_is_resumed_gets_as_far_as_the_database_lets_it(on: Kind) {
    let mut world = World::new(on).await;
    let projections = world.start().await;
    refuse_second(projections.models().set(Model::Catalog), "entities", POISON).await;
    let position = world.append_poison().await;
    let models = visible(&projections, position).await;
    let mend = "DROP INDEX second";
    Sql::new(mend).execute(&mut *models.set(Model::Catalog).writer().await).await.unwrap();
    refuse_second(models.set(Model::Catalog), "entities", "name IN ('poison-2', 'poison-3')").await;
    // One event further, and all the way.
    let stuck = projections.resume(Model::Catalog, tenant(1)).await.unwrap().unwrap();
    assert_eq!(stuck.position, position_of(world.log.as_ref(), 1, "5").await);
    assert_eq!(names(&models, 1).await, ["after-1", "after-2", "poison-1", "poison-2"]);
    Sql::new(mend).execute(&mut *models.set(Model::Catalog).writer().await).await.unwrap();
    for it in [1, 3] {
        assert_eq!(projections.resume(Model::Catalog, tenant(it)).await.unwrap(), None);
        assert_eq!(names(&models, it).await.len(), 6);
    }
    assert_eq!(parked(&projections).await, []);
    projections.stop().await;
}

async fn what_is_refused_while_tables_are_filled_parks_its_tenant_alone(on: Kind) {
    let mut world = World::new(on).await;
    world.append_poison().await;
    let set = world.table_set(Model::Catalog).await;
    refuse_second(&set, "entities", POISON).await;
    world.fill(&set).await;
    let parked = set.parked().await.unwrap();
    let of: Vec<_> = parked.iter().map(|it| it.tenant).collect();
    assert_eq!(of, [tenant(1), tenant(3)]);
    assert_eq!(parked[0].position, position_of(world.log.as_ref(), 1, "3").await);
}

async fn what_is_refused_when_tables_become_searchable_parks_its_tenant_alone(on: Kind) {
    let mut world = World::new(on).await;
    world.append_poison().await;
    let set = world.table_set(Model::Catalog).await;
    let poison = "key = 'metadata.name' AND value IN ('poison-1', 'poison-2', 'poison-3')";
    refuse_second(&set, "search", poison).await;
    world.fill(&set).await;
    let parked = set.parked().await.unwrap();
    let of: Vec<_> = parked.iter().map(|it| (it.tenant, it.position)).collect();
    // It is known which event it was, and everything before it is there.
    let first = position_of(world.log.as_ref(), 1, "3").await;
    let third = position_of(world.log.as_ref(), 3, "5").await;
    assert_eq!(of, [(tenant(1), first), (tenant(3), third)]);
    for (table, key) in [
        ("entities", "name"),
        ("search", "value"),
        ("words", "word"),
        ("relations", "source"),
        ("versions", "descriptor"),
    ] {
        for (of, count) in [(1, 2), (2, 3), (3, 4)] {
            let condition = match table {
                "search" => "key = 'metadata.name'",
                "words" => "word IN ('after', 'poison', 'more')",
                "relations" => "kind = 'ownedBy'",
                _ => "1 = 1",
            };
            let text = if table == "words" { "DISTINCT reference" } else { key };
            let mut sql = Sql::new(&format!(
                "SELECT count({text}) FROM {table} WHERE {condition} AND tenant = "
            ));
            sql.bind(tenant(of).0);
            let found = sql.fetch_optional(&mut *set.writer().await).await.unwrap().unwrap();
            assert_eq!(found.integer(0).unwrap(), count, "{table} of {of}");
        }
    }
}

async fn a_name_that_is_too_long_parks_its_tenant_alone(on: Kind) {
    let mut world = World::new(on).await;
    let stream = Stream::Entity(EntityId(Uuid::from_u128(9)));
    for name in [
        format!("callboard.{}.made.v1", noise(3_000)),
        format!("callboard.entity.{}", noise(3_000)),
    ] {
        let of = 1 + world.history.pending() as u128;
        world.history.raw(tenant(of), stream, &name, b"{}");
    }
    world.register(3, &["web"]).await;
    let position = world.history.append().await;
    let projections = world.start().await;
    let models = visible(&projections, position).await;
    assert_eq!(names(&models, 3).await, ["web"]);
    let parked = parked(&projections).await;
    let of: Vec<_> = parked.iter().map(|it| (it.model, it.tenant)).collect();
    let both = |it| [(it, tenant(1)), (it, tenant(2))];
    let catalog = [(Model::Catalog, tenant(2))];
    let expected =
        [&catalog[..], &both(Model::Billing), &both(Model::Analytics), &both(Model::Audit)]
            .concat();
    assert_eq!(of, expected);
    let status = projections.status().await.unwrap();
    assert!(status.iter().all(|it| it.complete), "{status:#?}");
    projections.stop().await;
}

/// No door lets such a name in; who wrote the log did.
async fn what_no_index_of_postgresql_holds_parks_its_tenant_alone(on: Kind) {
    // While the tables are filled, and after.
    for is_filled in [false, true] {
        let mut world = World::new(on).await;
        let before = if is_filled { Some(world.start().await) } else { None };
        world.register(1, &["before", &noise(4_096), "after"]).await;
        world.register(2, &["web"]).await;
        let position = world.history.append().await;
        let projections = match before {
            Some(it) => it,
            None => world.start().await,
        };
        let models = visible(&projections, position).await;
        assert_eq!(names(&models, 1).await, ["before"]);
        assert_eq!(names(&models, 2).await, ["web"]);
        let parked = parked(&projections).await;
        assert_eq!(parked.len(), 1);
        let said = "more than it has room for in one place (SQLSTATE 54000)";
        assert!(parked[0].reason.ends_with(said), "{}", parked[0].reason);
        projections.stop().await;
    }
}
