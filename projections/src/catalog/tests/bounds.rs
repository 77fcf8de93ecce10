//! Whatever an accepted descriptor says at whatever length, every database can keep it in order.

use super::*;
use crate::catalog::entities::Selection;
use crate::catalog::relations;

/// More than an entry of an index of PostgreSQL holds. In bytes.
const LONG: usize = 4_096;

/// Everything in it is long, and no compression makes it shorter. Some of it no door lets in any
/// more.
fn long() -> Value {
    let long = || noise(LONG);
    let broad: String =
        noise(200).chars().map(|it| char::from_u32(0x4e00 + it as u32).unwrap()).collect();
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": "n".repeat(63),
            "namespace": "s".repeat(63),
            "title": long(),
            "description": noise(100_000),
            "tags": [long(), "short", broad],
            "labels": { "long": long(), (long()): "x", "broad": broad },
            "annotations": { "example.com/long": long(), (broad.clone()): broad },
            (long()): long(),
        },
        "spec": {
            "type": long(),
            "lifecycle": long(),
            "owner": long(),
            "system": format!("system:{}/{}", long(), long()),
            "dependsOn": [format!("component:default/{}", long()), "component:default/other"],
            "providesApis": [noise(255)],
            "list": [[{ (long()): long() }]],
        },
    })
}

on_each_kind! {
    what_is_long_is_kept_and_parks_nobody
}

async fn what_is_long_is_kept_and_parks_nobody(on: Kind) {
    let mut world = World::new(on).await;
    world.history.register(tenant(1), &long(), None).await;
    let position = world.history.append().await;
    // What is filled for the first time, and then changed.
    let (projections, models) = world.follow(position, 8_192).await;
    let mut changed = long();
    changed["metadata"]["description"] = "short".into();
    world.history.update(tenant(1), &changed, None).await;
    world.history.register(tenant(1), &entity("Component", "web", &long()["spec"]), None).await;
    let position = world.history.append().await;
    models.wait_for(&Model::ALL, Partition(0), position, PATIENCE).await.unwrap();

    let status = projections.status().await.unwrap();
    assert!(status.iter().all(|it| it.parked.is_empty() && it.complete), "{status:#?}");
    let everything = Selection::matching(Filter::everything());
    assert_eq!(entities::count(&models, &member(), &everything).await.unwrap(), 2);
    let found = entities::find(&models, &member(), "component:default/web").await.unwrap();
    assert_eq!(found.unwrap().document()["spec"]["owner"], noise(LONG));
    // What is too long to be in a catalog relates to nothing; the rest does.
    let of = ["component:default/web".to_owned()];
    let part = relations::Part::first(100, Vec::new());
    let related = relations::of_many(&models, &member(), &of, &part).await.unwrap();
    let mut related: Vec<_> = related[0].edges.iter().map(|it| it.node.target.len()).collect();
    related.sort_unstable();
    assert_eq!(related, ["component:default/other".len(), "api:default/".len() + 255]);
    projections.stop().await;
}
