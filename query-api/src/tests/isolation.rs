//! No tenant sees anything of another, whichever way it asks.
//!
//! Each case is one way to ask, written as somebody would who knows all of A's names. It is
//! asked twice: as B, which must see nothing of A, and, as the control, as A, where the same
//! check must find A's mark: a case that could not notice a leak fails.

use std::collections::BTreeSet;

use outbound::Request;
use serde_json::{Value, json};

use super::seeded::{Seeded, apply, component, put, seed};
use crate::testing::{Member, Site, on_each_kind};
use projections::temporary::Kind;

/// A and B, both filled.
struct Ground {
    site: Site,
    a: Seeded,
    b: Seeded,
}

async fn ground(on: Kind) -> Ground {
    let site = Site::start_on(on).await;
    let mut a = seed(&site, &site.a, "amber").await;
    a.position = staff(&site, &site.a, "amber").await;
    let mut b = seed(&site, &site.b, "birch").await;
    b.position = staff(&site, &site.b, "birch").await;
    Ground { site, a, b }
}

/// A member of both tenants, of another name and with another role in each.
pub(super) const BOTH: &str = "usr_0198000000007000800000000000000b";

/// Adds that member, with a role of its own; the position after it.
pub(super) async fn staff(site: &Site, who: &Member, mark: &str) -> String {
    let document = "mutation($member: String!, $name: String!, $role: String!) {
        defineRole(role: $role, permits: [{permission: \"entity.read\"}]) { userErrors { code } }
        addMember(input: {memberId: $member, name: $name, roles: [$role]}) {
            userErrors { code } outcome { position }
        }
    }";
    let (name, role) = (format!("{mark} Ada"), format!("{mark}-readers"));
    let variables = json!({ "member": BOTH, "name": name, "role": role });
    let added = site.data(who, document, variables).await;
    added["addMember"]["outcome"]["position"].as_str().expect("they are added").to_owned()
}

/// Whether an answer holds anything of A.
fn shows_a(answer: &str) -> bool {
    answer.contains("amber")
}

/// One way to ask for each field of the query type, aimed at what is A's.
fn queries(a: &Seeded) -> Vec<(&'static str, String)> {
    let Seeded { entity, uid, customer, plan, command, .. } = a;
    let range = "from: \"2026-01-01T00:00:00Z\", to: \"2027-01-01T00:00:00Z\"";
    let page = "totalCount pageInfo { endCursor }";
    vec![
        ("viewer", "{ viewer { tenantId } }".to_owned()),
        ("node", format!("{{ node(id: \"{entity}\") {{ id ... on Entity {{ title }} }} }}")),
        ("entity", format!("{{ entity(uid: \"{uid}\") {{ reference title }} }}")),
        ("entity", "{ entity(reference: \"component:default/amber-service\") { title } }".into()),
        (
            "entity",
            format!(
                "{{ entity(reference: \"component:default/amber-service\") {{
                    usage({range}) {{ meters {{ meter total {{ sum }} buckets {{ sum }} }} }} }} }}"
            ),
        ),
        (
            "entities",
            format!(
                "{{ entities(matching: {{filter: [\"kind=component\"]}}) {{ nodes {{
                    usage({range}, step: HOUR) {{ meters {{ meter }} }} }} }} }}"
            ),
        ),
        (
            "entities",
            format!(
                "{{ entities {{ {page} facets(keys: [\"metadata.tags\"]) {{ values {{ value }} }}
                    nodes {{ reference
                        relations {{ totalCount nodes {{ targetReference target {{ reference }} }} }}
                        history {{ nodes {{ descriptor }} }} location {{ target }} }} }} }}"
            ),
        ),
        (
            "entities",
            "{ entities(matching: {text: \"amber\"}) {
                facets(keys: [\"metadata.tags\"]) { values { value } } nodes { reference } } }"
                .into(),
        ),
        ("locations", format!("{{ locations {{ {page} nodes {{ target }} }} }}")),
        ("tenant", "{ tenant { tenantId slug name } }".to_owned()),
        ("cluster", "{ cluster { level processes { speaks address } } }".to_owned()),
        ("tenants", format!("{{ tenants {{ {page} nodes {{ slug }} }} }}")),
        (
            "customers",
            format!("{{ customers {{ {page} nodes {{ name subscriptions {{ planId }} }} }} }}"),
        ),
        ("plans", format!("{{ plans(seller: ITSELF) {{ {page} nodes {{ name }} }} }}")),
        (
            "subscriptions",
            format!(
                "{{ subscriptions(matching: {{customer: \"{customer}\", plan: \"{plan}\"}}) {{
                    {page} nodes {{ terms {{ name }} history {{ event }} }} }} }}"
            ),
        ),
        ("meters", format!("{{ meters {{ {page} nodes {{ key }} }} }}")),
        (
            "usageTotals",
            format!("{{ usageTotals(matching: {{{range}}}) {{ totals {{ meter sum }} }} }}"),
        ),
        (
            "usageSeries",
            format!(
                "{{ usageSeries(matching: {{{range}, customers: [\"{customer}\"]}}) {{
                    series {{ meter buckets {{ sum }} }} }} }}"
            ),
        ),
        ("audit", format!("{{ audit(first: 50) {{ {page} nodes {{ body }} }} }}")),
        ("causalTree", caused_by(command)),
        ("analytics", format!("{{ analytics({}) {{ commands }} }}", days())),
    ]
}

