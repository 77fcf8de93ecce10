use std::sync::Arc;
use std::time::Duration;

use domain::id::{ActorId, EntityId, TenantId};
use domain::{Event, Principal, Stream, meter};
use event_log::{EventLog, MemoryLog, Partition};
use serde_json::json;
use uuid::Uuid;
use vault::Keyring;

use super::*;
use crate::audit::{self, AuditFilter};
use crate::catalog::entities;
use crate::catalog::{Filter, Selection};
use crate::engine::change::EntityFate;
use crate::engine::status::GenerationState;
use crate::page::Window;
use crate::temporary::{Kind, Temporary, on_each_kind};
use crate::testing::{History, actor, keyring, tenant};

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(240);

const READERS: crate::store::Bounds =
    crate::store::Bounds { connections_max: 1, time_max: PATIENCE };

fn settings(place: &Temporary) -> Settings {
    Settings { batch_max: 64, ..place.settings() }
}

async fn start(place: &Temporary, log: &Arc<dyn EventLog>, keyring: &Keyring) -> Projections {
    Projections::start(settings(place), log.clone(), keyring.clone()).await.unwrap()
}

/// What a worker needs that fills all partitions.
async fn tools(place: &Temporary, log: &Arc<dyn EventLog>, keyring: &Keyring) -> Tools {
    Tools {
        live: Arc::new(Live::open(&database(place).await).await.unwrap()),
        log: log.clone(),
        keyring: keyring.clone(),
        told: Told::nothing(log.partitions(), 16),
        batch_max: 64,
        share: Share::default(),
        back: Back::default(),
        guard: Guard::default(),
    }
}

async fn database(place: &Temporary) -> Database {
    Database::open(&place.tables()).await.unwrap()
}

fn member(tenant: TenantId) -> Principal {
    Principal::unchecked(tenant, actor(1))
}

fn component(name: &str) -> serde_json::Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": { "name": name },
        "spec": { "type": "service", "lifecycle": "production", "owner": "team-a" },
    })
}

/// Waits until every model has applied `position`.
async fn visible(projections: &Projections, position: event_log::Position) -> ReadModels {
    let models = projections.models();
    models.wait_for(&Model::ALL, Partition(0), position, PATIENCE).await.unwrap();
    models
}

async fn entities_of(models: &ReadModels, tenant: TenantId) -> u64 {
    let everything = Selection::matching(Filter::everything());
    entities::count(models, &member(tenant), &everything).await.unwrap()
}

on_each_kind! {
    what_is_appended_becomes_visible_to_its_tenant_alone
    a_restart_goes_on_where_it_stopped
    tables_of_another_log_are_refused_until_they_are_rebuilt
    a_log_that_lost_its_end_stops_the_worker
    two_workers_on_one_partition_apply_every_batch_once
    without_the_comparison_two_workers_count_twice
    an_event_that_cannot_be_applied_parks_its_tenant_and_nobody_else
    a_tenant_that_is_resumed_has_missed_nothing
    a_rebuild_under_load_never_shows_less_than_before
    waiting_in_vain_says_by_how_much
    an_operator_reads_no_tenants_catalog
}

async fn what_is_appended_becomes_visible_to_its_tenant_alone(on: Kind) {
    let place = Temporary::new(on).await;
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    let projections = start(&place, &log, &keyring).await;
    let mut changes = projections.changes();
    history.register(tenant(1), &component("web"), None).await;
    let position = history.append().await;
    let models = visible(&projections, position).await;
    let found = entities::find(&models, &member(tenant(1)), "Component:default/Web").await.unwrap();
    assert_eq!(found.unwrap().name, "web");
    let foreign = entities::find(&models, &member(tenant(2)), "component:default/web").await;
    assert_eq!(foreign.unwrap(), None);
    let change = changes.recv().await.unwrap();
    assert_eq!((change.tenant, change.position, change.sequence), (tenant(1), position, 1));
    assert_eq!(change.entities[0].reference, "component:default/web");
    assert_eq!(change.entities[0].fate, EntityFate::Registered);
    projections.stop().await;
}

