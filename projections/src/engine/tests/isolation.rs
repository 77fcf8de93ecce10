//! The database itself keeps tenants apart: whoever forgets to say whose rows it means sees its
//! own. Each statement here forgets on purpose.

use super::*;
use crate::store::{Access, Connection, Sql};
use crate::temporary::on_postgres;

/// An engine whose tables hold something of two tenants.
struct World {
    place: Temporary,
    projections: Projections,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let place = Temporary::new(kind).await;
        let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
        let keyring = keyring().await;
        let mut history = History::new(log.clone(), &keyring).await;
        for number in 1..=2 {
            history.register(tenant(number), &component("web"), None).await;
        }
        let stream = Stream::Entity(EntityId(Uuid::from_u128(9)));
        history.raw(tenant(2), stream, "callboard.entity.exploded.v1", b"{}");
        let position = history.append().await;
        let projections = start(&place, &log, &keyring).await;
        visible(&projections, position).await;
        Self { place, projections }
    }

    /// How many rows of `table` each tenant has, as `connection` sees it.
    async fn seen(connection: &mut Connection, table: &str) -> Vec<(TenantId, u64)> {
        let text = format!("SELECT tenant, count(*) FROM {table} GROUP BY tenant ORDER BY tenant");
        let rows = Sql::new(&text).fetch(connection).await.unwrap();
        rows.iter().map(|it| (TenantId(it.uuid(0).unwrap()), it.count(1).unwrap())).collect()
    }

    /// What a read on behalf of `reader` sees of a table of `model`.
    async fn seen_by(&self, reader: TenantId, model: Model, table: &str) -> Vec<(TenantId, u64)> {
        let models = self.projections.models();
        let mut reader = models.set(model).readers.acquire(reader.0).await.unwrap();
        let seen = Self::seen(&mut reader, table).await;
        reader.finish();
        seen
    }

    async fn connect(&self, access: Access) -> Connection {
        let name = table_set::set_name(Model::Catalog, 1);
        database(&self.place).await.place(name).connect(access).await.unwrap()
    }
}

/// The table that a statement makes, if it has a column for the tenant.
fn table_of_tenants(statement: &str) -> Option<&str> {
    let text = statement.strip_prefix("CREATE TABLE ")?;
    text.contains("tenant UUID").then(|| text.split_whitespace().next()).flatten()
}

on_postgres! {
    a_read_that_forgets_its_tenant_sees_its_own_rows_only
    without_the_policy_it_sees_others
    whoever_reads_for_nobody_sees_nothing_and_writes_nothing
    every_table_with_a_tenant_is_guarded
}

async fn a_read_that_forgets_its_tenant_sees_its_own_rows_only(on: Kind) {
    let world = World::new(on).await;
    let models = world.projections.models();
    let (mut tables, mut foreign) = (0, 0);
    for model in Model::ALL {
        for table in model.schema().tables.iter().filter_map(|it| table_of_tenants(it)) {
            tables += 1;
            for reader in [tenant(1), tenant(2), tenant(3), TenantId::SYSTEM] {
                let seen = world.seen_by(reader, model, table).await;
                assert!(seen.iter().all(|it| it.0 == reader), "{reader} sees {seen:?} in {table}");
            }
            // The positive control: whoever writes sees that there is something to hide.
            let mut writer = models.set(model).writer().await;
            foreign += usize::from(World::seen(&mut writer, table).await.len() > 1);
        }
    }
    assert!(tables >= 20 && foreign >= 8, "{foreign} of {tables}");
    // Who waits for what is the operators' business.
    for reader in [tenant(1), tenant(2)] {
        assert_eq!(world.seen_by(reader, Model::Catalog, "parked").await, []);
    }
    let parked = world.seen_by(TenantId::SYSTEM, Model::Catalog, "parked").await;
    assert_eq!(parked, [(tenant(2), 1)]);
    world.projections.stop().await;
}

async fn without_the_policy_it_sees_others(on: Kind) {
    let world = World::new(on).await;
    let hidden = [(tenant(1), 1)];
    let seen = async || world.seen_by(tenant(1), Model::Catalog, "entities").await;
    assert_eq!(seen().await, hidden);
    let mut writer = world.connect(Access::Write).await;
    let disable = Sql::new("ALTER TABLE entities DISABLE ROW LEVEL SECURITY");
    disable.execute(&mut writer).await.unwrap();
    assert_eq!(seen().await, [(tenant(1), 1), (tenant(2), 1)]);
    world.projections.stop().await;
}

async fn whoever_reads_for_nobody_sees_nothing_and_writes_nothing(on: Kind) {
    let world = World::new(on).await;
    let mut reader = world.connect(Access::Read).await;
    assert_eq!(World::seen(&mut reader, "entities").await, []);
    let refused = Sql::new("DELETE FROM entities").execute(&mut reader).await.unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    Sql::new("SET default_transaction_read_only = off").execute(&mut reader).await.unwrap();
    for text in ["DELETE FROM entities", "SELECT * FROM checkpoints"] {
        let refused = Sql::new(text).execute(&mut reader).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }
    // Asked not to be shown less than all, the database says no rather than all.
    Sql::new("SET row_security = off").execute(&mut reader).await.unwrap();
    let refused = Sql::new("SELECT * FROM entities").fetch(&mut reader).await.err().unwrap();
    assert!(refused.to_string().contains("row-level security"), "{refused}");
    world.projections.stop().await;
}

/// The tables with a column for the tenant that the database does not guard.
async fn unguarded(connection: &mut Connection) -> Vec<String> {
    let text = "SELECT n.nspname || '.' || c.relname FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace AND starts_with(n.nspname, 'callboard_')
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
        WHERE c.relkind = 'r' AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND 2 = (
            SELECT count(*) FROM pg_policies p WHERE p.schemaname = n.nspname
            AND p.tablename = c.relname AND p.policyname IN ('reader', 'writer')))";
    let rows = Sql::new(text).fetch(connection).await.unwrap();
    rows.iter().map(|it| it.text(0).unwrap()).collect()
}

async fn every_table_with_a_tenant_is_guarded(on: Kind) {
    let world = World::new(on).await;
    let mut writer = world.connect(Access::Write).await;
    assert_eq!(unguarded(&mut writer).await, Vec::<String>::new());
    // The positive control.
    Sql::new("CREATE TABLE naked (tenant UUID)").execute(&mut writer).await.unwrap();
    assert_eq!(unguarded(&mut writer).await, ["callboard_catalog_v3_g1.naked"]);
    world.projections.stop().await;
}
