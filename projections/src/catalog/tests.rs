mod batching;
mod bounds;
mod filled;
mod foreign;
mod large;
mod paging;
mod versions;

use std::sync::Arc;

use domain::id::{EntityId, LocationId};
use domain::location::{self, LocationKind};
use domain::principal::{Predicate, Scope};
use domain::{Event, Principal, Stream};
use event_log::{EventLog, MemoryLog, Partition, Position};
use serde_json::{Value, json};
use uuid::Uuid;
use vault::Keyring;

use super::entities::{self, Columns, list_visible};
use super::history::Detail;
use super::sql::Visible;
use super::*;
use crate::page::{Page, Window};
use crate::temporary::{Kind, Temporary, on_each_kind};
use crate::testing::{History, actor, keyring, noise, tenant};
use crate::{Model, Projections, ReadModels, Settings};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A catalog that follows a history.
struct World {
    place: Temporary,
    keyring: Keyring,
    log: Arc<dyn EventLog>,
    history: History,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
        let keyring = keyring().await;
        let history = History::new(log.clone(), &keyring).await;
        Self { place: Temporary::new(kind).await, keyring, log, history }
    }

    /// Appends what is pending and waits until the catalog has it.
    async fn read(&mut self) -> (Projections, ReadModels) {
        let position = self.history.append().await;
        self.follow(position, 8_192).await
    }

    async fn follow(&self, position: Position, batch_max: usize) -> (Projections, ReadModels) {
        let settings = Settings { batch_max, ..self.place.settings() };
        let (log, keyring) = (self.log.clone(), self.keyring.clone());
        let projections = Projections::start(settings, log, keyring).await.unwrap();
        let models = projections.models();
        let all = [Model::Catalog];
        models.wait_for(&all, Partition(0), position, PATIENCE).await.unwrap();
        (projections, models)
    }
}

fn member() -> Principal {
    Principal::unchecked(tenant(1), actor(1))
}

fn entity(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": kind,
        "metadata": { "name": name },
        "spec": spec,
    })
}

/// Four entities that differ in everything a filter can ask for.
async fn zoo(history: &mut History) {
    let web = json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": "web",
            "title": "The Web Shop",
            "description": "Sells things to people",
            "tags": ["java", "Web"],
            "annotations": { "backstage.io/techdocs-ref": "dir:." },
            "labels": { "tier": "1" },
            "links": [{ "url": "https://example.com" }],
        },
        "spec": {
            "type": "website", "lifecycle": "production", "owner": "team-a", "system": "shop",
            "providesApis": ["orders"], "dependsOn": ["resource:db"],
        },
    });
    let api = json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "API",
        "metadata": { "name": "orders", "tags": ["java"], "description": "Orders of the shop" },
        "spec": {
            "type": "openapi", "lifecycle": "experimental", "owner": "user:jane",
            "definition": "x".repeat(300),
        },
    });
    let group = entity("Group", "team-a", &json!({ "type": "team", "children": [] }));
    let user = entity(
        "User",
        "jane",
        &json!({
            "profile": { "displayName": "Jane Doe", "email": "jane@example.com" },
            "memberOf": ["team-a"],
        }),
    );
    for it in [web, api, group, user] {
        history.register(tenant(1), &it, None).await;
    }
}

async fn found(models: &ReadModels, filter: Filter) -> Vec<String> {
    let selection = Selection::matching(filter);
    let page = entities::list(models, &member(), &selection, &Window::first(100)).await.unwrap();
    let count = entities::count(models, &member(), &selection).await.unwrap();
    assert_eq!(count, page.edges.len() as u64);
    page.into_nodes().map(|it| it.name).collect()
}

on_each_kind! {
    filters_find_what_backstage_finds
    predicates_find_what_backstage_finds
    an_entity_is_shown_whole
    relations_stand_in_both_directions_and_may_dangle
    search_ranks_names_before_prose
    facets_count_values_in_their_own_case
    a_scope_hides_rows_totals_and_far_ends
}