async fn a_restart_goes_on_where_it_stopped(on: Kind) {
    let place = Temporary::new(on).await;
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    for round in 0..3 {
        let projections = start(&place, &log, &keyring).await;
        for number in 0..100 {
            history.register(tenant(1), &component(&format!("c{round}-{number}")), None).await;
        }
        let position = history.append().await;
        let models = visible(&projections, position).await;
        assert_eq!(entities_of(&models, tenant(1)).await, (round + 1) * 100);
        projections.stop().await;
    }
}

async fn tables_of_another_log_are_refused_until_they_are_rebuilt(on: Kind) {
    let place = Temporary::new(on).await;
    let keyring = keyring().await;
    for (round, refused) in [(1, None), (2, Some("incarnation"))] {
        let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
        let mut history = History::new(log.clone(), &keyring).await;
        history.register(tenant(1), &component(&format!("c{round}")), None).await;
        let position = history.append().await;
        let projections = start(&place, &log, &keyring).await;
        if let Some(reason) = refused {
            for model in Model::ALL {
                let mut progress = projections.models().set(model).progress();
                let stopped = progress.wait_for(|it| it[0].stopped.is_some()).await.unwrap();
                assert!(stopped[0].stopped.as_ref().unwrap().reason().contains(reason));
            }
            let status = projections.status().await.unwrap();
            assert!(status.iter().all(|it| it.partitions[0].stopped.is_some()));
            for model in Model::ALL {
                projections.rebuild(model).await.unwrap();
            }
        }
        let models = visible(&projections, position).await;
        let reference = format!("component:default/c{round}");
        let found = entities::find(&models, &member(tenant(1)), &reference).await.unwrap();
        assert!(found.is_some());
        projections.stop().await;
    }
}

async fn a_log_that_lost_its_end_stops_the_worker(on: Kind) {
    let place = Temporary::new(on).await;
    let keyring = keyring().await;
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let mut history = History::new(log.clone(), &keyring).await;
    history.register(tenant(1), &component("web"), None).await;
    let position = history.append().await;
    let projections = start(&place, &log, &keyring).await;
    visible(&projections, position).await;
    projections.stop().await;
    for (sql, reason) in [
        ("UPDATE checkpoints SET event = 'evt_other'", "another one there"),
        ("UPDATE checkpoints SET position = 1000", "the log ends at"),
    ] {
        let tables = database(&place).await.place(table_set::set_name(Model::Audit, 1));
        let mut tables = tables.connect(crate::store::Access::Write).await.unwrap();
        crate::store::Sql::new(sql).execute(&mut tables).await.unwrap();
        drop(tables);
        let projections = start(&place, &log, &keyring).await;
        let mut progress = projections.models().set(Model::Audit).progress();
        let stopped = progress.wait_for(|it| it[0].stopped.is_some()).await.unwrap();
        let said = stopped[0].stopped.clone().unwrap().reason();
        drop(stopped);
        assert!(said.contains(reason), "{said}");
        projections.stop().await;
    }
}

/// Two engines on one place, fed 10,000 batches; returns the commands the analytics counted.
async fn count_with_two_workers(on: Kind, guard: Guard, batches: u64) -> u64 {
    let place = Temporary::new(on).await;
    let keyring = keyring().await;
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let mut history = History::new(log.clone(), &keyring).await;
    for number in 0..batches {
        let id = domain::id::MeterId(Uuid::from_u128(number.into()));
        history.event(tenant(1), Stream::Meter(id), Event::Meter(meter::Event::Archived {}));
        if history.pending() == 1_000 {
            history.append().await;
        }
    }
    let log_end = log.end(Partition(0)).await.unwrap();
    let database = database(&place).await;
    let set = |generation| {
        let log = log.clone();
        let database = database.clone();
        async move {
            table_set::TableSet::open(
                &database,
                Model::Analytics,
                generation,
                log.as_ref(),
                READERS,
            )
            .await
            .map(Arc::new)
            .unwrap()
        }
    };
    // As if it had been filled before: what is to be seen is two that follow.
    let filled = set(1).await;
    let sql = crate::store::Sql::new("UPDATE checkpoints SET filled = 1");
    sql.execute(&mut *filled.writer().await).await.unwrap();
    drop(filled);
    // The same file, opened twice, each with a connection and a worker of its own.
    let sets = [set(1).await, set(1).await];
    let tools = Tools { batch_max: 1, guard, ..tools(&place, &log, &keyring).await };
    let workers = sets.each_ref().map(|it| crew::Workers::start(it, &tools));
    for set in &sets {
        let mut progress = set.progress();
        let reached = |it: &Vec<table_set::Progress>| {
            it[0].applied.as_ref().is_some_and(|it| it.position.next() >= log_end)
        };
        tokio::time::timeout(PATIENCE, progress.wait_for(reached)).await.unwrap().unwrap();
    }
    for it in workers {
        it.stop().await;
    }
    let mut reader = sets[0].readers.acquire(tenant(1).0).await.unwrap();
    let count = crate::store::Sql::new("SELECT CAST(sum(commands) AS BIGINT) FROM days");
    count.fetch_optional(&mut reader).await.unwrap().unwrap().count(0).unwrap()
}

