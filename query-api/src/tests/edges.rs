//! However many nodes a page has, its edges cost the same number of statements.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Once;

use projections::temporary::Kind;
use serde_json::{Value, json};
use tracing::{Event, Metadata, Subscriber, span};

use super::seeded::{self, apply, component, put};
use crate::testing::{Site, on_each_kind};

thread_local! {
    /// Statements that were read with, and readers of the log that were opened, on this thread.
    /// A test has a thread of its own, and all of its site runs on it.
    static STATEMENTS: Cell<usize> = const { Cell::new(0) };
    static LOG_READS: Cell<usize> = const { Cell::new(0) };
}

/// Counts the statements of readers and their reads of the log; they tell of each.
struct Counting;

impl Subscriber for Counting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["projections::statement", "query_api::log_read"].contains(&metadata.target())
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let counter = match event.metadata().target() {
            "query_api::log_read" => &LOG_READS,
            _ => &STATEMENTS,
        };
        counter.set(counter.get() + 1);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Counts from here on, in every test of this process.
fn count() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        tracing::subscriber::set_global_default(Counting).expect("no other test listens");
    });
}

/// The edges that are fetched for all their siblings at once, and whose statements are counted
/// below.
const COUNTED: &[&str] = &[
    "Customer.subscriptions",
    "Entity.history",
    "Entity.location",
    "Entity.owners",
    "Entity.relations",
    "Entity.usage",
    "Member.roles",
    "Relation.target",
    "Subscription.customer",
    "Subscription.history",
    "UsageSeries.customer",
    "UsageTotal.customer",
];

/// What was read together with whatever holds it, or stands alone.
const HELD: &[&str] = &[
    "AnalyticsDay.commandsByNoun",
    "CausalTree.caused",
    "Caused.event",
    "Cluster.processes",
    "CommandOutcome.events",
    "Condition.all",
    "Condition.annotation",
    "Condition.any",
    "Condition.label",
    "EntityChange.entity",
    "EntityUsage.buckets",
    "EntityUsage.total",
    "EntityUsageReport.meters",
    "Explanation.givenBy",
    "Facet.values",
    "GivenBy.when",
    "GraduatedPrice.tiers",
    "Member.apiKeys",
    "Member.sessions",
    "Meter.aggregation",
    "Plan.versions",
    "PlanVersion.terms",
    "Registration.standing",
    "Role.permits",
    "RolePermit.when",
    "Subscription.terms",
    "Tenant.providers",
    "Tenant.standing",
    "Terms.interval",
    "Terms.items",
    "Terms.quotas",
    "UsageSeries.buckets",
    "UsageSeriesReport.series",
    "UsageTotals.totals",
    "Viewer.apiKeys",
    "Viewer.permissions",
    "Viewer.sessions",
    "VolumePrice.tiers",
];

/// Every field of the schema that leads from an object to others, but for those that only wrap
/// nodes and those at the roots.
fn edges(schema: &str) -> BTreeSet<String> {
    let is_wrapper = |it: &str| {
        let ends = ["Query", "Mutation", "Root", "Connection", "Edge", "Payload"];
        ends.iter().any(|end| it.ends_with(end))
    };
    let named = |line: &str| Some(line.strip_prefix("type ")?.split(' ').next()?.to_owned());
    let objects: BTreeSet<String> = schema.lines().filter_map(named).collect();
    let (mut holder, mut described, mut edges) = (None, false, BTreeSet::new());
    for line in schema.lines() {
        match line.strip_prefix('\t') {
            Some("\"\"\"") => described = !described,
            Some(field) if !described => {
                let Some((holder, (start, result))) = holder.as_ref().zip(field.rsplit_once(": "))
                else {
                    continue;
                };
                let name = start.split(['(', ':']).next().unwrap_or_default();
                if objects.contains(result.trim_matches(['[', ']', '!'])) {
                    edges.insert(format!("{holder}.{name}"));
                }
            }
            Some(_) => {}
            None => holder = named(line).filter(|it| !is_wrapper(it)),
        }
    }
    edges
}

on_each_kind! {
    a_page_costs_the_same_statements_however_long_it_is
    billing_costs_the_same_statements_however_many_buy
    roles_cost_the_same_statements_however_many_members_have_them
}

#[test]
fn every_edge_of_the_schema_is_counted_or_needs_no_statement() {
    let listed: BTreeSet<String> = COUNTED.iter().chain(HELD).map(|it| (*it).to_owned()).collect();
    assert_eq!(edges(include_str!("../../../schemas/api.graphql")), listed);
    let new = "type Plan {\n\t\"\"\"\n\tWho: Plan\n\t\"\"\"\n\tbuyers(first: Int): [Plan!]!\n}\n";
    assert_eq!(edges(new), BTreeSet::from(["Plan.buyers".to_owned()]));
}

/// As many statements as the first page took.
fn expected(counted: &[usize]) -> usize {
    counted.first().copied().unwrap_or(usize::MAX)
}

/// How often a document is asked at least, and at most.
const TRIES: (usize, usize) = (3, 20);