async fn filters_find_what_backstage_finds(on: Kind) {
    let mut world = World::new(on).await;
    zoo(&mut world.history).await;
    let (projections, models) = world.read().await;
    let table: &[(&[&str], &[&str])] = &[
        (&["kind=component"], &["web"]),
        (&["KIND=Component"], &["web"]),
        (&["kind=component,kind=api"], &["orders", "web"]),
        (&["kind=component", "kind=group"], &["web", "team-a"]),
        (&["kind=component,spec.type=openapi"], &[]),
        (&["metadata.tags=JAVA"], &["orders", "web"]),
        (&["metadata.tags.web=true"], &["web"]),
        (&["metadata.tags.java=true,metadata.tags.web=true"], &["web"]),
        (&["metadata.links"], &[]),
        (&["metadata.links.url"], &["web"]),
        (&["metadata.annotations.backstage.io/techdocs-ref"], &["web"]),
        (&["metadata.namespace=default,kind=group"], &["team-a"]),
        (&["spec.definition"], &["orders"]),
        (&["spec.definition=x"], &[]),
        (&["relations.ownedBy=group:default/team-a"], &["web"]),
        (&["relations.ownerof"], &["team-a", "jane"]),
        (&["relations.hasMember=user:default/jane"], &["team-a"]),
        (&["spec.profile.email=jane@example.com"], &["jane"]),
        (&["kind="], &[]),
        (&["nothing.like.it"], &[]),
    ];
    for (sets, names) in table {
        let filter = Filter::parse_sets(sets).unwrap();
        assert_eq!(found(&models, filter).await, *names, "{sets:?}");
    }
    projections.stop().await;
}

async fn predicates_find_what_backstage_finds(on: Kind) {
    let mut world = World::new(on).await;
    zoo(&mut world.history).await;
    let (projections, models) = world.read().await;
    let table = [
        (json!({}), vec!["orders", "web", "team-a", "jane"]),
        (json!({ "$all": [] }), vec!["orders", "web", "team-a", "jane"]),
        (json!({ "$any": [] }), vec![]),
        (json!({ "kind": "Component" }), vec!["web"]),
        (json!({ "kind": { "$in": ["user", "GROUP"] } }), vec!["team-a", "jane"]),
        (json!({ "$not": { "kind": "api" } }), vec!["web", "team-a", "jane"]),
        (json!({ "spec.lifecycle": { "$exists": false } }), vec!["team-a", "jane"]),
        (json!({ "metadata.name": { "$hasPrefix": "TEA" } }), vec!["team-a"]),
        (json!({ "metadata.tags": { "$contains": "web" } }), vec!["web"]),
        (
            json!({ "relations": { "$contains": {
                "type": "ownedBy", "targetRef": "user:default/jane" } } }),
            vec!["orders"],
        ),
        (
            json!({ "relations": { "$contains": { "type": "ownedBy", "targetRef":
                { "$in": ["user:default/jane", "group:default/team-a"] } } } }),
            vec!["orders", "web"],
        ),
        (
            json!({ "$any": [{ "kind": "user" }, { "kind": "api", "spec.type": "openapi" }] }),
            vec!["orders", "jane"],
        ),
    ];
    for (predicate, names) in table {
        let filter = Filter::parse_predicate(&predicate).unwrap();
        assert_eq!(found(&models, filter).await, names, "{predicate}");
    }
    projections.stop().await;
}

