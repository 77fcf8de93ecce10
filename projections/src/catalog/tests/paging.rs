//! Pages of entities, in every order and direction.

use super::*;
use crate::page::Take;

on_each_kind! {
    pages_in_every_order_and_direction_show_each_entity_once
}

async fn pages_in_every_order_and_direction_show_each_entity_once(on: Kind) {
    let mut world = World::new(on).await;
    for number in 0..23 {
        let mut spec = json!({ "lifecycle": "x", "owner": "a" });
        if number % 3 != 0 {
            spec["type"] = format!("Type{}", number % 5).into();
        }
        let json = entity("Component", &format!("c{:02}", number * 7 % 23), &spec);
        world.history.register(tenant(1), &json, None).await;
    }
    let (projections, models) = world.read().await;
    let key = |missing| OrderBy::Key { key: "Spec.Type".to_owned(), missing };
    for (by, expected) in [
        (OrderBy::Reference, 23),
        (OrderBy::Changed, 23),
        (key(Missing::Excluded), 15),
        (key(Missing::Last), 23),
    ] {
        for descending in [false, true] {
            let order = Order { by: by.clone(), descending };
            let selection = Selection { order, ..Selection::matching(Filter::everything()) };
            let count = entities::count(&models, &member(), &selection).await.unwrap();
            assert_eq!(count, expected);
            let whole = walk(&models, &selection, Take::First(100)).await;
            assert_eq!(whole.len() as u64, expected, "{by:?}");
            for size in [1, 4, 7] {
                let forward = walk(&models, &selection, Take::First(size)).await;
                assert_eq!(forward, whole, "{by:?} by {size}");
                let mut backward = walk(&models, &selection, Take::Last(size)).await;
                backward.reverse();
                assert_eq!(backward, whole, "{by:?} backward by {size}");
            }
            if by == key(Missing::Last) {
                let typed = |it: &String| it.starts_with("some");
                assert!(whole.is_sorted_by_key(|it| !typed(it)), "those without come last");
            }
        }
    }
    projections.stop().await;
}

/// Every entity of `selection` page by page, as `some name` or `none name` by its cursor's
/// value; in reverse if the pages are taken from the end.
async fn walk(models: &ReadModels, selection: &Selection, take: Take) -> Vec<String> {
    let mut all = Vec::new();
    let mut window = Window { after: None, before: None, take };
    loop {
        let page = entities::list(models, &member(), selection, &window).await.unwrap();
        let mut edges = page.edges;
        let (more, last) = match take {
            Take::First(_) => (page.has_next, edges.last().map(|it| it.cursor.clone())),
            Take::Last(_) => {
                let first = edges.first().map(|it| it.cursor.clone());
                edges.reverse();
                (page.has_previous, first)
            }
        };
        let name = |it: crate::page::Edge<Entity, EntityCursor>| {
            let there = if it.cursor.value.is_some() { "some" } else { "none" };
            format!("{there} {}", it.node.name)
        };
        all.extend(edges.into_iter().map(name));
        match take {
            _ if !more => return all,
            Take::First(_) => window.after = last,
            Take::Last(_) => window.before = last,
        }
    }
}