async fn two_workers_on_one_partition_apply_every_batch_once(on: Kind) {
    assert_eq!(count_with_two_workers(on, Guard::CompareAndSet, 10_000).await, 10_000);
}

async fn without_the_comparison_two_workers_count_twice(on: Kind) {
    assert!(count_with_two_workers(on, Guard::SetOnly, 1_000).await > 1_000);
}

async fn an_event_that_cannot_be_applied_parks_its_tenant_and_nobody_else(on: Kind) {
    let place = Temporary::new(on).await;
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    history.register(tenant(1), &component("before"), None).await;
    let stream = Stream::Entity(EntityId(Uuid::from_u128(9)));
    history.raw(tenant(1), stream, "callboard.entity.exploded.v1", b"{}");
    history.register(tenant(1), &component("after"), None).await;
    history.register(tenant(2), &component("other"), None).await;
    let first = history.append().await;
    let projections = start(&place, &log, &keyring).await;
    let models = visible(&projections, first).await;
    assert_eq!(entities_of(&models, tenant(1)).await, 1);
    assert_eq!(entities_of(&models, tenant(2)).await, 1);

    history.register(tenant(1), &component("later"), None).await;
    history.register(tenant(2), &component("too"), None).await;
    let last = history.append().await;
    visible(&projections, last).await;
    assert_eq!(entities_of(&models, tenant(1)).await, 1);
    assert_eq!(entities_of(&models, tenant(2)).await, 2);

    let status = projections.status().await.unwrap();
    let parked: Vec<_> = status.into_iter().flat_map(|it| it.parked).collect();
    assert_eq!(parked.len(), 1);
    assert_eq!((parked[0].model, parked[0].tenant), (Model::Catalog, tenant(1)));
    assert!(parked[0].reason.contains("exploded"), "{}", parked[0].reason);

    let stuck = projections.resume(Model::Catalog, tenant(1)).await.unwrap();
    assert_eq!(stuck.as_ref(), parked.first());
    let other = projections.resume(Model::Catalog, tenant(2)).await;
    assert!(matches!(other, Err(EngineError::NotParked { .. })));
    projections.stop().await;
}

async fn a_tenant_that_is_resumed_has_missed_nothing(on: Kind) {
    let place = Temporary::new(on).await;
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    for number in 0..300 {
        for it in 1..=2 {
            history.register(tenant(it), &component(&format!("c{number}")), None).await;
        }
    }
    let position = history.append().await;
    let projections = start(&place, &log, &keyring).await;
    let models = visible(&projections, position).await;
    // As if the very first event of the tenant had not been applied, nor any after it.
    let set = models.set(Model::Catalog);
    let mut writer = set.writer().await;
    for sql in [
        "DELETE FROM entities WHERE tenant = $1",
        "DELETE FROM versions WHERE tenant = $1",
        "DELETE FROM search WHERE tenant = $1",
        "DELETE FROM words WHERE tenant = $1",
        "DELETE FROM relations WHERE tenant = $1",
        "INSERT INTO parked (tenant, partition, position, at, reason) VALUES ($1, 0, 0, 0, '')",
    ] {
        let mut sql = crate::store::Sql::new(sql);
        sql.add(tenant(1).0.into());
        sql.execute(&mut writer).await.unwrap();
    }
    drop(writer);
    assert_eq!(entities_of(&models, tenant(1)).await, 0);
    let mut changes = projections.changes();
    assert_eq!(projections.resume(Model::Catalog, tenant(1)).await.unwrap(), None);
    assert_eq!(entities_of(&models, tenant(1)).await, 300);
    assert_eq!(entities_of(&models, tenant(2)).await, 300);
    assert_eq!(changes.recv().await.unwrap().tenant, tenant(1));
    assert!(projections.status().await.unwrap().iter().all(|it| it.parked.is_empty()));
    let again = projections.resume(Model::Catalog, tenant(1)).await;
    assert!(matches!(again, Err(EngineError::NotParked { .. })));
    projections.stop().await;
}