fn caused_by(command: &str) -> String {
    format!("{{ causalTree(commandId: \"{command}\") {{ caused {{ event {{ body }} }} }} }}")
}

/// The same for who may do what.
fn of_access() -> Vec<(&'static str, String)> {
    let page = "totalCount pageInfo { endCursor }";
    vec![
        ("members", format!("{{ members {{ {page} nodes {{ name roles {{ name }} }} }} }}")),
        ("roles", format!("{{ roles {{ {page} nodes {{ name permits {{ permission }} }} }} }}")),
        ("builtInRoles", "{ builtInRoles { name permits { permission } } }".to_owned()),
        (
            "explain",
            format!(
                "{{ explain(memberId: \"{BOTH}\", permission: \"entity.read\") {{
                    isMember givenBy {{ role }} }} }}"
            ),
        ),
    ]
}

/// A range with today in it.
pub(super) fn days() -> String {
    let today = chrono::Utc::now().date_naive();
    let (from, to) = (today - chrono::TimeDelta::days(1), today + chrono::TimeDelta::days(1));
    format!("from: \"{from}\", to: \"{to}\"")
}

/// Fields whose answers hold no texts of a tenant: what they show is compared instead.
const WITHOUT_TEXTS: [&str; 6] =
    ["viewer", "tenant", "tenants", "cluster", "builtInRoles", "analytics"];

on_each_kind! {
    every_query_field_shows_a_tenant_its_own_and_nothing_else
    a_tenant_without_texts_of_its_own_still_sees_only_itself
    a_foreign_id_looks_like_one_that_does_not_exist
    tokens_and_cursors_open_nothing_elsewhere
    an_entity_of_the_same_name_has_the_usage_of_its_own_tenant
    an_idempotency_key_is_known_to_its_tenant_only
    nobody_changes_what_is_another_tenants
    every_rest_route_shows_a_tenant_its_own_and_nothing_else
}

