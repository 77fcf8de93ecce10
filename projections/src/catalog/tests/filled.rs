//! The tables that are searched, derived on the way and at the end.

use async_trait::async_trait;
use event_log::{ClaimError, LogError, Membership, Owners, Reader, Recorded, Snapshot, Writer};
use tokio::sync::watch;

use super::*;
use crate::ReadError;
use crate::catalog::relations::{self, Part};
use crate::store::Sql;

/// Every row of the tables that are searched.
async fn searched(models: &ReadModels) -> Vec<String> {
    let mut all = Vec::new();
    let mut writer = models.set(Model::Catalog).writer().await;
    for (table, columns) in [
        ("search", "key, known, value, reference, leads, coalesce(original,'-')"),
        ("words", "word, reference, weight, '', '', ''"),
        ("relations", "source, kind_key, target, stated_by, kind, ''"),
    ] {
        let columns = columns.replace(", ", " || '/' || ");
        let sql = Sql::new(&format!("SELECT tenant, {columns} FROM {table}"));
        for row in sql.fetch(&mut writer).await.unwrap() {
            all.push(format!("{table}: {} {}", row.uuid(0).unwrap(), row.text(1).unwrap()));
        }
    }
    all.sort_unstable();
    all
}

on_each_kind! {
    what_is_searched_is_the_same_derived_event_by_event_and_at_the_end
    nothing_is_read_from_tables_that_were_never_complete
}

async fn what_is_searched_is_the_same_derived_event_by_event_and_at_the_end(on: Kind) {
    let mut world = World::new(on).await;
    let log = world.log.clone();
    let place = Temporary::new(on).await;
    let settings = Settings { batch_max: 1, ..place.settings() };
    // It is complete before anything happens, so it follows event by event.
    let following = Projections::start(settings, log, world.keyring.clone()).await.unwrap();
    zoo(&mut world.history).await;
    for version in ["one", "two"] {
        let spec = json!({ "type": version, "lifecycle": "x", "owner": "team-b" });
        world.history.update(tenant(1), &entity("Component", "web", &spec), None).await;
    }
    let gone = world.history.stored(tenant(1), &entity("API", "orders", &json!({}))).await.0;
    world.history.deregister(tenant(1), gone);
    let spec = json!({ "type": "x", "owner": "team-c" });
    world.history.register(tenant(2), &entity("Resource", "web", &spec), None).await;
    let position = world.history.append().await;
    let (filled, models) = world.follow(position, 8_192).await;
    let followed = following.models();
    let all = [Model::Catalog];
    followed.wait_for(&all, Partition(0), position, PATIENCE).await.unwrap();
    let (followed, at_once) = (searched(&followed).await, searched(&models).await);
    assert!(followed.iter().any(|it| it.contains("team-c")), "{followed:#?}");
    assert!(!followed.iter().any(|it| it.contains("orders/")), "{followed:#?}");
    assert_eq!(followed, at_once);

    // A catalog that was filled is followed in turn, from what was derived at the end.
    let spec = json!({ "type": "three", "lifecycle": "y", "owner": "team-a" });
    world.history.update(tenant(1), &entity("Component", "web", &spec), None).await;
    let position = world.history.append().await;
    let (followed, models) = (following.models(), filled.models());
    for it in [&followed, &models] {
        it.wait_for(&all, Partition(0), position, PATIENCE).await.unwrap();
    }
    let (followed, filled_first) = (searched(&followed).await, searched(&models).await);
    assert!(followed.iter().any(|it| it.contains("/three/")), "{followed:#?}");
    assert_eq!(followed, filled_first);
    filled.stop().await;
    following.stop().await;
}

/// A log whose second partition is not to be read.
#[derive(Debug)]
struct Impeded {
    log: Arc<dyn EventLog>,
    impediment: Impediment,
}

#[derive(Clone, Copy, Debug)]
enum Impediment {
    Hangs,
    IsDamaged,
}

#[derive(Debug)]
struct Hanging;

#[async_trait]
impl Reader for Hanging {
    async fn next(&mut self, _records_max: usize) -> Result<Vec<Recorded>, LogError> {
        std::future::pending().await
    }
}