async fn an_entity_is_shown_whole(on: Kind) {
    let mut world = World::new(on).await;
    let location = LocationId(Uuid::from_u128(7));
    let target = "https://example.com/catalog-info.yaml".to_owned();
    let event = location::Event::Registered { kind: LocationKind::Url, target };
    world.history.event(tenant(1), Stream::Location(location), Event::Location(event));
    let json = entity(
        "Component",
        "Web",
        &json!({
        "type": "service", "lifecycle": "production", "owner": "team-a" }),
    );
    world.history.register(tenant(1), &json, Some(location)).await;
    let (projections, models) = world.read().await;
    let it = entities::find(&models, &member(), "component:default/web").await.unwrap().unwrap();
    let document = it.document();
    let metadata = &document["metadata"];
    assert_eq!(metadata["namespace"], "default");
    assert_eq!(metadata["uid"], it.uid.0.hyphenated().to_string());
    assert_eq!(metadata["etag"], it.etag);
    assert_eq!(
        metadata["annotations"]["backstage.io/managed-by-location"],
        "url:https://example.com/catalog-info.yaml"
    );
    assert_eq!((it.kind.as_str(), it.name.as_str(), it.revision), ("Component", "Web", 1));
    assert_eq!(entities::find_by_uid(&models, &member(), it.uid).await.unwrap(), Some(it.clone()));
    let ids = [it.id, EntityId(Uuid::nil())];
    let by_id = entities::find_many_by_id(&models, &member(), &ids).await.unwrap();
    assert_eq!(by_id, [Some(it), None]);

    let gone = location::Event::Deregistered {};
    world.history.event(tenant(1), Stream::Location(location), Event::Location(gone));
    let position = world.history.append().await;
    let all = [Model::Catalog];
    models.wait_for(&all, Partition(0), position, PATIENCE).await.unwrap();
    let it = entities::find(&models, &member(), "component:default/web").await.unwrap().unwrap();
    assert_eq!(it.document()["metadata"]["annotations"]["backstage.io/orphan"], "true");
    assert!(locations::find_many(&models, &member(), &[location]).await.unwrap()[0].is_none());
    projections.stop().await;
}

async fn relations_stand_in_both_directions_and_may_dangle(on: Kind) {
    let mut world = World::new(on).await;
    zoo(&mut world.history).await;
    let (projections, models) = world.read().await;
    let references =
        ["component:default/web", "group:default/team-a", "resource:default/db"].map(str::to_owned);
    let all = Part::first(100, vec![]);
    let relations = relations::of_many(&models, &member(), &references, &all).await.unwrap();
    let texts = |page: &Page<Relation, RelationCursor>| -> Vec<String> {
        let mark = |it: &Relation| if it.resolved { "" } else { "?" };
        let text = |it: &Relation| format!("{} {}{}", it.kind, it.target, mark(it));
        page.edges.iter().map(|it| text(&it.node)).collect()
    };
    assert_eq!(
        texts(&relations[0]),
        [
            "dependsOn resource:default/db?",
            "ownedBy group:default/team-a",
            "partOf system:default/shop?",
            "providesApi api:default/orders",
        ]
    );
    assert_eq!(
        texts(&relations[1]),
        ["hasMember user:default/jane", "ownerOf component:default/web"]
    );
    assert!(relations[2].edges.is_empty(), "what does not exist shows no relations");
    // Page by page it is the same.
    let mut part = Part::first(1, vec![]);
    let mut paged = Vec::new();
    for _ in 0..4 {
        let pages = relations::of_many(&models, &member(), &references[..1], &part).await.unwrap();
        assert_eq!(pages[0].has_next, paged.len() < 3, "{}", paged.len());
        paged.extend(texts(&pages[0]));
        part.after = Some(pages[0].edges[0].cursor.clone());
    }
    assert_eq!(paged, texts(&relations[0]));
    let beyond = relations::of_many(&models, &member(), &references[..1], &part).await.unwrap();
    assert!(beyond[0].edges.is_empty());
    let counts = async |who: &Principal, kinds: &[String]| {
        relations::count_of_many(&models, who, &references, kinds).await.unwrap()
    };
    assert_eq!(counts(&member(), &[]).await, [4, 2, 0]);
    assert_eq!(counts(&member(), &["OWNERof".to_owned()]).await, [0, 1, 0]);
    assert_eq!(counts(&Principal::unchecked(tenant(2), actor(1)), &[]).await, [0, 0, 0]);

    let owned = Part::first(100, vec!["ownedBy".to_owned()]);
    let owners =
        relations::neighbours_of_many(&models, &member(), &references, &owned, Some(Columns::ALL))
            .await;
    let owners = owners.unwrap();
    assert_eq!(owners[0].edges[0].node.entity.as_ref().unwrap().name, "team-a");

    let kinds = |count| vec!["ownedBy".to_owned(); count];
    let of = async |part: Part| relations::of_many(&models, &member(), &references, &part).await;
    let most = Part::first(1_000, kinds(relations::KINDS_MAX));
    assert_eq!(of(most).await.unwrap()[0].edges.len(), 1);
    let refused = of(Part::first(1_001, vec![])).await.unwrap_err();
    assert_eq!(refused.to_string(), "expected a page of at most 1000 rows, got 1001");
    let refused = of(Part::first(9, kinds(relations::KINDS_MAX + 1))).await.unwrap_err();
    assert_eq!(refused.to_string(), "expected at most 100 types of relations, got 101");

    let mut many: Vec<_> = (0..40_000).map(|it| format!("group:default/no-{it}")).collect();
    many.extend(references);
    let found = entities::find_many(&models, &member(), &many).await.unwrap();
    let there: Vec<_> = found.iter().map(Option::is_some).collect();
    assert_eq!(there[40_000..], [true, true, false], "more than one statement can hold");
    assert!(!there[..40_000].contains(&true));
    projections.stop().await;
}

