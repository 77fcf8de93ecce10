//! The tables that are searched, derived on the way and at the end.

use super::*;
use crate::store::Sql;

/// Every row of the tables that are searched.
async fn searched(models: &ReadModels) -> Vec<String> {
    let mut all = Vec::new();
    let mut reader = models.reader(Model::Catalog, tenant(1)).await.unwrap();
    for (table, columns) in [
        ("search", "hex(tenant), key, known, value, reference, leads, coalesce(original,'-')"),
        ("words", "hex(tenant), word, reference, weight, '', '', ''"),
        ("relations", "hex(tenant), source, kind_key, target, stated_by, kind, ''"),
    ] {
        let columns = columns.replace(", ", " || '/' || ");
        let rows = Sql::new(&format!("SELECT {columns} FROM {table}")).fetch(&mut reader).await;
        all.extend(rows.unwrap().iter().map(|it| format!("{table}: {}", it.text(0).unwrap())));
    }
    reader.finish();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn what_is_searched_is_the_same_derived_event_by_event_and_at_the_end() {
    let mut world = World::new().await;
    let log = world.log.clone();
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { batch_max: 1, ..Settings::new(folder.path()) };
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
