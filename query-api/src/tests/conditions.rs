//! A condition hides what does not satisfy it on every way there is to come by an entity.

use outbound::Request;
use serde_json::{Value, json};

use super::roles::{DEFINE, member};
use super::seeded::{APPLY, apply, component, put};
use crate::testing::{Member, Site, on_each_kind};
use projections::temporary::Kind;

on_each_kind! {
    what_does_not_satisfy_a_condition_is_neither_seen_nor_counted
    whoever_takes_a_name_that_is_free_is_not_told_what_had_it_before
    nobody_hears_live_of_what_does_not_satisfy_their_condition
}

/// Every way to come by an entity, aimed at the one that is hidden.
const WAYS: [&str; 11] = [
    "{ entities { totalCount nodes { reference } } }",
    "{ entities { facets(keys: [\"kind\", \"metadata.tags\"]) { values { value count } } } }",
    "{ entities(matching: {text: \"birch\"}) { totalCount nodes { reference } } }",
    "{ entities(matching: {filter: [\"metadata.tags=birch\"]}) { totalCount nodes { title } } }",
    "{ entity(reference: \"component:default/other\") { reference history { nodes { descriptor } } } }",
    "{ entities { nodes { relations { nodes { targetReference target { title } } } } } }",
    "{ entities { nodes { history { nodes { descriptor } } } } }",
    "{ entities { facets(keys: [\"relations.dependencyOf\"]) { values { value count } } } }",
    "{ entities(order: {by: \"metadata.title\"}) { nodes { title } } }",
    "{ entity(reference: \"component:default/web\") { relations { totalCount nodes { targetReference } } } }",
    "{ entities(matching: {filter: [\"relations.ownedBy=group:default/birch-team\"]}) { nodes { title } } }",
];

/// What is only found by a relation that the hidden one states of another, and what that says.
const BY_HIDDEN: [&str; 3] = [
    "{ entities(matching: {filter: [\"relations.dependencyOf=component:default/other\"]}) { totalCount } }",
    "{ entities(matching: {filter: [\"relations.dependencyOf\"]}) { totalCount } }",
    "{ entity(reference: \"component:default/web\") { counted: relations(types: [\"dependencyOf\"]) { totalCount } } }",
];

async fn what_does_not_satisfy_a_condition_is_neither_seen_nor_counted(on: Kind) {
    let site = Site::start_on(on).await;
    let mut public = component("shared", "cedar");
    public["metadata"]["tags"] = json!(["public"]);
    let mut other = component("other", "birch");
    other["spec"]["dependsOn"] = json!(["component:default/web"]);
    let changes = json!([put(&component("web", "amber"), None), put(&other, None)]);
    apply(&site, &site.a, changes).await;
    let applied = apply(&site, &site.a, json!([put(&public, None)])).await;
    let position = applied["outcome"]["position"].as_str().unwrap().to_owned();
    site.mutate(&site.a, DEFINE, json!({})).await;
    let (_, ada) = member(&site, &["amber"]).await;

    for way in WAYS {
        let seen = site.seen(&ada, &position, way).await.to_string();
        assert!(!seen.contains("birch") && !seen.contains("default/other"), "{way}: {seen}");
        // Control: who has no condition sees it on the same way.
        let all = site.seen(&site.a, &position, way).await.to_string();
        assert!(all.contains("birch") || all.contains("default/other"), "{way}: {all}");
    }
    for way in BY_HIDDEN {
        let seen = site.seen(&ada, &position, way).await.to_string();
        assert!(seen.contains("\"totalCount\":0"), "{way}: {seen}");
        let all = site.seen(&site.a, &position, way).await.to_string();
        assert!(all.contains("\"totalCount\":1"), "{way}: {all}");
    }
    let counted = async |who: &Member| {
        let counts = "{ entities { totalCount facets(keys: [\"kind\"]) { values { count } } } }";
        let seen = site.seen(who, &position, counts).await;
        let facet = seen["entities"]["facets"][0]["values"][0]["count"].clone();
        (seen["entities"]["totalCount"].clone(), facet)
    };
    assert_eq!(counted(&ada).await, (json!(2), json!(2)));
    assert_eq!(counted(&site.a).await, (json!(3), json!(3)));
    let id =
        site.seen(&site.a, &position, "{ entity(reference: \"component:default/other\") { id } }");
    let id = id.await["entity"]["id"].as_str().unwrap().to_owned();
    let node = format!("{{ node(id: \"{id}\") {{ id }} }}");
    assert_eq!(site.seen(&ada, &position, &node).await, json!({ "node": null }));
    assert_eq!(site.seen(&site.a, &position, &node).await, json!({ "node": { "id": id } }));
}

