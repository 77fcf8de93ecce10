//! Entities whose descriptors are too large for events.

use domain::catalog::StoredDescriptor;
use domain::catalog::limits::DESCRIPTOR_BYTES_MAX;
use domain::entity;
use domain::id::EntityUid;

use super::*;
use crate::ReadError;
use crate::catalog::entities::Selection;
use crate::catalog::filter::Filter;
use crate::catalog::history;
use crate::catalog::writer::groups::{BYTES_MAX, HELD_MAX};

fn api(bytes: usize, tag: &str) -> Value {
    let spec = json!({
        "type": "openapi", "lifecycle": "production", "owner": "user:default/jane",
        "definition": "x".repeat(bytes),
    });
    let mut api = entity("API", "orders", &spec);
    api["metadata"]["tags"] = json!([tag]);
    api
}

/// What the catalog shows of it now, and every version of it.
async fn shown(models: &ReadModels) -> (Value, Vec<Option<Value>>) {
    let found = entities::find(models, &member(), "api:default/orders").await.unwrap();
    let document = found.expect("it is there").document();
    let window = Window::first(10);
    let versions = history::list(models, &member(), "api:default/orders", &window, Detail::Whole)
        .await
        .unwrap();
    (document, versions.into_nodes().map(|it| it.descriptor.clone()).collect())
}

on_each_kind! {
    all_of_it_is_shown_now_and_of_then_also_after_a_rebuild
    content_that_is_lost_or_of_another_tenant_parks_its_tenant_and_nobody_else
    one_operation_reads_so_much_and_no_more
    small_changes_of_many_large_entities_hold_a_few_of_them_at_a_time
}

async fn all_of_it_is_shown_now_and_of_then_also_after_a_rebuild(on: Kind) {
    let mut world = World::new(on).await;
    let (first, second) = (api(1024 * 1024, "first"), api(1024 * 1024, "second"));
    world.history.register(tenant(1), &first, None).await;
    world.history.update(tenant(1), &second, None).await;
    let position = world.history.append().await;
    for _ in 0..2 {
        let (projections, models) = world.follow(position, 8_192).await;
        let (document, versions) = shown(&models).await;
        assert_eq!(document["spec"], second["spec"]);
        assert_eq!(document["metadata"]["tags"], json!(["second"]));
        assert_eq!(versions, [Some(second.clone()), Some(first.clone())]);
        projections.stop().await;
        // Again from nothing.
        world.place = Temporary::new(on).await;
    }
}

async fn content_that_is_lost_or_of_another_tenant_parks_its_tenant_and_nobody_else(on: Kind) {
    let mut world = World::new(on).await;
    world.keyring.tenant(tenant(2)).await.unwrap();
    let large = api(300_000, "it");
    world.history.register(tenant(1), &large, None).await;
    world.keyring.blobs().remove_tenant(tenant(1)).await.unwrap();
    // A forged event that names what the first tenant has stored, and which is there.
    let (id, StoredDescriptor { public, large: names, .. }) =
        world.history.stored(tenant(1), &api(290_000, "b")).await;
    let forged = StoredDescriptor { public, personal: Vec::new(), large: names };
    let (uid, location, digest) = (EntityUid(Uuid::nil()), None, Default::default());
    let event = entity::Event::Registered { uid, location, descriptor: forged, digest };
    world.history.event(tenant(2), Stream::Entity(id), Event::Entity(event));
    world.history.register(tenant(3), &large, None).await;
    let (projections, models) = world.read().await;

    let status = projections.status().await.unwrap();
    let mut parked: Vec<_> = status.into_iter().flat_map(|it| it.parked).collect();
    parked.sort_by_key(|it| it.tenant);
    assert_eq!(parked.iter().map(|it| it.tenant).collect::<Vec<_>>(), [tenant(1), tenant(2)]);
    for it in &parked {
        assert!(it.reason.contains("the vault does not hold the content"), "{}", it.reason);
    }
    let others = Principal::unchecked(tenant(3), actor(1));
    assert!(entities::find(&models, &others, "api:default/orders").await.unwrap().is_some());

    // Once it is there again, nothing was missed.
    world.history.stored(tenant(1), &large).await;
    assert_eq!(projections.resume(Model::Catalog, tenant(1)).await.unwrap(), None);
    assert_eq!(shown(&models).await.1, [Some(large)]);
    projections.stop().await;
}