async fn every_query_field_shows_a_tenant_its_own_and_nothing_else(on: Kind) {
    let Ground { site, a, b } = ground(on).await;
    let cases = [queries(&a), of_access()].concat();
    for (field, document) in &cases {
        let ask = async |who: &Member, position: &str| {
            site.graphql_after(who, Some(position), document, json!({})).await.to_string()
        };
        let (seen_by_a, seen_by_b) =
            (ask(&site.a, &a.position).await, ask(&site.b, &b.position).await);
        assert!(!shows_a(&seen_by_b), "{field}: B sees {seen_by_b}");
        let refused = seen_by_a.contains("\"errors\"");
        assert_eq!(
            refused,
            ["cluster", "tenants"].contains(field),
            "{field}: A is answered {seen_by_a}"
        );
        if !WITHOUT_TEXTS.contains(field) {
            assert!(shows_a(&seen_by_a), "{field} cannot tell: A sees {seen_by_a}");
        }
    }

    let document = "{ __schema { queryType { fields { name } } } }";
    let schema = site.data(&site.a, document, json!({})).await;
    let fields = schema["__schema"]["queryType"]["fields"].as_array().unwrap().clone();
    let fields: BTreeSet<_> = fields.iter().map(|it| it["name"].as_str().unwrap()).collect();
    let covered: BTreeSet<_> = cases.iter().map(|(field, _)| *field).collect();
    assert_eq!(covered, fields, "every field of the query type needs a case here");
}

async fn a_tenant_without_texts_of_its_own_still_sees_only_itself(on: Kind) {
    let Ground { site, a, b } = ground(on).await;
    let own = async |who: &Member, position: &str, document: &str| {
        site.seen(who, position, document).await
    };
    for (who, seeded) in [(&site.a, &a), (&site.b, &b)] {
        let tenant = who.tenant.to_string();
        let viewer = own(who, &seeded.position, "{ viewer { tenantId } }").await;
        assert_eq!(viewer["viewer"]["tenantId"], tenant);
        let found = own(who, &seeded.position, "{ tenant { tenantId } }").await;
        assert_eq!(found["tenant"]["tenantId"], tenant);
        let days = format!("{{ analytics({}) {{ entities registered }} }}", days());
        let days = own(who, &seeded.position, &days).await;
        assert_eq!(days["analytics"][0]["registered"], 3, "the other's are not counted");
        let directory = site.graphql(who, "{ tenants { nodes { slug } } }", json!({})).await;
        assert_eq!(directory["errors"][0]["extensions"]["code"], "FORBIDDEN");
        let cluster = site.graphql(who, "{ cluster { level } }", json!({})).await;
        assert_eq!(cluster["errors"][0]["extensions"]["code"], "FORBIDDEN");
        let raise = "mutation { raiseClusterLevel(to: 1) { outcome { commandId } } }";
        let raise = site.graphql(who, raise, json!({})).await;
        assert_eq!(raise["errors"][0]["extensions"]["code"], "FORBIDDEN");
    }
    let document = "{ cluster { level processes { speaks } } }";
    let cluster = site.data(&site.operator, document, json!({})).await;
    let spoken = domain::Level::SPOKEN.0;
    let expected = json!({"level": spoken, "processes": [{"speaks": spoken}]});
    assert_eq!(cluster["cluster"], expected, "the operator sees it: the check can tell");
}

/// The global ids of everything A holds.
async fn node_ids(site: &Site, who: &Member, seeded: &Seeded) -> Vec<String> {
    let document = "{
        tenant { id } entities { nodes { id } } locations { nodes { id } }
        customers { nodes { id } } plans(seller: ITSELF) { nodes { id } }
        subscriptions { nodes { id } } meters { nodes { id } } audit { nodes { id } }
    }";
    let data = site.seen(who, &seeded.position, document).await;
    let lists = data.as_object().unwrap().values();
    let ids = lists.flat_map(|it| match it["nodes"].as_array() {
        Some(nodes) => nodes.iter().map(|it| it["id"].clone()).collect(),
        None => vec![it["id"].clone()],
    });
    ids.map(|it| it.as_str().unwrap().to_owned()).collect()
}