/// What a document is answered, and the fewest statements that took of several times: the engine looks
/// around every second, on the same thread. It is asked again until they are no more than `expected`,
/// if that comes to be.
async fn cost(site: &Site, document: &str, expected: usize) -> (Value, usize) {
    let mut fewest = usize::MAX;
    let mut answer = Value::Null;
    for tried in 1..=TRIES.1 {
        let before = STATEMENTS.get();
        answer = site.data(&site.a, document, json!({})).await;
        fewest = fewest.min(STATEMENTS.get() - before);
        if tried >= TRIES.0 && fewest <= expected {
            break;
        }
    }
    (answer, fewest)
}

async fn a_page_costs_the_same_statements_however_long_it_is(on: Kind) {
    count();
    let site = Site::start_on(on).await;
    let locate =
        "mutation { registerLocation(input: {kind: URL, target: \"https://example.org/c\"}) {
        location userErrors { code } } }";
    let location = site.mutate(&site.a, locate, json!({})).await["location"].take();
    let location = location.as_str().unwrap();
    let team = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Group",
        "metadata": { "name": "many-team" }, "spec": { "type": "team", "children": [] },
    });
    let mut changes = vec![put(&team, None)];
    changes.extend(
        (0..24).map(|it| put(&component(&format!("many-{it:02}"), "many"), Some(location))),
    );
    apply(&site, &site.a, json!(changes)).await;
    let position = use_all(&site).await;
    let document = |first: u32| {
        format!(
            "{{ entities(matching: {{filter: [\"kind=component\"]}}, first: {first}) {{
                totalCount facets(keys: [\"kind\"]) {{ values {{ count }} }}
                nodes {{
                    reference location {{ target }}
                    owners {{ target {{ title location {{ target }} owners {{ targetReference }} }} }}
                    relations(first: 10) {{ totalCount nodes {{ type target {{
                        reference relations(first: 5, types: [\"ownerOf\"]) {{ totalCount nodes {{ type }} }} }} }} }}
                    history(first: 3) {{ nodes {{ revision }} }}
                    usage(from: \"2026-01-01T00:00:00Z\", to: \"2026-01-02T00:00:00Z\") {{
                        sequence meters {{ meter total {{ sum }} buckets {{ start }} }} }}
                }} }} }}"
        )
    };
    // No two depths ask the same of a loader: whether they would share a statement is a matter of
    // time. The first time waits for the models.
    site.seen(&site.a, &position, &document(1)).await;
    let mut counted = Vec::new();
    for first in [1, 20] {
        let (data, statements) = cost(&site, &document(first), expected(&counted)).await;
        let nodes = data["entities"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), first as usize);
        assert!(nodes.iter().all(|it| it["owners"][0]["target"].is_object()), "{data}");
        for (number, node) in nodes.iter().enumerate() {
            let used = &node["usage"]["meters"][0]["total"]["sum"];
            assert_eq!(*used, (number + 1).to_string(), "each has its own usage: {data}");
        }
        counted.push(statements);
    }
    assert!(counted[0] > 0, "the statements are counted");
    assert!(counted[1] <= counted[0], "1 entity and 20 entities");
    check_bodies(&site).await;
}

/// Uses something on behalf of each of the components, of each one more than of the one before;
/// the position after it.
async fn use_all(site: &Site) -> String {
    let define = "mutation { defineMeter(input: {key: \"calls\", name: \"Calls\", unit: \"call\",
        aggregation: SUM}) { userErrors { code } } }";
    site.mutate(&site.a, define, json!({})).await;
    let entry = |it: usize| {
        json!({ "source": "s", "id": it.to_string(), "meter": "calls",
            "value": (it + 1).to_string(), "at": "2026-01-01T10:30:00Z",
            "dimensions": { "entity": format!("component:default/many-{it:02}") } })
    };
    let entries: Vec<_> = (0..24).map(entry).collect();
    let entries = json!(entries).to_string();
    let recorded = site.post(&site.a, "/api/v1/usage", "application/json", entries).await.json();
    recorded["position"].as_str().unwrap().to_owned()
}

/// The bodies of a page of events cost one read of the log, however many they are.
async fn check_bodies(site: &Site) {
    for first in [1, 20] {
        let document =
            format!("{{ audit(first: {first}) {{ nodes {{ sequence type stream body }} }} }}");
        let before = LOG_READS.get();
        let data = site.data(&site.a, &document, json!({})).await;
        assert_eq!(LOG_READS.get() - before, 1, "{first} bodies");
        let nodes = data["audit"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), first);
        for node in nodes {
            let body = &node["body"];
            let uid = &body["uid"];
            assert!(body.is_object(), "{node}");
            let registered = node["type"] == "entity.registered.v1";
            assert_eq!(uid.is_string(), registered, "each has its own body: {node}");
        }
    }
}