async fn search_ranks_names_before_prose(on: Kind) {
    let mut world = World::new(on).await;
    zoo(&mut world.history).await;
    let spec = json!({ "type": "service", "lifecycle": "x", "owner": "team-b" });
    world.history.register(tenant(1), &entity("Component", "shop-front", &spec), None).await;
    let (projections, models) = world.read().await;
    for (terms, names) in [
        ("shop", vec!["shop-front", "web", "orders"]),
        ("SHOP fro", vec!["shop-front"]),
        ("sells peop", vec!["web"]),
        ("doe", vec!["jane"]),
        ("shopping", vec![]),
    ] {
        let text = Some(TextSearch { terms: terms.to_owned() });
        let order = Order { by: OrderBy::Relevance, descending: false };
        let selection = Selection { text, order, ..Selection::matching(Filter::everything()) };
        let mut all = Vec::new();
        let mut window = Window::first(1);
        loop {
            let page = entities::list(&models, &member(), &selection, &window).await.unwrap();
            let Some(edge) = page.edges.into_iter().next() else { break };
            window = Window::first(1).after(edge.cursor);
            all.push(edge.node.name);
        }
        assert_eq!(all, names, "{terms}");
    }
    projections.stop().await;
}

async fn facets_count_values_in_their_own_case(on: Kind) {
    let mut world = World::new(on).await;
    zoo(&mut world.history).await;
    let (projections, models) = world.read().await;
    let keys = ["kind", "metadata.tags", "relations.ownedBy", "unknown"].map(str::to_owned);
    let everything = Selection::matching(Filter::everything());
    let facets = entities::facets(&models, &member(), &everything, &keys, 100).await.unwrap();
    let texts = |facet: &Facet| -> Vec<String> {
        facet.values.iter().map(|it| format!("{}={}", it.value, it.count)).collect()
    };
    assert_eq!(texts(&facets[0]), ["API=1", "Component=1", "Group=1", "User=1"]);
    assert_eq!(texts(&facets[1]), ["java=2", "Web=1"], "the most frequent first");
    assert_eq!(texts(&facets[2]), ["group:default/team-a=1", "user:default/jane=1"]);
    assert!(facets[3].values.is_empty());
    assert!(facets.iter().all(|it| !it.more));

    let of = async |selection: &Selection, most| {
        let who = member();
        entities::facets(&models, &who, selection, &keys, most).await
    };
    let first = of(&everything, 1).await.unwrap();
    let shown: Vec<_> = first.iter().map(|it| (texts(it), it.more)).collect();
    assert_eq!(shown[1], (vec!["java=2".to_owned()], true), "and says that there are more");
    assert_eq!(shown[3], (vec![], false));
    let refused = of(&everything, entities::FACET_VALUES_MAX + 1).await.unwrap_err();
    assert_eq!(refused.to_string(), "expected at most 100 values of a facet, got 101");

    // What is counted is what is listed: the text counts as much as the filter.
    let text = Some(TextSearch { terms: "web".to_owned() });
    let searched = Selection { text, ..everything.clone() };
    let listed = entities::list(&models, &member(), &searched, &Window::first(9)).await.unwrap();
    let listed: Vec<_> = listed.into_nodes().map(|it| format!("{}=1", it.kind)).collect();
    let found = of(&searched, 100).await.unwrap();
    assert_eq!(texts(&found[0]), listed);
    assert_eq!(listed.len(), 1);
    assert_eq!(texts(&found[2]), ["group:default/team-a=1"]);
    let text = Some(TextSearch { terms: "!".to_owned() });
    let refused = of(&Selection { text, ..everything.clone() }, 100).await.unwrap_err();
    assert_eq!(refused.to_string(), "expected 1 to 16 words to search, got `!`");
    projections.stop().await;
}

