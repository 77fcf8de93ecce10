//! Whatever the batches, the tables are the same; and every change is told.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::engine;

/// Something that can happen to one of a few entities.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Put(usize, u8),
    Remove(usize),
    Locate,
    Forget,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..8_usize, 0..4_u8).prop_map(|(it, variant)| Happening::Put(it, variant)),
        2 => (0..8_usize).prop_map(Happening::Remove),
        1 => Just(Happening::Locate),
        1 => Just(Happening::Forget),
    ]
}

async fn tell(history: &mut History, happenings: &[Happening]) {
    let location = LocationId(Uuid::from_u128(7));
    let located = |event| (Stream::Location(location), Event::Location(event));
    let mut there = [false; 8];
    for it in happenings {
        match *it {
            Happening::Put(number, variant) => {
                let json = json!({
                    "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
                    "metadata": { "name": format!("e{number}"),
                        "tags": (0..variant).map(|it| format!("t{it}")).collect::<Vec<_>>() },
                    "spec": { "type": format!("T{variant}"), "lifecycle": "x",
                        "owner": if variant == 3 { "user:jane" } else { "team" },
                        "dependsOn": [format!("component:e{variant}")] },
                });
                let follows = (number % 2 == 0).then_some(location);
                if there[number] {
                    history.update(tenant(1), &json, follows).await;
                } else {
                    history.register(tenant(1), &json, follows).await;
                }
                there[number] = true;
            }
            Happening::Remove(number) if there[number] => {
                let json = entity("Component", &format!("e{number}"), &json!({}));
                let id = history.stored(tenant(1), &json).await.0;
                history.deregister(tenant(1), id);
                there[number] = false;
            }
            Happening::Remove(_) => (),
            Happening::Locate => {
                let target = "https://example.com".to_owned();
                let event = location::Event::Registered { kind: LocationKind::Url, target };
                history.command(tenant(1), &[located(event)]);
            }
            Happening::Forget => {
                history.command(tenant(1), &[located(location::Event::Deregistered {})]);
            }
        }
    }
}

on_each_kind! {
    the_tables_do_not_depend_on_how_events_are_batched
    a_change_of_a_location_is_told_for_the_entities_that_follow_it
}

/// Every row of every table, sorted, without what depends on how events were batched.
async fn dump(kind: Kind, models: &ReadModels) -> Vec<String> {
    let mut reader = models.reader(Model::Catalog, tenant(1)).await.unwrap();
    let mut all = Vec::new();
    for (table, columns) in [
        (
            "entities",
            "hex(id), hex(uid), reference, document, revision, registered_at, sequence, position, changed_at, etag",
        ),
        ("versions", "hex(id), revision, fate, descriptor"),
        ("search", "key, known, value, reference, leads, original"),
        ("words", "word, reference, weight"),
        ("relations", "source, kind_key, target, stated_by, kind"),
        ("subjects", "reference, hex(subject)"),
        ("locations", "hex(id), kind, target, sequence"),
    ] {
        let columns = columns.replace(", ", " || '|' || ");
        let columns = match kind {
            Kind::Sqlite => columns,
            Kind::Postgres => columns.replace("hex(", "("),
        };
        let columns = columns.replace("descriptor", "coalesce(descriptor, '')");
        let columns = columns.replace("original", "coalesce(original, '')");
        let sql = format!("SELECT {columns} FROM {table} ORDER BY 1");
        for row in crate::store::Sql::new(&sql).fetch(&mut reader).await.unwrap() {
            all.push(format!("{table}: {}", row.text(0).unwrap()));
        }
    }
    all
}

async fn the_tables_do_not_depend_on_how_events_are_batched(on: Kind) {
    let both = async |happenings: &[Happening], batch_max| {
        let mut world = World::new(on).await;
        tell(&mut world.history, happenings).await;
        if world.history.pending() == 0 {
            return (Vec::new(), Vec::new());
        }
        let position = world.history.append().await;
        let (projections, models) = world.follow(position, batch_max).await;
        let small = dump(on, &models).await;
        projections.stop().await;
        drop(models);
        world.place = Temporary::new(on).await;
        let (projections, models) = world.follow(position, 8_192).await;
        let whole = dump(on, &models).await;
        projections.stop().await;
        (small, whole)
    };
    let check = |(happenings, batch_max): (Vec<Happening>, usize)| {
        let runtime = tokio::runtime::Handle::current();
        let comparing = || runtime.block_on(both(&happenings, batch_max));
        let (small, whole) = tokio::task::block_in_place(comparing);
        let differs = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|it| !other.contains(it)).cloned().collect()
        };
        prop_assert_eq!(differs(&small, &whole), differs(&whole, &small));
        prop_assert_eq!(small.len(), whole.len());
        Ok(())
    };
    let strategy = (proptest::collection::vec(happening(), 1..60), 1..20_usize);
    let cases = match on {
        Kind::Sqlite => 12,
        // Two databases are made for each.
        Kind::Postgres => 3,
    };
    TestRunner::new(ProptestConfig::with_cases(cases)).run(&strategy, check).unwrap();
}

async fn a_change_of_a_location_is_told_for_the_entities_that_follow_it(on: Kind) {
    let mut world = World::new(on).await;
    tell(&mut world.history, &[Happening::Put(0, 1), Happening::Put(1, 1)]).await;
    let (projections, models) = world.read().await;
    let mut changes = projections.changes();
    tell(&mut world.history, &[Happening::Locate]).await;
    let position = world.history.append().await;
    models.wait_for(&[Model::Catalog], Partition(0), position, PATIENCE).await.unwrap();
    let change = changes.recv().await.unwrap();
    let references: Vec<_> = change.entities.iter().map(|it| it.reference.as_str()).collect();
    assert_eq!(references, ["component:default/e0"]);
    assert_eq!(change.entities[0].fate, engine::change::EntityFate::Updated);
    projections.stop().await;
}

#[test]
fn the_tenant_is_in_the_key_of_every_table() {
    for model in Model::ALL {
        for table in model.schema().tables {
            let named = table.contains("tenant UUID NOT NULL") || table.contains("(tenant, ");
            assert!(named, "{table}");
        }
    }
}
