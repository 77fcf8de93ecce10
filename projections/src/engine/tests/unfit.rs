//! Whatever fails about an event of one tenant parks that tenant and nobody else; what passes parks
//! nobody.

use std::path::PathBuf;
use std::sync::Arc;

use domain::entity;
use domain::id::EntityUid;
use event_log::Position;
use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr, SqliteConnection};
use tempfile::TempDir;
use vault::{Root, SqliteVault};

use super::refusals::{World, names, parked, position_of};
use super::*;
use crate::engine::table_set::Halt;
use crate::testing::FATAL;
use crate::{Delay, ReadError};

/// A vault in a file, so that it can be damaged.
pub(super) struct Safe(TempDir);

impl Safe {
    pub(super) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("vault.db")
    }

    /// Its keys, of which none is in memory.
    pub(super) async fn keyring(&self) -> Keyring {
        let vault = Arc::new(SqliteVault::open(&self.path()).await.unwrap());
        let root = Root::from_hex(&"5a".repeat(32), "a test").unwrap();
        Keyring::open(vault, root).await.unwrap()
    }

    /// Damages the keys of the first tenant for that purpose.
    pub(super) async fn damage(&self, purpose: &str) {
        let tenant = tenant(1).0.simple();
        self.run("CREATE TABLE kept AS SELECT * FROM keys").await;
        self.run(&format!(
            "UPDATE keys SET wrapped = x'0101' WHERE tenant = x'{tenant}' AND purpose = '{purpose}'"
        ))
        .await;
    }

    async fn restore(&self) {
        self.run("DELETE FROM keys").await;
        self.run("INSERT INTO keys SELECT * FROM kept").await;
    }

    /// Has it fail whoever asks for a key.
    pub(super) async fn fail(&self) {
        self.run("ALTER TABLE keys RENAME TO elsewhere").await;
    }

    pub(super) async fn work(&self) {
        self.run("ALTER TABLE elsewhere RENAME TO keys").await;
    }

    async fn run(&self, text: &str) {
        let address = format!("sqlite://{}", self.path().display());
        let mut connection = SqliteConnection::connect(&address).await.unwrap();
        let text = AssertSqlSafe(text.to_owned()).into_sql_str();
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// Somebody about whom something is only in the vault's keeping.
pub(super) fn person(name: &str) -> serde_json::Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "User",
        "metadata": { "name": name },
        "spec": { "profile": { "displayName": "Jane", "email": "jane@example.com" } },
    })
}

/// Waits until the catalog cannot go on, and answers why.
pub(super) async fn halted(projections: &Projections) -> Halt {
    let mut progress = projections.models().set(Model::Catalog).progress();
    let halted = progress.wait_for(|it| it[0].stopped.is_some());
    let halted = tokio::time::timeout(PATIENCE, halted).await.unwrap().unwrap();
    halted[0].stopped.clone().unwrap()
}

/// What the second event of the first tenant is, which is between two others.
#[derive(Clone, Copy, Debug)]
enum Second {
    /// The fold asks for the key of a person.
    Personal,
    /// Whoever reads the event asks for the key of the tenant.
    Sealed,
    /// The fold panics.
    PanicsWhenFolded,
    /// Whoever reads the event panics.
    PanicsWhenRead,
}

impl Second {
    /// Has the first tenant do that, and the second something that is nothing out of the way.
    async fn register(self, world: &mut World) {
        world.register(1, &["before"]).await;
        match self {
            Self::Personal => {
                world.history.register(tenant(1), &person("jane"), None).await;
            }
            Self::Sealed => {
                let (id, descriptor) = world.history.stored(tenant(1), &component("sealed")).await;
                let (uid, digest) = (EntityUid(Uuid::from_u128(9)), Default::default());
                let event = entity::Event::Registered { uid, location: None, descriptor, digest };
                world.history.sealed(tenant(1), Stream::Entity(id), Event::Entity(event)).await;
            }
            Self::PanicsWhenFolded => world.register(1, &[FATAL]).await,
            Self::PanicsWhenRead => {
                let stream = Stream::Entity(EntityId(Uuid::from_u128(9)));
                let name = format!("callboard.entity.{FATAL}.v1");
                world.history.raw(tenant(1), stream, &name, b"{}");
            }
        }
        world.register(1, &["after"]).await;
        world.history.register(tenant(2), &person("joe"), None).await;
        world.register(2, &["web"]).await;
    }
}