/// Who has this role sees and writes what is their team's.
const TEAM: &str = "mutation {
    defineRole(role: \"amber\", permits: [
        {permission: \"entity.read\", when: {ownedBy: \"group:default/amber-team\"}},
        {permission: \"entity.write\", when: {ownedBy: \"group:default/amber-team\"}}]) {
        userErrors { code message }
    }
}";

async fn whoever_takes_a_name_that_is_free_is_not_told_what_had_it_before(on: Kind) {
    let site = Site::start_on(on).await;
    site.mutate(&site.a, TEAM, json!({})).await;
    let (_, ada) = member(&site, &["amber"]).await;
    let remove = json!({ "remove": { "reference": "component:default/web" } });
    let mut renamed = component("web", "amber");
    renamed["metadata"]["title"] = json!("cedar");
    apply(&site, &site.a, json!([put(&component("web", "birch"), None)])).await;
    apply(&site, &site.a, json!([remove.clone()])).await;
    apply(&site, &site.a, json!([put(&component("web", "birch"), None)])).await;
    apply(&site, &site.a, json!([remove])).await;
    apply(&site, &ada, json!([put(&component("web", "amber"), None)])).await;
    let applied = apply(&site, &ada, json!([put(&renamed, None)])).await;
    let position = applied["outcome"]["position"].as_str().unwrap().to_owned();

    // The newest of an entity, and what comes after them, are not read in the same way.
    let told = async |who: &Member, part: &str| {
        let document = format!(
            "{{ entity(reference: \"component:default/web\") {{ history({part}) {{
                edges {{ cursor node {{ change descriptor }} }} pageInfo {{ hasNextPage }} }} }} }}"
        );
        site.seen(who, &position, &document).await["entity"]["history"].take()
    };
    let changes = |history: &Value| {
        let edges = history["edges"].as_array().unwrap().iter();
        edges.map(|it| it["node"]["change"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (who, count) in [(&ada, 2), (&site.a, 6)] {
        let all = told(who, "first: 20").await;
        let newest = told(who, "first: 1").await;
        assert_eq!(newest["pageInfo"]["hasNextPage"], true);
        let cursor = newest["edges"][0]["cursor"].as_str().unwrap();
        let others = told(who, &format!("first: 20, after: \"{cursor}\"")).await;
        assert_eq!((changes(&all).len(), changes(&others).len()), (count, count - 1));
        assert_eq!(changes(&all)[..2], ["UPDATED", "REGISTERED"]);
        for part in [all, others] {
            assert_eq!(part["pageInfo"]["hasNextPage"], false);
            // Control: who sees everything is told of it.
            assert_eq!(part.to_string().contains("birch"), count == 6, "{part}");
        }
    }
}

async fn nobody_hears_live_of_what_does_not_satisfy_their_condition(on: Kind) {
    let site = Site::start_on(on).await;
    site.mutate(&site.a, DEFINE, json!({})).await;
    let (_, ada) = member(&site, &["amber"]).await;
    let document = "subscription { entityChanged { reference } }";
    let body = json!({ "query": document }).to_string();
    let request = || Request::post(site.url("/graphql"), "application/json", body.clone());
    let (mut hers, mut all) =
        (site.stream(&ada, request()).await, site.stream(&site.a, request()).await);
    for (name, mark) in [("other", "birch"), ("web", "amber")] {
        apply(&site, &site.a, json!([put(&component(name, mark), None)])).await;
    }
    let reference = |event: crate::testing::SentEvent| {
        event.data["data"]["entityChanged"]["reference"].as_str().unwrap().to_owned()
    };
    assert_eq!(reference(hers.next().await.unwrap()), "component:default/web");
    assert_eq!(reference(all.next().await.unwrap()), "component:default/other");
}

/// Who has this role writes what is their team's, and sees everything.
pub(super) const WRITERS: &str = "mutation {
    defineRole(role: \"amber-writers\", permits: [{permission: \"entity.read\"},
        {permission: \"entity.write\", when: {all: [
            {ownedBy: \"group:default/amber-team\"}, {kind: \"component\"}]}}]) {
        userErrors { code message }
    }
}";

/// What becomes of a change: its effect, or the code of the refusal.
async fn change(site: &Site, who: &Member, change: Value) -> String {
    let answer = site.graphql(who, APPLY, json!({ "changes": [change] })).await;
    let applied = &answer["data"]["applyEntities"];
    let told = [
        &answer["errors"][0]["extensions"]["code"],
        &applied["userErrors"][0]["code"],
        &applied["changes"][0]["effect"],
    ];
    told.into_iter().find_map(Value::as_str).unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn who_writes_under_a_condition_gains_nothing_and_gives_nothing_away() {
    let site = Site::start().await;
    site.mutate(&site.a, WRITERS, json!({})).await;
    let (_, ada) = member(&site, &["amber-writers"]).await;
    let own = |name: &str| put(&component(name, "amber"), None);
    let other = |name: &str| put(&component(name, "birch"), None);
    let remove =
        |name: &str| json!({ "remove": { "reference": format!("component:default/{name}") } });
    assert_eq!(change(&site, &site.a, other("other")).await, "CREATED");
    let steps = [
        ("makes what is hers", own("web"), "CREATED"),
        ("and the same again", own("web"), "UNCHANGED"),
        ("makes what is not hers", other("api"), "FORBIDDEN"),
        ("gives away what is hers", other("web"), "FORBIDDEN"),
        ("takes what is not hers", own("other"), "FORBIDDEN"),
        ("removes what is not hers", remove("other"), "FORBIDDEN"),
        ("removes what is hers", remove("web"), "REMOVED"),
        ("and the same again", remove("web"), "UNCHANGED"),
        ("makes it anew", own("web"), "CREATED"),
    ];
    for (step, asked, expected) in steps {
        assert_eq!(change(&site, &ada, asked).await, expected, "she {step}");
    }
    // Somebody else takes it away from her: the next change is asked of what it is then.
    assert_eq!(change(&site, &site.a, other("web")).await, "UPDATED");
    assert_eq!(change(&site, &ada, own("web")).await, "FORBIDDEN");
    assert_eq!(change(&site, &site.a, own("web")).await, "UPDATED");
    assert_eq!(change(&site, &ada, remove("web")).await, "REMOVED");
}