#[async_trait]
impl EventLog for Impeded {
    fn incarnation(&self) -> &str {
        self.log.incarnation()
    }
    fn partitions(&self) -> u32 {
        2
    }
    async fn claim(&self, partition: Partition) -> Result<Box<dyn Writer>, ClaimError> {
        self.log.claim(partition).await
    }
    async fn read(&self, at: Partition, from: Position) -> Result<Box<dyn Reader>, LogError> {
        match (at, self.impediment) {
            (Partition(0), _) => self.log.read(at, from).await,
            (_, Impediment::Hangs) => Ok(Box::new(Hanging)),
            (_, Impediment::IsDamaged) => {
                Err(LogError::Damaged { place: "here".to_owned(), reason: "a test".to_owned() })
            }
        }
    }
    async fn end(&self, partition: Partition) -> Result<Position, LogError> {
        match partition {
            Partition(0) => self.log.end(partition).await,
            _ => Ok(Position(5)),
        }
    }
    async fn snapshot(
        &self,
        partition: Partition,
        version: u32,
    ) -> Result<Option<Snapshot>, LogError> {
        self.log.snapshot(partition, version).await
    }
    async fn join(&self, says: &str) -> Result<Box<dyn Membership>, LogError> {
        self.log.join(says).await
    }
    fn owners(&self) -> watch::Receiver<Owners> {
        self.log.owners()
    }
}

async fn nothing_is_read_from_tables_that_were_never_complete(on: Kind) {
    for impediment in [Impediment::Hangs, Impediment::IsDamaged] {
        let mut world = World::new(on).await;
        zoo(&mut world.history).await;
        let position = world.history.append().await;
        world.log = Arc::new(Impeded { log: world.log.clone(), impediment });
        let settings = world.place.settings();
        let (log, keyring) = (world.log.clone(), world.keyring.clone());
        let projections = Projections::start(settings, log, keyring).await.unwrap();
        let models = projections.models();
        let applied = async {
            let mut progress = models.set(Model::Catalog).progress();
            let has = |it: &crate::engine::table_set::Progress| {
                it.applied.as_ref().is_some_and(|it| it.position >= position)
            };
            progress.wait_for(|all| has(&all[0])).await.map(drop)
        };
        tokio::time::timeout(PATIENCE, applied).await.unwrap().unwrap();

        let references = ["component:default/web".to_owned()];
        let owned = Part::first(9, vec!["ownedBy".to_owned()]);
        let owners = async || {
            relations::of_many(&models, &member(), &references, &owned)
                .await
                .map(|it| it[0].clone())
        };
        let moment = std::time::Duration::from_millis(50);
        let wait = async |patience| {
            models.wait_for(&[Model::Catalog], Partition(0), position, patience).await
        };
        match impediment {
            // The entity is there already; whose it is, is not.
            Impediment::Hangs => {
                let refused = owners().await.unwrap_err();
                assert!(matches!(refused, ReadError::NotYetVisible(it) if it.events_behind == 5));
                assert_eq!(wait(moment).await.unwrap_err().model, Model::Catalog);
                // Nor does anybody wait for tables that are being filled.
                for partition in [Partition(0), Partition(1)] {
                    assert_eq!(models.shown_upto(partition), Position(u64::MAX));
                    models.wait_for_followers(partition, position, PATIENCE).await;
                }
            }
            // Who can be read does not wait for who cannot.
            Impediment::IsDamaged => {
                wait(PATIENCE).await.unwrap();
                assert_eq!(owners().await.unwrap().edges.len(), 1);
                let shown = models.wait_for(&Model::ALL, Partition(0), position, PATIENCE);
                shown.await.unwrap();
                assert_eq!(models.shown_upto(Partition(0)), position.next());
                let never = Position(1 << 40);
                assert_eq!(models.behind(Partition(0), never), Model::ALL);
                // Nobody waits where they have stopped.
                assert_eq!(models.shown_upto(Partition(1)), Position(u64::MAX));
                assert_eq!(models.behind(Partition(1), never), Model::ALL);
            }
        }
        projections.stop().await;
    }
}