async fn a_rebuild_under_load_never_shows_less_than_before(on: Kind) {
    let place = Temporary::new(on).await;
    let log = Arc::new(MemoryLog::new(2)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    let projections = start(&place, &log, &keyring).await;
    history.register(tenant(1), &component("first"), None).await;
    let mut position = history.append().await;
    visible(&projections, position).await;
    let pinned = projections.models();

    let mut appended = 1;
    for model in [Model::Catalog, Model::Audit, Model::Catalog] {
        let rebuild = projections.rebuild(model);
        tokio::pin!(rebuild);
        let mut seen = 0;
        loop {
            let done = tokio::select! {
                biased;
                done = &mut rebuild => Some(done),
                () = tokio::task::yield_now() => None,
            };
            history.register(tenant(1), &component(&format!("c{appended}")), None).await;
            position = history.append().await;
            appended += 1;
            let models = projections.models();
            let now = entities_of(&models, tenant(1)).await;
            assert!(now >= seen, "{now} after {seen}");
            seen = now;
            if let Some(done) = done {
                done.unwrap();
                break;
            }
        }
    }
    let models = visible(&projections, position).await;
    assert_eq!(entities_of(&models, tenant(1)).await, appended);
    let filter = AuditFilter::default();
    assert_eq!(audit::count(&models, &member(tenant(1)), &filter).await.unwrap(), appended);
    let generations: Vec<_> = projections.status().await.unwrap();
    let generations: Vec<_> = generations.iter().map(|it| (it.generation, it.state)).collect();
    let live = |it| (it, GenerationState::Live);
    assert_eq!(generations, [live(3), live(1), live(1), live(1), live(2)]);

    // What a request holds stays readable, and nobody waits for it to show more.
    assert!(entities_of(&pinned, tenant(1)).await > 0);
    assert!(pinned.position(Model::Catalog, Partition(0)) < Some(position));
    assert_eq!(pinned.shown_upto(Partition(0)), position.next());
    // What nobody holds is gone.
    let database = database(&place).await;
    let exists = async |generation| {
        database.place(table_set::set_name(Model::Catalog, generation)).exists().await.unwrap()
    };
    let gone = async |generation| {
        while exists(generation).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone(2)).await.unwrap();
    assert!(exists(1).await);
    drop(pinned);
    tokio::time::timeout(PATIENCE, gone(1)).await.unwrap();
    projections.stop().await;

    let projections = start(&place, &log, &keyring).await;
    assert_eq!(entities_of(&projections.models(), tenant(1)).await, appended);
    projections.stop().await;
}

async fn waiting_in_vain_says_by_how_much(on: Kind) {
    let place = Temporary::new(on).await;
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let projections = start(&place, &log, &keyring).await;
    let models = projections.models();
    let nothing = Duration::ZERO;
    let behind = models.wait_for(&[Model::Audit], Partition(0), event_log::Position(9), nothing);
    let behind = behind.await.unwrap_err();
    assert_eq!((behind.model, behind.events_behind), (Model::Audit, 10));
    projections.stop().await;
}

async fn an_operator_reads_no_tenants_catalog(on: Kind) {
    let place = Temporary::new(on).await;
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let projections = start(&place, &log, &keyring).await;
    let operator = Principal::unchecked(TenantId::SYSTEM, ActorId::SYSTEM);
    let everything = Selection::matching(Filter::everything());
    let models = projections.models();
    let denied = entities::list(&models, &operator, &everything, &Window::first(1)).await;
    assert!(matches!(denied, Err(crate::ReadError::Denied(_))));
    projections.stop().await;
}

mod exchanging;
mod filling;
mod isolation;
mod listening;
mod losses;
mod moods;
mod opening;
mod pausing;
mod processes;
mod refusals;
mod silent;
mod standing_in;
mod taken_out;
mod unfit;
mod upkeep;
