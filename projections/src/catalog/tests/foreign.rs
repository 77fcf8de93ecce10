//! What is another tenant's.

use super::*;

on_each_kind! {
    foreign_and_missing_look_the_same_to_every_reader
}

async fn foreign_and_missing_look_the_same_to_every_reader(on: Kind) {
    let mut world = World::new(on).await;
    world.keyring.tenant(tenant(2)).await.unwrap();
    zoo(&mut world.history).await;
    let (projections, models) = world.read().await;
    let own = entities::find(&models, &member(), "component:default/web").await.unwrap().unwrap();
    let foreign = Principal::unchecked(tenant(2), actor(1));
    let reference = [own.reference.clone()];
    assert_eq!(entities::find(&models, &foreign, &reference[0]).await.unwrap(), None);
    assert_eq!(entities::find_by_uid(&models, &foreign, own.uid).await.unwrap(), None);
    assert_eq!(entities::find_many(&models, &foreign, &reference).await.unwrap(), [None]);
    assert_eq!(entities::find_many_by_id(&models, &foreign, &[own.id]).await.unwrap(), [None]);
    let everything = Selection::matching(Filter::everything());
    assert_eq!(entities::count(&models, &foreign, &everything).await.unwrap(), 0);
    let page = entities::list(&models, &foreign, &everything, &Window::first(9)).await.unwrap();
    assert!(page.edges.is_empty());
    let text = Some(TextSearch { terms: "web".to_owned() });
    let searched = Selection { text, ..everything.clone() };
    assert_eq!(entities::count(&models, &foreign, &searched).await.unwrap(), 0);
    let keys = ["kind".to_owned(), "relations.ownedBy".to_owned()];
    let facets = entities::facets(&models, &foreign, &everything, &keys, 100).await.unwrap();
    assert!(facets.iter().all(|it| it.values.is_empty() && !it.more));
    let facets = entities::facets(&models, &foreign, &searched, &keys, 100).await.unwrap();
    assert!(facets.iter().all(|it| it.values.is_empty() && !it.more));
    let all = Part::first(100, vec![]);
    let related = relations::of_many(&models, &foreign, &reference, &all).await.unwrap();
    assert!(related[0].edges.is_empty());
    let versions =
        history::list(&models, &foreign, &reference[0], &Window::first(9), Detail::Whole)
            .await
            .unwrap();
    assert!(versions.edges.is_empty());
    let newest =
        history::newest_of_many(&models, &foreign, &reference, 9, Detail::Whole).await.unwrap();
    assert!(newest[0].edges.is_empty());
    assert_eq!(locations::count(&models, &foreign).await.unwrap(), 0);
    projections.stop().await;
}