async fn a_foreign_id_looks_like_one_that_does_not_exist(on: Kind) {
    let Ground { site, a, .. } = ground(on).await;
    let ids = node_ids(&site, &site.a, &a).await;
    assert!(ids.len() > 15, "one of every type, got {}", ids.len());
    let document = "query($id: ID!) { node(id: $id) { __typename id } }";
    let mut types = BTreeSet::new();
    for id in &ids {
        let foreign = site.graphql(&site.b, document, json!({ "id": id })).await;
        assert_eq!(foreign, json!({ "data": { "node": null } }), "{id}");
        let own = site.data(&site.a, document, json!({ "id": id })).await;
        assert_eq!(own["node"]["id"], *id, "A finds it: the check can tell");
        types.insert(own["node"]["__typename"].as_str().unwrap().to_owned());
    }
    let missing = site.graphql(&site.b, document, json!({ "id": "bm90aGluZw" })).await;
    assert_eq!(missing, json!({ "data": { "node": null } }));
    assert_eq!(possible_nodes(&site).await, types, "every type of node needs an object here");
}

async fn possible_nodes(site: &Site) -> BTreeSet<String> {
    let document = "{ __type(name: \"Node\") { possibleTypes { name } } }";
    let data = site.data(&site.a, document, json!({})).await;
    let types = data["__type"]["possibleTypes"].as_array().unwrap().clone();
    types.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

async fn tokens_and_cursors_open_nothing_elsewhere(on: Kind) {
    let Ground { site, a, .. } = ground(on).await;
    let foreign = site.graphql_after(&site.b, Some(&a.position), "{ tenant { slug } }", json!({}));
    assert_eq!(foreign.await["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    site.seen(&site.a, &a.position, "{ tenant { slug } }").await;

    let lists = [
        "entities",
        "locations",
        "customers",
        "plans(seller: ITSELF)",
        "subscriptions",
        "meters",
        "audit",
        "members",
        "roles",
    ];
    for list in lists {
        let document = format!("{{ list: {list} {{ edges {{ cursor }} }} }}");
        let data = site.seen(&site.a, &a.position, &document).await;
        let cursor = data["list"]["edges"][0]["cursor"].as_str().unwrap().to_owned();
        let (name, arguments) = list.split_once('(').unwrap_or((list, ")"));
        let after = |cursor: &str| {
            let arguments = arguments.trim_end_matches(')');
            format!("{{ {name}({arguments} after: \"{cursor}\") {{ edges {{ cursor }} }} }}")
        };
        let foreign = site.graphql(&site.b, &after(&cursor), json!({})).await;
        assert_eq!(foreign["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{list}");
        site.seen(&site.a, &a.position, &after(&cursor)).await;
        // Nor does it open another list of its own tenant.
        let other = if name == "audit" { "meters" } else { "audit" };
        let other = format!("{{ {other}(after: \"{cursor}\") {{ edges {{ cursor }} }} }}");
        let elsewhere = site.graphql(&site.a, &other, json!({})).await;
        assert_eq!(elsewhere["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{list}");
    }
}

async fn an_entity_of_the_same_name_has_the_usage_of_its_own_tenant(on: Kind) {
    let Ground { site, a, .. } = ground(on).await;
    let applied = apply(&site, &site.b, json!([put(&component("amber-service", "birch"), None)]));
    let applied = applied.await;
    let at_b = applied["outcome"]["position"].as_str().unwrap();
    let document = "{ entity(reference: \"component:default/amber-service\") { usage(
        from: \"2026-03-01T00:00:00Z\", to: \"2026-03-02T00:00:00Z\") { meters { meter } } } }";
    let foreign = site.seen(&site.b, at_b, document).await;
    assert_eq!(foreign["entity"]["usage"]["meters"], json!([]));
    let own = site.seen(&site.a, &a.position, document).await;
    assert_eq!(own["entity"]["usage"]["meters"], json!([{ "meter": "amber.requests" }]));
}

async fn an_idempotency_key_is_known_to_its_tenant_only(on: Kind) {
    let site = Site::start_on(on).await;
    let meter = "mutation($key: String!) {
        defineMeter(input: {key: $key, name: \"M\", unit: \"u\", aggregation: SUM},
            options: {idempotencyKey: \"the-same\"}) {
            outcome { commandId remembered } userErrors { code }
        }
    }";
    let first = site.mutate(&site.a, meter, json!({ "key": "amber" })).await;
    let foreign = site.mutate(&site.b, meter, json!({ "key": "birch" })).await;
    assert_eq!(foreign["outcome"]["remembered"], false);
    let again = site.mutate(&site.a, meter, json!({ "key": "amber" })).await;
    assert_eq!(again["outcome"]["commandId"], first["outcome"]["commandId"]);
    assert_eq!(again["outcome"]["remembered"], true);
    let other = site.data(&site.a, meter, json!({ "key": "other" })).await;
    assert_eq!(other["defineMeter"]["userErrors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
}

async fn nobody_changes_what_is_another_tenants(on: Kind) {
    let Ground { site, a, .. } = ground(on).await;
    let Seeded { location, customer, plan, subscription, .. } = &a;
    let mutations = [
        ("deregisterLocation", format!("location: \"{location}\"")),
        ("changeCustomer", format!("input: {{customerId: \"{customer}\", name: \"mine\"}}")),
        ("closeCustomer", format!("customerId: \"{customer}\"")),
        ("retirePlan", format!("planId: \"{plan}\"")),
        ("changePlan", format!("subscriptionId: \"{subscription}\", planId: \"{plan}\"")),
        ("cancelSubscription", format!("subscriptionId: \"{subscription}\", when: NOW")),
        ("undoCancellation", format!("subscriptionId: \"{subscription}\"")),
        ("archiveMeter", "key: \"amber.requests\"".to_owned()),
    ];
    for (name, arguments) in mutations {
        let document = format!(
            "mutation {{ {name}({arguments}) {{ outcome {{ events {{ id }} }} userErrors {{ code }} }} }}"
        );
        let answer = site.data(&site.b, &document, json!({})).await;
        let events = &answer[name]["outcome"]["events"];
        assert!(events.is_null() || *events == json!([]), "{name}: {answer}");
    }
    let document = "{ subscriptions { nodes { status } } customers { nodes { closedAt } }
        meters { nodes { archived } } plans(seller: ITSELF) { nodes { retired } }
        locations { totalCount } }";
    let after = site.seen(&site.a, &a.position, document).await;
    assert_eq!(after["subscriptions"]["nodes"], json!([{ "status": "ACTIVE" }]));
    assert_eq!(after["meters"]["nodes"], json!([{ "archived": false }]));
    assert_eq!(after["plans"]["nodes"], json!([{ "retired": false }]));
    assert_eq!(after["locations"]["totalCount"], 1);
    assert!(
        after["customers"]["nodes"].as_array().unwrap().iter().all(|it| it["closedAt"].is_null())
    );
}

async fn every_rest_route_shows_a_tenant_its_own_and_nothing_else(on: Kind) {
    let Ground { site, a, b } = ground(on).await;
    let range = "from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z";
    let routes = [
        "/api/v1/events?limit=1000".to_owned(),
        format!("/api/v1/usage?{range}&meter=amber.requests&step=hour"),
        format!("/api/v1/usage?{range}&customer={}&step=total", a.customer),
        format!("/api/v1/usage?{range}"),
    ];
    for route in &routes {
        let ask = async |who: &Member, position: &str| {
            let request = Request::get(site.url(route)).with_header("callboard-position", position);
            site.send(who, request).await
        };
        let (own, foreign) = (ask(&site.a, &a.position).await, ask(&site.b, &b.position).await);
        assert_eq!((own.status, foreign.status), (200, 200), "{route}: {}", foreign.text());
        assert!(!shows_a(&foreign.text()), "{route}: B sees {}", foreign.text());
        assert!(shows_a(&own.text()), "{route} cannot tell: A sees {}", own.text());
    }
    // A usage identity that A has used is new to B.
    let entry = json!({ "source": "amber", "id": "1", "meter": "birch.requests", "value": 1 });
    let recorded: Value =
        site.post(&site.b, "/api/v1/usage", "application/json", entry.to_string()).await.json();
    assert_eq!(recorded["counts"]["accepted"], 1, "{recorded}");
}