on_each_kind! {
    a_damaged_key_parks_its_tenant_and_nobody_else
    a_panic_parks_its_tenant_and_nobody_else
    a_vault_that_does_not_answer_is_waited_for_and_parks_nobody
}

/// Has the first tenant parked at its second event, while tables are filled and after, and answers
/// what is then there.
async fn parked_at(on: Kind, second: Second, is_filled: bool, safe: &Safe) -> (World, Projections) {
    let mut world = World::with(on, safe.keyring().await).await;
    // Whoever fills the tables has no key in memory.
    world.keyring = safe.keyring().await;
    let before = if is_filled { Some(world.start().await) } else { None };
    second.register(&mut world).await;
    match second {
        Second::Personal => safe.damage("subject").await,
        Second::Sealed => safe.damage("tenant").await,
        Second::PanicsWhenFolded | Second::PanicsWhenRead => (),
    }
    let position = world.history.append().await;
    let projections = match before {
        Some(it) => it,
        None => world.start().await,
    };
    let models = visible(&projections, position).await;
    assert_eq!(names(&models, 1).await, ["before"], "{second:?}");
    assert_eq!(names(&models, 2).await, ["web", "joe"], "{second:?}");
    let status = projections.status().await.unwrap();
    assert!(status.iter().all(|it| it.partitions[0].stopped.is_none()), "{status:#?}");
    let of: Vec<_> = parked(&projections).await;
    let of: Vec<_> = of.iter().map(|it| (it.model, it.tenant, it.position)).collect();
    let position = position_of(world.log.as_ref(), 1, "2").await;
    assert_eq!(of, [(Model::Catalog, tenant(1), position)], "{second:?}");
    let shows = async |model, number, position: Position| {
        models.shows_tenant(model, tenant(number), Partition(0), position).await
    };
    for later in [position, position.next()] {
        let shown = shows(Model::Catalog, 1, later).await;
        let Err(ReadError::NotYetVisible(behind)) = shown else { panic!("{shown:?}") };
        assert_eq!(behind.events_behind, later.next().0 - position.0, "{second:?}");
        assert_eq!((behind.model, behind.delay), (Model::Catalog, Delay::Parked));
    }
    // What was before it is shown, and so is everything of others and in other models.
    shows(Model::Catalog, 1, Position(position.0 - 1)).await.unwrap();
    shows(Model::Catalog, 2, position.next()).await.unwrap();
    shows(Model::Audit, 1, position.next()).await.unwrap();
    (world, projections)
}

async fn a_damaged_key_parks_its_tenant_and_nobody_else(on: Kind) {
    for second in [Second::Personal, Second::Sealed] {
        for is_filled in [false, true] {
            let safe = Safe::new();
            let (_world, projections) = parked_at(on, second, is_filled, &safe).await;
            let parked = parked(&projections).await;
            assert!(parked[0].reason.contains("is damaged"), "{}", parked[0].reason);
            // Once the vault is restored nothing is missing.
            safe.restore().await;
            assert_eq!(projections.resume(Model::Catalog, tenant(1)).await.unwrap(), None);
            assert_eq!(names(&projections.models(), 1).await.len(), 3);
            projections.stop().await;
        }
    }
}

async fn a_panic_parks_its_tenant_and_nobody_else(on: Kind) {
    for second in [Second::PanicsWhenFolded, Second::PanicsWhenRead] {
        for is_filled in [false, true] {
            let (_world, projections) = parked_at(on, second, is_filled, &Safe::new()).await;
            let parked = parked(&projections).await;
            assert_eq!(parked[0].reason, "its fold panicked: the test wants it");
            projections.stop().await;
        }
    }
}

async fn a_vault_that_does_not_answer_is_waited_for_and_parks_nobody(on: Kind) {
    for second in [Second::Personal, Second::Sealed] {
        let safe = Safe::new();
        let mut world = World::with(on, safe.keyring().await).await;
        world.keyring = safe.keyring().await;
        second.register(&mut world).await;
        let position = world.history.append().await;
        safe.fail().await;
        let projections = world.start().await;
        let halt = halted(&projections).await;
        assert!(matches!(&halt, Halt::Passing(it) if it.contains("the vault failed")), "{halt:?}");
        assert_eq!(parked(&projections).await, []);
        safe.work().await;
        let models = visible(&projections, position).await;
        assert_eq!(names(&models, 1).await.len(), 3);
        assert_eq!(parked(&projections).await, []);
        projections.stop().await;
    }
}
