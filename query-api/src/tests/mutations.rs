//! Every operation once, and the ways in which all of them are alike.

use std::collections::BTreeSet;

use domain::operation::Operation;
use serde_json::{Value, json};

use super::seeded::{apply, component, put, seed};
use crate::testing::{Member, Site};

/// Fields of a payload that every mutation has.
const PAYLOAD: &str = "outcome { commandId position sequence remembered events { type } } \
                       userErrors { code message path }";

/// Runs one mutation; its payload, accepted or not.
async fn run(site: &Site, who: &Member, name: &str, arguments: &str, fields: &str) -> Value {
    let document = format!("mutation {{ {name}({arguments}) {{ {PAYLOAD} {fields} }} }}");
    let document = document.replace("()", "");
    site.data(who, &document, json!({})).await[name].take()
}

/// Runs one mutation that must do exactly this.
async fn check(site: &Site, who: &Member, (name, arguments): (&str, &str), event: &str) -> Value {
    let created = ["openCustomer", "publishPlanVersion", "startSubscription"];
    let fields = if created.contains(&name) { "created" } else { "" };
    let payload = run(site, who, name, arguments, fields).await;
    assert_eq!(payload["userErrors"], json!([]), "{name}");
    assert_eq!(payload["outcome"]["events"][0]["type"], event, "{name}: {payload}");
    payload
}