async fn a_scope_hides_rows_totals_and_far_ends(on: Kind) {
    let mut world = World::new(on).await;
    zoo(&mut world.history).await;
    let (projections, models) = world.read().await;
    let owned = Predicate::OwnedBy("group:default/team-a".to_owned());
    let kind = |it: &str| Predicate::Kind(it.to_owned());
    let tag = |it: &str| Predicate::Tag(it.to_owned());
    let text = |it: &str| it.to_owned();
    let label =
        |key, value: Option<&str>| Predicate::Label { key: text(key), value: value.map(text) };
    let annotation =
        |key, value: Option<&str>| Predicate::Annotation { key: text(key), value: value.map(text) };
    let only = |it| Scope::Where(Arc::new(it));
    let table = [
        (Scope::All, vec!["orders", "web", "team-a", "jane"]),
        (only(kind("component")), vec!["web"]),
        (only(owned.clone()), vec!["web"]),
        (only(Predicate::Any(vec![kind("user"), owned.clone()])), vec!["web", "jane"]),
        (only(Predicate::All(vec![kind("user"), owned])), vec![]),
        (only(Predicate::Any(vec![])), vec![]),
        (only(tag("java")), vec!["orders", "web"]),
        (only(tag("Web")), vec!["web"]),
        (only(label("tier", None)), vec!["web"]),
        (only(label("Tier", Some("1"))), vec!["web"]),
        (only(label("tier", Some("2"))), vec![]),
        (only(annotation("backstage.io/techdocs-ref", Some("DIR:."))), vec!["web"]),
        (only(annotation("tier", None)), vec![]),
    ];
    let selection = Selection::matching(Filter::everything());
    for (scope, names) in table {
        let visible = Visible::scoped(tenant(1), scope.clone()).unwrap();
        let (window, all) = (Window::first(9), Columns::ALL);
        let page = list_visible(&models, &visible, &selection, &window, all).await.unwrap();
        assert_eq!(page.into_nodes().map(|it| it.name).collect::<Vec<_>>(), names, "{scope:?}");
        let count = entities::count_visible(&models, &visible, &selection).await.unwrap();
        assert_eq!(count, names.len() as u64, "{scope:?}");
    }
    assert!(Visible::scoped(tenant(1), Scope::None).is_none());
    let visible = Visible::scoped(tenant(1), only(kind("component"))).unwrap();
    let references = ["component:default/web", "group:default/team-a"].map(str::to_owned);
    let all = Part::first(100, vec![]);
    let seen = relations::of_many_visible(&models, &visible, &references, &all).await.unwrap();
    assert_eq!(seen[0].edges.len(), 4);
    assert!(seen[0].edges.iter().all(|it| !it.node.resolved), "hidden looks like missing");
    assert!(seen[1].edges.is_empty());
    projections.stop().await;
}