async fn small_changes_of_many_large_entities_hold_a_few_of_them_at_a_time(on: Kind) {
    let mut world = World::new(on).await;
    // Together more than may be held.
    let each = DESCRIPTOR_BYTES_MAX - 10_000;
    let count = BYTES_MAX / each + 1;
    let named = |index: usize, bytes: usize| {
        let mut api = api(bytes, "it");
        api["metadata"]["name"] = json!(format!("api-{index}"));
        api
    };
    let location = LocationId(Uuid::from_u128(7));
    let located = |event| (Stream::Location(location), Event::Location(event));
    let target = "https://example.com".to_owned();
    let event = location::Event::Registered { kind: LocationKind::Url, target };
    world.history.command(tenant(1), &[located(event)]);
    for index in 0..count {
        world.history.register(tenant(1), &named(index, each), Some(location)).await;
    }
    let (projections, models) = world.read().await;
    let shown = async || {
        let mut bytes = Vec::new();
        for index in 0..count {
            let models = projections.models();
            let reference = format!("api:default/api-{index}");
            let found = entities::find(&models, &member(), &reference).await.unwrap().unwrap();
            let document = found.document();
            let orphan = &document["metadata"]["annotations"]["backstage.io/orphan"];
            bytes.push((document["spec"]["definition"].as_str().unwrap().len(), orphan == "true"));
        }
        bytes
    };
    assert_eq!(shown().await, vec![(each, false); count]);

    world.history.command(tenant(1), &[located(location::Event::Deregistered {})]);
    let position = world.history.append().await;
    models.wait_for(&[Model::Catalog], Partition(0), position, PATIENCE).await.unwrap();
    assert_eq!(shown().await, vec![(each, true); count]);

    for index in 0..count {
        world.history.update(tenant(1), &named(index, 10), None).await;
    }
    let position = world.history.append().await;
    models.wait_for(&[Model::Catalog], Partition(0), position, PATIENCE).await.unwrap();
    assert_eq!(shown().await, vec![(10, false); count]);
    let held = HELD_MAX.load(std::sync::atomic::Ordering::Relaxed);
    assert!((each..=BYTES_MAX).contains(&held), "{held} bytes were held");
    projections.stop().await;
}

async fn one_operation_reads_so_much_and_no_more(on: Kind) {
    let mut world = World::new(on).await;
    let (each, beyond) = (400_000, 5);
    let mut references = Vec::new();
    for index in 0..beyond {
        let mut api = api(each, "it");
        api["metadata"]["name"] = json!(format!("api-{index}"));
        references.push(format!("api:default/api-{index}"));
        world.history.register(tenant(1), &api, None).await;
    }
    let position = world.history.append().await;
    let settings = Settings { read_bytes_max: 2_000_000, ..world.place.settings() };
    let (log, keyring) = (world.log.clone(), world.keyring.clone());
    let projections = Projections::start(settings, log, keyring).await.unwrap();
    let models = projections.models();
    models.wait_for(&[Model::Catalog], Partition(0), position, PATIENCE).await.unwrap();
    let newest = async |references: &[String], detail| {
        let models = projections.models();
        history::newest_of_many(&models, &member(), references, 1, detail).await
    };
    assert_eq!(newest(&references, Detail::Outline).await.unwrap().len(), beyond);
    assert!(newest(&references[1..], Detail::Whole).await.is_ok());
    let refused = newest(&references, Detail::Whole).await.unwrap_err();
    assert!(refused.to_string().contains("2000000 bytes; ask for less"), "{refused}");

    let (all, window) = (Selection::matching(Filter::All(vec![])), Window::first(100));
    let list = async |columns| {
        let models = projections.models();
        entities::list_columns(&models, &member(), &all, &window, columns).await
    };
    assert_eq!(list(Columns::of([])).await.unwrap().edges.len(), beyond);
    assert!(matches!(list(Columns::ALL).await, Err(ReadError::TooMuch { .. })));

    // What an operation reads bit by bit is counted together.
    let models = projections.models();
    let find = async |it: &String| entities::find(&models, &member(), it).await;
    for it in &references[1..] {
        assert!(find(it).await.unwrap().is_some());
    }
    assert!(matches!(find(&references[0]).await, Err(ReadError::TooMuch { .. })));
    projections.stop().await;
}
