//! What listeners are told of in a process that does not write it.

use std::collections::BTreeSet;

use super::processes::{Process, World};
use super::unfit::{Safe, person};
use super::*;
use crate::temporary::on_postgres;

/// What one listener was told, by tenant.
struct Heard {
    changes: broadcast::Receiver<Change>,
    told: Vec<(TenantId, u64, String, EntityFate)>,
}

impl Heard {
    fn by(process: &Process) -> Self {
        Self { changes: process.projections.changes(), told: Vec::new() }
    }

    /// Listens until it was told of this; each entity can be seen as it is told of.
    async fn until(&mut self, process: &Process, reference: &str, fate: EntityFate) {
        let waiting = async {
            while !self.told.iter().any(|it| it.2 == reference && it.3 == fate) {
                let change = self.changes.recv().await.unwrap();
                for it in change.entities {
                    assert_eq!(it.fate != EntityFate::Deregistered, {
                        let models = process.projections.models();
                        let member = member(change.tenant);
                        entities::find(&models, &member, &it.reference).await.unwrap().is_some()
                    });
                    self.told.push((change.tenant, it.sequence, it.reference, it.fate));
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("not told of {reference}: {:?}", self.told));
    }

    /// Whether each change of a tenant was told once, in order.
    fn is_in_order(&self) -> bool {
        let of = |tenant| self.told.iter().filter(move |it| it.0 == tenant).map(|it| it.1);
        [1, 2].into_iter().all(|it| of(tenant(it)).is_sorted_by(|one, next| one < next))
    }

    fn references(&self) -> BTreeSet<&str> {
        self.told.iter().map(|it| it.2.as_str()).collect()
    }
}

on_postgres! {
    whoever_writes_nothing_tells_the_same
    without_reading_the_log_again_nothing_is_told
    nothing_is_lost_while_partitions_and_generations_change
    what_was_there_before_anybody_listened_is_not_told
    what_a_resumed_tenant_missed_is_told_elsewhere_too
    a_name_that_cannot_be_opened_keeps_nobody_else_from_being_told
}

async fn whoever_writes_nothing_tells_the_same(on: Kind) {
    let mut world = World::new(on).await;
    let (owner, door) = (world.process(&[0, 1]).await, world.process(&[]).await);
    let end = world.register(0, "before", 3).await;
    for it in [&owner, &door] {
        it.shows(0, end).await;
    }
    let mut heard = [Heard::by(&owner), Heard::by(&door)];
    let mut reference = String::new();
    for round in 0..5 {
        let name = format!("c{round}");
        reference = format!("component:default/{name}");
        let steps = [EntityFate::Registered, EntityFate::Updated, EntityFate::Deregistered];
        let mut id = None;
        for fate in steps {
            match fate {
                EntityFate::Registered => {
                    id = Some(world.history.register(tenant(1), &component(&name), None).await);
                }
                EntityFate::Updated => {
                    world.history.update(tenant(1), &component(&name), None).await;
                }
                EntityFate::Deregistered => world.history.deregister(tenant(1), id.unwrap()),
            }
            world.history.append().await;
            for (it, heard) in [&owner, &door].into_iter().zip(&mut heard) {
                heard.until(it, &reference, fate).await;
            }
        }
    }
    assert!(heard[1].references().contains(reference.as_str()));
    assert_eq!(heard[0].told.len(), 15);
    assert_eq!(heard[0].told, heard[1].told);
}

async fn without_reading_the_log_again_nothing_is_told(on: Kind) {
    let mut world = World::new(on).await;
    let (owner, mut door) = (world.process(&[0, 1]).await, world.process(&[]).await);
    let (mut heard, mut unheard) = (Heard::by(&owner), door.projections.changes());
    door.projections.teller.take().unwrap().stop().await;
    let end = world.register(0, "a", 1).await;
    heard.until(&owner, "component:default/a-0", EntityFate::Registered).await;
    door.shows(0, end).await;
    assert!(unheard.try_recv().is_err());
}

async fn nothing_is_lost_while_partitions_and_generations_change(on: Kind) {
    let mut world = World::new(on).await;
    let (one, two) = (world.process(&[0, 1]).await, world.process(&[]).await);
    let end = world.register(0, "before", 1).await;
    for it in [&one, &two] {
        it.shows(0, end).await;
    }
    let mut heard = [Heard::by(&one), Heard::by(&two)];
    for round in 0..8 {
        world.register(0, &format!("a{round}"), 25).await;
        for (number, it) in [&one, &two].into_iter().enumerate() {
            it.written.send_modify(|all| {
                if !all.remove(&Partition(0)) {
                    all.insert(Partition(0));
                }
            });
            world.register(0, &format!("b{round}-{number}"), 10).await;
        }
        if round % 3 == 2 {
            let name = format!("c{round}");
            let (rebuilt, _) =
                tokio::join!(one.projections.rebuild(Model::Catalog), world.register(0, &name, 10));
            rebuilt.unwrap();
        }
    }
    world.register(0, "last", 1).await;
    for (it, heard) in [&one, &two].into_iter().zip(&mut heard) {
        heard.until(it, "component:default/last-0", EntityFate::Registered).await;
        assert!(heard.is_in_order(), "{:?}", heard.told);
        assert_eq!(heard.references().len(), 8 * (25 + 2 * 10) + 2 * 10 + 1);
    }
}

async fn what_was_there_before_anybody_listened_is_not_told(on: Kind) {
    let mut world = World::new(on).await;
    let (owner, door) = (world.process(&[0, 1]).await, world.process(&[]).await);
    for round in 0..3 {
        let end = world.register(0, &format!("before{round}"), 50).await;
        for it in [&owner, &door] {
            it.shows(0, end).await;
        }
        let mut heard = Heard::by(&door);
        world.register(0, &format!("after{round}"), 1).await;
        let reference = format!("component:default/after{round}-0");
        heard.until(&door, &reference, EntityFate::Registered).await;
        assert_eq!(heard.told.len(), 1, "{:?}", heard.told);
    }
}

async fn what_a_resumed_tenant_missed_is_told_elsewhere_too(on: Kind) {
    let mut world = World::new(on).await;
    let (owner, door) = (world.process(&[0, 1]).await, world.process(&[]).await);
    let end = world.register(0, "before", 1).await;
    for it in [&owner, &door] {
        it.shows(0, end).await;
    }
    let mut heard = Heard::by(&door);
    let park = "INSERT INTO parked (tenant, partition, position, at, reason)
        VALUES ($1, 0, $2, 0, '')";
    let mut park = crate::store::Sql::new(park);
    park.add(tenant(1).0.into());
    park.add(end.next().0.into());
    let set = owner.projections.models().set(Model::Catalog).clone();
    park.execute(&mut *set.writer().await).await.unwrap();
    world.register(0, "waits", 1).await;
    world.history.register(tenant(2), &component("goes-on"), None).await;
    world.history.append().await;
    heard.until(&door, "component:default/goes-on", EntityFate::Registered).await;
    assert_eq!(heard.told.len(), 1, "{:?}", heard.told);
    assert_eq!(owner.projections.resume(Model::Catalog, tenant(1)).await.unwrap(), None);
    heard.until(&door, "component:default/waits-0", EntityFate::Registered).await;
}

/// Who writes the tables has the key in memory; who tells needs it for what has gone.
async fn a_name_that_cannot_be_opened_keeps_nobody_else_from_being_told(on: Kind) {
    let safe = Safe::new();
    let mut world = World::with(on, safe.keyring().await).await;
    let owner = world.process(&[0, 1]).await;
    world.keyring = safe.keyring().await;
    let door = world.process(&[]).await;
    let mut heard = Heard::by(&door);
    let jane = world.history.register(tenant(1), &person("jane"), None).await;
    world.history.append().await;
    heard.until(&door, "user:default/jane", EntityFate::Registered).await;
    safe.damage("subject").await;
    world.history.deregister(tenant(1), jane);
    world.history.register(tenant(2), &component("goes-on"), None).await;
    world.history.append().await;
    heard.until(&door, "component:default/goes-on", EntityFate::Registered).await;
    assert_eq!(heard.told.len(), 2, "{:?}", heard.told);
    for it in [owner, door] {
        it.projections.stop().await;
    }
}