async fn billing_costs_the_same_statements_however_many_buy(on: Kind) {
    count();
    let site = Site::start_on(on).await;
    let (customers, position) = sell_to_many(&site).await;
    let span = "from: \"2026-01-01T00:00:00Z\", to: \"2026-01-02T00:00:00Z\"";
    // Each edge on its own: two edges to the same loader may or may not share a statement.
    let bought = |what: &str| {
        format!("customers(last: COUNT) {{ nodes {{ subscriptions(first: 2) {{ {what} }} }} }}")
    };
    let used = |what: &str| {
        let buyer = "customer { name }";
        format!("usage{what}(matching: {{{span}, customers: BUYERS}}) {{ ROWS {{ {buyer} }} }}")
    };
    let (sold, buyer) = (bought("subscriptionId"), bought("customer { name }"));
    let steps = bought("history { revision }");
    let totals = used("Totals").replace("ROWS", "totals");
    let series = used("Series").replace("ROWS", "series");
    for (field, nodes, seen) in [
        (sold, "/customers/nodes", "/subscriptions/0/subscriptionId"),
        (buyer, "/customers/nodes", "/subscriptions/0/customer/name"),
        (steps, "/customers/nodes", "/subscriptions/0/history/0/revision"),
        (totals, "/usageTotals/totals", "/customer/name"),
        (series, "/usageSeries/series", "/customer/name"),
    ] {
        let document = |count: usize| {
            let buyers = json!(customers[..count]).to_string();
            let field = field.replace("COUNT", &count.to_string()).replace("BUYERS", &buyers);
            format!("{{ {field} }}")
        };
        site.seen(&site.a, &position, &document(1)).await;
        let mut counted = Vec::new();
        for count in [1, 20] {
            let (data, statements) = cost(&site, &document(count), expected(&counted)).await;
            counted.push(statements);
            let nodes = data.pointer(nodes).and_then(|it| it.as_array()).unwrap();
            assert_eq!(nodes.len(), count, "{data}");
            let led = nodes.iter().filter_map(|it| it.pointer(seen)).filter(|it| !it.is_null());
            assert_eq!(led.count(), count, "each edge leads somewhere: {data}");
        }
        assert!(counted[0] > 0, "the statements are counted");
        assert!(counted[1] <= counted[0], "1 and 20 of {field}");
    }
}

async fn roles_cost_the_same_statements_however_many_members_have_them(on: Kind) {
    count();
    let site = Site::start_on(on).await;
    let define = "mutation { defineRole(role: \"team\", permits: [{permission: \"entity.read\"}]) {
        userErrors { code } } }";
    site.mutate(&site.a, define, json!({})).await;
    let add = "mutation($id: String!) { addMember(input: {memberId: $id, roles: [\"team\"]}) {
        outcome { position } userErrors { code } } }";
    let mut position = String::new();
    for _ in 0..20 {
        let id = domain::id::ActorId(uuid::Uuid::now_v7()).to_string();
        let added = site.mutate(&site.a, add, json!({ "id": id })).await;
        position = added["outcome"]["position"].as_str().unwrap().to_owned();
    }
    let document =
        |count: u32| format!("{{ members(last: {count}) {{ nodes {{ roles {{ name }} }} }} }}");
    site.seen(&site.a, &position, &document(1)).await;
    let mut counted = Vec::new();
    for count in [1, 20] {
        let (data, statements) = cost(&site, &document(count), expected(&counted)).await;
        counted.push(statements);
        let nodes = data["members"]["nodes"].as_array().unwrap();
        let led = nodes.iter().filter(|it| it["roles"][0]["name"] == "team");
        assert_eq!(led.count(), count as usize, "{data}");
    }
    assert!(counted[0] > 0, "the statements are counted");
    assert!(counted[1] <= counted[0], "1 member and 20 members");
}

/// Opens accounts, each with a subscription and some usage; the accounts, and the position after
/// all of it.
async fn sell_to_many(site: &Site) -> (Vec<String>, String) {
    site.mutate(&site.a, seeded::METER, json!({ "key": "calls" })).await;
    let plan = json!({ "name": "Many", "meter": "calls" });
    let plan = site.mutate(&site.a, seeded::PUBLISH, plan).await["created"].take();
    let mut customers = Vec::new();
    for number in 0..20 {
        let name = json!({ "name": format!("buyer {number}") });
        let customer = site.mutate(&site.a, seeded::OPEN, name).await["created"].take();
        let bought = json!({ "customer": customer, "plan": plan });
        site.mutate(&site.a, seeded::START, bought).await;
        customers.push(customer.as_str().unwrap().to_owned());
    }
    let entry = |it: &String| {
        json!({ "source": "s", "id": it, "meter": "calls", "value": "1", "customer": it,
            "at": "2026-01-01T10:30:00Z" })
    };
    let entries = json!(customers.iter().map(entry).collect::<Vec<_>>()).to_string();
    let recorded = site.post(&site.a, "/api/v1/usage", "application/json", entries).await;
    assert_eq!(recorded.status, 200, "{}", recorded.text());
    let position = recorded.json()["position"].as_str().unwrap().to_owned();
    (customers, position)
}