#[tokio::test]
async fn every_operation_can_be_asked_for() {
    let site = Site::start().await;
    let (a, operator) = (&site.a, &site.operator);
    let registered = run(
        &site,
        operator,
        "registerTenant",
        "input: {slug: \"carol\", name: \"Carol\"}",
        "tenantId",
    )
    .await;
    let carol = registered["tenantId"].as_str().unwrap();
    let mut done = BTreeSet::from(["registerTenant", "applyEntities"].map(str::to_owned));
    let mut step = async |who: &Member, name: &str, arguments: &str, event: &str| {
        done.insert(name.to_owned());
        check(&site, who, (name, arguments), event).await
    };
    let of_carol = format!("tenantId: \"{carol}\"");
    site.commands.created(carol.parse().unwrap(), crate::testing::SOON).await.unwrap();
    step(
        operator,
        "changeSlug",
        &format!("{of_carol}, slug: \"caroline\""),
        "directory.slug-changed.v1",
    )
    .await;
    step(
        operator,
        "addHost",
        &format!("{of_carol}, host: \"carol.example\""),
        "directory.host-added.v1",
    )
    .await;
    step(
        operator,
        "removeHost",
        &format!("{of_carol}, host: \"carol.example\""),
        "directory.host-removed.v1",
    )
    .await;
    step(
        operator,
        "suspendTenant",
        &format!("{of_carol}, reason: REQUESTED"),
        "directory.tenant-suspended.v1",
    )
    .await;
    step(operator, "reactivateTenant", &of_carol, "directory.tenant-reactivated.v1").await;
    step(a, "renameTenant", "name: \"Alpha Ltd\"", "tenant.renamed.v1").await;
    let settings = "input: {timeZone: \"Europe/Berlin\", currency: \"USD\", kinds: EXTENDED}";
    step(a, "configureTenant", settings, "tenant.configured.v1").await;
    let open = "input: {role: CUSTOMER, name: \"Shop\", timeZone: \"Asia/Tokyo\"}";
    let shop = step(a, "openCustomer", open, "customer.opened.v1").await;
    let shop = shop["created"].as_str().unwrap().to_owned();
    let change = format!("input: {{customerId: \"{shop}\", name: \"Shop 2\"}}");
    step(a, "changeCustomer", &change, "customer.changed.v1").await;
    let meter = "input: {key: \"calls\", name: \"Calls\", unit: \"call\", aggregation: COUNT}";
    step(a, "defineMeter", meter, "meter.defined.v1").await;
    let terms = "terms: {name: \"Basic\", currency: \"USD\", interval: {unit: MONTH}, items: [
        {key: \"calls\", description: \"Calls\", price: {perUnit: {meter: \"calls\", unit: \"0.5\"}}}]}";
    let basic = step(a, "publishPlanVersion", terms, "plan.version-published.v1").await;
    let basic = basic["created"].as_str().unwrap().to_owned();
    let other = step(
        a,
        "publishPlanVersion",
        &terms.replace("Basic", "Other"),
        "plan.version-published.v1",
    )
    .await;
    let other = other["created"].as_str().unwrap().to_owned();
    let start = format!("customerId: \"{shop}\", planId: \"{basic}\"");
    let sale = step(a, "startSubscription", &start, "subscription.started.v1").await;
    let sale = format!("subscriptionId: \"{}\"", sale["created"].as_str().unwrap());
    let change = format!("{sale}, planId: \"{other}\"");
    step(a, "changePlan", &change, "subscription.plan-changed.v1").await;
    let cancel = format!("{sale}, when: PERIOD_END");
    step(a, "cancelSubscription", &cancel, "subscription.cancellation-scheduled.v1").await;
    step(a, "undoCancellation", &sale, "subscription.cancellation-undone.v1").await;
    let now = format!("{sale}, when: NOW");
    step(a, "cancelSubscription", &now, "subscription.cancelled.v1").await;
    step(a, "retirePlan", &format!("planId: \"{other}\""), "plan.retired.v1").await;
    let usage = "entries: [{source: \"s\", id: \"1\", meter: \"calls\", value: \"1\"}]";
    step(a, "recordUsage", usage, "usage.recorded.v1").await;
    step(a, "archiveMeter", "key: \"calls\"", "meter.archived.v1").await;
    step(a, "closeCustomer", &format!("customerId: \"{shop}\""), "customer.closed.v1").await;
    let target = "input: {kind: URL, target: \"https://example.org/c.yaml\"}";
    step(a, "registerLocation", target, "location.registered.v1").await;
    let located = run(&site, a, "registerLocation", target, "location").await;
    let located = format!("location: \"{}\"", located["location"].as_str().unwrap());
    step(a, "deregisterLocation", &located, "location.deregistered.v1").await;
    let applied = apply(&site, a, json!([put(&component("web", "web"), None)])).await;
    assert_eq!(
        applied["changes"],
        json!([{ "reference": "component:default/web", "effect": "CREATED" }])
    );
    step(a, "closeTenant", "", "tenant.closed.v1").await;

    let document = "{ __schema { mutationType { fields { name } } } }";
    let schema = site.data(a, document, json!({})).await;
    let fields = schema["__schema"]["mutationType"]["fields"].as_array().unwrap().clone();
    let fields: BTreeSet<_> =
        fields.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(done, fields, "every mutation needs a step here");
    assert!(fields.contains(Operation::CloseTenant.name()));
}

#[tokio::test]
async fn what_the_caller_must_mend_is_named_by_code_and_path() {
    let site = Site::start().await;
    let cases = [
        (
            &site.operator,
            "registerTenant",
            "input: {slug: \"X\", name: \"X\"}",
            "BAD_USER_INPUT",
            Some("input.slug"),
        ),
        (
            &site.operator,
            "registerTenant",
            "input: {slug: \"alpha\", name: \"X\"}",
            "SLUG_TAKEN",
            None,
        ),
        (&site.a, "closeCustomer", "customerId: \"x\"", "BAD_USER_INPUT", Some("customerId")),
        (
            &site.a,
            "defineMeter",
            "input: {key: \"m\", name: \"M\", unit: \"u\", aggregation: UNIQUE_COUNT}",
            "BAD_USER_INPUT",
            Some("input.dimension"),
        ),
        (
            &site.a,
            "publishPlanVersion",
            "terms: {name: \"P\", currency: \"EUR\", interval: {unit: DAY}, items: [
                {key: \"i\", description: \"d\", price: {flat: {unit: \"ten\"}}}]}",
            "BAD_USER_INPUT",
            Some("terms.items[0].price.flat.unit"),
        ),
        (
            &site.a,
            "recordUsage",
            "entries: [{source: \"s\", id: \"1\", meter: \"m\", value: \"1e3\"}]",
            "BAD_USER_INPUT",
            Some("entries[0].value"),
        ),
        (
            &site.a,
            "applyEntities",
            "input: {changes: [{put: {descriptor: {kind: \"Component\"}}}]}",
            "BAD_USER_INPUT",
            Some("changes[0]"),
        ),
        (
            &site.a,
            "renameTenant",
            "name: \"N\", options: {idempotencyKey: \"\"}",
            "BAD_USER_INPUT",
            Some("options.idempotencyKey"),
        ),
    ];
    for (who, name, arguments, code, path) in cases {
        let payload = run(&site, who, name, arguments, "").await;
        let error = &payload["userErrors"][0];
        assert_eq!(error["code"], code, "{name}: {payload}");
        match path {
            Some(path) => {
                let found = error["path"].as_str().unwrap_or_default();
                assert!(found.starts_with(path), "{name}: {payload}");
            }
            None => assert_eq!(error["path"], Value::Null, "{name}: {payload}"),
        }
        assert_eq!(payload["outcome"], Value::Null);
    }
    let denied = "mutation { registerTenant(input: {slug: \"abc\", name: \"x\"}) { tenantId } }";
    let denied = site.graphql(&site.a, denied, json!({})).await;
    assert_eq!(denied["errors"][0]["extensions"]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn a_change_is_made_only_to_what_was_expected() {
    let site = Site::start().await;
    let rename = |options: &str| format!("name: \"New\", options: {{{options}}}");
    for (expected, code) in [
        ("expectedRevision: {exact: 9}", "REVISION_CONFLICT"),
        ("expectedRevision: {state: NONE}", "REVISION_CONFLICT"),
    ] {
        let payload = run(&site, &site.a, "renameTenant", &rename(expected), "").await;
        assert_eq!(payload["userErrors"][0]["code"], code, "{payload}");
    }
    let revision = "{ tenant { revision } }";
    let previewed = run(&site, &site.a, "renameTenant", &rename("preview: true"), "").await;
    assert_eq!(previewed["outcome"]["events"][0]["type"], "tenant.renamed.v1");
    let again = run(&site, &site.a, "renameTenant", &rename("preview: true"), "").await;
    assert_eq!(again["outcome"]["sequence"], previewed["outcome"]["sequence"], "nothing happened");
    let position = again["outcome"]["position"].as_str().unwrap();
    let before =
        site.seen(&site.a, position, revision).await["tenant"]["revision"].as_u64().unwrap();
    let exact = rename(&format!("expectedRevision: {{exact: {before}}}"));
    let payload = check(&site, &site.a, ("renameTenant", &exact), "tenant.renamed.v1").await;
    let position = payload["outcome"]["position"].as_str().unwrap();
    let after = site.seen(&site.a, position, "{ tenant { name revision } }").await;
    assert_eq!(
        after["tenant"],
        json!({ "name": "New", "revision": before + 1 }),
        "read your writes"
    );
}

#[tokio::test]
async fn a_repeated_request_answers_what_it_answered() {
    let site = Site::start().await;
    let open = "input: {role: CUSTOMER, name: \"Once\"}, options: {idempotencyKey: \"k-1\"}";
    let first = run(&site, &site.a, "openCustomer", open, "created").await;
    let again = run(&site, &site.a, "openCustomer", open, "created").await;
    assert_eq!(again["created"], first["created"]);
    assert_eq!(again["outcome"]["commandId"], first["outcome"]["commandId"]);
    assert_eq!(
        (&again["outcome"]["remembered"], &first["outcome"]["remembered"]),
        (&json!(true), &json!(false))
    );
    let other =
        run(&site, &site.a, "openCustomer", &open.replace("Once", "Twice"), "created").await;
    assert_eq!(other["userErrors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
    let position = again["outcome"]["position"].as_str().unwrap();
    let customers = site.seen(&site.a, position, "{ customers { totalCount } }").await;
    assert_eq!(customers["customers"]["totalCount"], 2, "itself and the one");
}

#[tokio::test]
async fn a_single_page_shows_an_entity_with_everything_around_it() {
    let site = Site::start().await;
    let seeded = seed(&site, &site.a, "cedar").await;
    let document = "{ entity(reference: \"component:default/cedar-service\") {
        title owners { target { title } } relations(types: [\"partOf\"]) { target { reference } }
        location { target } history(first: 1) { nodes { change revision } }
    } }";
    let entity = site.seen(&site.a, &seeded.position, document).await["entity"].take();
    assert_eq!(entity["owners"][0]["target"]["title"], "cedar team");
    assert_eq!(entity["relations"][0]["target"]["reference"], "system:default/cedar-system");
    assert_eq!(entity["location"]["target"], "https://example.org/cedar/catalog.yaml");
    assert_eq!(entity["history"]["nodes"], json!([{ "change": "REGISTERED", "revision": 1 }]));
}
