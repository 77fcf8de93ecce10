//! Every version, and what is left of those about somebody who was erased.

use super::*;
use crate::catalog::history::{self, VersionKind};
use crate::page::Window;

on_each_kind! {
    history_keeps_every_version_and_forgets_the_erased
}

async fn history_keeps_every_version_and_forgets_the_erased(on: Kind) {
    let mut world = World::new(on).await;
    zoo(&mut world.history).await;
    let jane = entity(
        "User",
        "jane",
        &json!({
        "profile": { "displayName": "Jane Roe" }, "memberOf": [] }),
    );
    world.history.update(tenant(1), &jane, None).await;
    let gone = world.history.stored(tenant(1), &entity("Component", "web", &json!({}))).await.0;
    world.history.deregister(tenant(1), gone);
    let (projections, models) = world.read().await;
    let window = Window::first(10);
    let versions = history::list(&models, &member(), "User:default/jane", &window, Detail::Whole)
        .await
        .unwrap();
    let names: Vec<_> = versions.into_nodes().map(|it| it.descriptor.clone().unwrap()).collect();
    assert_eq!(names[0]["spec"]["profile"]["displayName"], "Jane Roe");
    assert_eq!(names[1]["spec"]["profile"]["displayName"], "Jane Doe");

    let references = ["component:default/web", "user:default/jane"].map(str::to_owned);
    let newest =
        history::newest_of_many(&models, &member(), &references, 1, Detail::Whole).await.unwrap();
    assert_eq!(newest[0].edges[0].node.kind, VersionKind::Deregistered);
    assert!(newest[0].has_next && newest[1].has_next);
    assert_eq!(newest[1].edges[0].cursor, 2);

    let keys = world.keyring.tenant(tenant(1)).await.unwrap();
    let subject = keys.subject_id("user:default/jane");
    world.keyring.destroy_subject(tenant(1), subject).await.unwrap();
    let versions = history::list(&models, &member(), "user:default/jane", &window, Detail::Whole)
        .await
        .unwrap();
    for it in versions.into_nodes() {
        assert_eq!(it.descriptor.as_ref().unwrap()["metadata"]["name"], "(erased)");
    }
    // What is built from the log now has no trace of her.
    projections.rebuild(Model::Catalog).await.unwrap();
    let models = projections.models();
    assert!(entities::find(&models, &member(), "user:default/jane").await.unwrap().is_none());
    for table in ["entities", "search", "words", "relations", "subjects"] {
        let mut reader = models.reader(Model::Catalog, tenant(1)).await.unwrap();
        let rows = crate::store::Sql::new(&format!("SELECT * FROM {table}"));
        for row in rows.fetch(&mut reader).await.unwrap() {
            let texts = (0..7).filter_map(|it| row.text(it).ok());
            assert!(!texts.into_iter().any(|it| it.contains("jane")), "in {table}");
        }
    }
    projections.stop().await;
}
