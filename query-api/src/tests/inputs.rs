//! An input that does not fit fails the request: nothing of it is executed, not even what comes
//! before it.

use std::collections::BTreeSet;

use projections::temporary::Kind;
use serde_json::{Value, json};

use crate::testing::{Site, on_each_kind};

/// A scalar of the schema, and a field with a place for one of its values, written `V`.
struct Row {
    scalar: &'static str,
    /// The type of the place.
    kind: &'static str,
    operation: &'static str,
    field: &'static str,
    good: Value,
    bad: Vec<Value>,
}

fn row(kind: &'static str, field: &'static str, good: Value, bad: Value) -> Row {
    let Value::Array(bad) = bad else { panic!("a list of what is refused") };
    let scalar = kind.trim_end_matches('!');
    Row { scalar, kind, operation: "mutation", field, good, bad }
}

/// Every scalar that is not just anything.
fn rows() -> Vec<Row> {
    let day = row(
        "NaiveDate!",
        "analytics(from: V, to: \"2026-01-02\") { entities }",
        json!("2026-01-01"),
        json!(["2026-02-30", "nope", "2026-01-01T00:00:00Z", 20_260_101, true, ["2026-01-01", 1]]),
    );
    vec![
        row(
            "UUID",
            "renameTenant(name: \"x\", options: {preview: true, correlationId: V}) { userErrors { code } }",
            json!("0193789e-1c2b-7def-8a90-1234567890ab"),
            json!(["nope", "", 5, true, { "a": 1 }]),
        ),
        row(
            "Long",
            "renameTenant(name: \"x\", options: {preview: true, expectedRevision: {exact: V}})
                { userErrors { code } }",
            json!("18446744073709551615"),
            json!([-1, 1.5, "nope", true, "18446744073709551616", { "a": 1 }]),
        ),
        row(
            "DateTime",
            "recordUsage(entries: [{source: \"s\", id: \"i\", meter: \"m\", value: \"1\", at: V}])
                { userErrors { code } }",
            json!("2026-11-30T12:00:00Z"),
            json!(["2026-13-01T00:00:00Z", "nope", 5, true, ["2026-11-30T12:00:00Z"]]),
        ),
        row(
            "Int!",
            "raiseClusterLevel(to: V) { userErrors { code } }",
            json!(1),
            json!([-1, 2_147_483_648_u32, 1.5, "1", true, [1]]),
        ),
        row(
            "Boolean!",
            "renameTenant(name: \"x\", options: {preview: V}) { userErrors { code } }",
            json!(true),
            json!(["true", 1, [true]]),
        ),
        row(
            "String!",
            "renameTenant(name: V, options: {preview: true}) { userErrors { code } }",
            json!("x"),
            json!([1, true, ["x"]]),
        ),
        row(
            "ID!",
            "deregisterLocation(location: V) { userErrors { code } }",
            json!("x"),
            json!([true, 1.5, ["x"]]),
        ),
        Row { operation: "query", ..day },
    ]
}

/// The answer to an operation: its status and what it says.
async fn ask(site: &Site, document: &str, variables: &Value) -> (u16, Value) {
    let body = json!({ "query": document, "variables": variables }).to_string();
    let reply = site.post(&site.operator, "/graphql", "application/json", body).await;
    (reply.status, reply.json())
}

/// What has an effect that can be seen, to stand before what does not fit.
const EFFECT: &str = "before: renameTenant(name: \"SIDE\") { outcome { sequence } }";

/// The request is refused, and what stands before the mistake does not happen.
async fn check(site: &Site, document: &str, variables: &Value, input: &str) {
    let body = json!({ "query": document, "variables": variables }).to_string();
    let reply = site.post(&site.a, "/graphql", "application/json", body).await;
    let answer = reply.json();
    assert_eq!(reply.status, 422, "{document} {variables}: {answer}");
    assert!(answer.get("data").is_none(), "{document} {variables}: {answer}");
    let extensions = &answer["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "GRAPHQL_VALIDATION_FAILED", "{document} {variables}: {answer}");
    let told = answer["errors"][0]["message"].as_str().unwrap();
    assert!(told.contains(input) && told.contains("expected"), "{input}: {told}");
    let name = site.data(&site.a, "{ tenant { name } }", json!({})).await;
    assert_eq!(name["tenant"]["name"], "alpha", "{document} {variables}");
}

on_each_kind! {
    types_of_events_that_no_event_has_are_named
}

/// A scalar without a row is a scalar of which nobody knows what a bad value does.
#[tokio::test]
async fn every_scalar_of_the_schema_is_looked_at_before_anything_is_executed() {
    let site = Site::start().await;
    let rows = rows();
    let schema = site.data(&site.a, "{ __schema { types { kind name } } }", json!({})).await;
    let types = schema["__schema"]["types"].as_array().unwrap().iter();
    let scalars = types.filter(|it| it["kind"] == "SCALAR").map(|it| it["name"].as_str().unwrap());
    // The first takes anything, the second only stands in results.
    let known = rows.iter().map(|it| it.scalar).chain(["JSON", "Float"]);
    assert_eq!(scalars.collect::<BTreeSet<_>>(), known.collect::<BTreeSet<_>>());

    for Row { kind, operation, field, good, bad, .. } in &rows {
        let effect = if *operation == "mutation" { EFFECT } else { "before: tenant { name }" };
        let with_variable = field.replace('V', "$value");
        let alone = format!("{operation}($value: {kind}) {{ {with_variable} }}");
        let (status, answer) = ask(&site, &alone, &json!({ "value": good })).await;
        assert!(matches!(status, 200 | 294), "{alone} {good}: {answer}");

        for value in bad {
            let document = format!("{operation}($value: {kind}) {{ {effect} {with_variable} }}");
            check(&site, &document, &json!({ "value": value }), "").await;
            let literal = value.to_string().replace("\"a\"", "a");
            let nullable = kind.trim_end_matches('!');
            let with_default = format!(
                "{operation}($value: {nullable} = {literal}) {{ {effect} {with_variable} }}"
            );
            check(&site, &with_default, &json!({}), "").await;
            let written = format!("{operation} {{ {effect} {} }}", field.replace('V', &literal));
            check(&site, &written, &json!({}), "").await;
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_is_named_by_its_place_wherever_it_is() {
    let site = Site::start().await;
    let rename = |options: &str| {
        format!("renameTenant(name: \"x\", options: {options}) {{ outcome {{ at }} }}")
    };
    let options = format!("mutation($o: CommandOptions) {{ {EFFECT} {} }}", rename("$o"));
    let uuid = json!({ "correlationId": "nope" });
    check(&site, &options, &json!({ "o": uuid }), "`$o.correlationId`, got `\"nope\"`").await;
    let exact = json!({ "expectedRevision": { "exact": -1 } });
    check(&site, &options, &json!({ "o": exact }), "`$o.expectedRevision.exact`").await;
    check(&site, &options, &json!({ "o": "nope" }), "`$o`").await;

    let record = "recordUsage(entries: $e) { outcome { at } }";
    let entries = format!("mutation($e: [UsageEntryInput!]!) {{ {EFFECT} {record} }}");
    let entry =
        |at: &str| json!({ "source": "s", "id": "1", "meter": "m", "value": "1", "at": at });
    let two = json!({ "e": [entry("2026-11-30T12:00:00Z"), entry("2026-11-31T12:00:00Z")] });
    check(&site, &entries, &two, "`$e[1].at`").await;

    let terms = "publishPlanVersion(terms: $t) { created }";
    let terms = format!("mutation($t: TermsInput!) {{ {EFFECT} {terms} }}");
    let interval = json!({ "unit": "MONTH", "count": -1 });
    let plan = json!({ "name": "P", "currency": "EUR", "items": [], "interval": interval });
    check(&site, &terms, &json!({ "t": plan }), "`$t.interval.count`").await;

    // What the library does not look at: a variable without a value stands beside it.
    let beside = rename("{idempotencyKey: $k, correlationId: \"nope\"}");
    let beside = format!("mutation($k: String) {{ {EFFECT} {beside} }}");
    check(&site, &beside, &json!({}), "`options.correlationId`").await;
    let exact = rename("{expectedRevision: {exact: $r}}");
    let exact = format!("mutation($r: Long) {{ {EFFECT} {exact} }}");
    check(&site, &exact, &json!({}), "`options.expectedRevision`").await;
    let preview = rename("{preview: $p}");
    let preview = format!("mutation($p: Boolean = true) {{ {EFFECT} {preview} }}");
    check(&site, &preview, &json!({ "p": null }), "`options.preview`").await;
    let fragment = rename("{correlationId: \"nope\"}");
    let fragment = format!("mutation {{ {EFFECT} ...F }} fragment F on Mutation {{ {fragment} }}");
    check(&site, &fragment, &json!({}), "`options.correlationId`").await;
    let inline = rename("{correlationId: \"nope\"}");
    let inline = format!("mutation {{ {EFFECT} ... {{ {inline} }} }}");
    check(&site, &inline, &json!({}), "`options.correlationId`").await;
    let other = format!(
        "query O {{ tenant {{ name }} }} mutation M($o: CommandOptions) {{ {EFFECT} {} }}",
        rename("$o")
    );
    let body = json!({ "query": other, "operationName": "M", "variables": { "o": uuid } });
    let reply = site.post(&site.a, "/graphql", "application/json", body.to_string()).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
}

/// A number that fits its type but not what it is for is a mistake that is answered by path.
#[tokio::test]
async fn a_number_too_large_for_terms_is_named() {
    let site = Site::start().await;
    let terms = |interval: u32, trial: u32| {
        json!({
            "name": "P", "currency": "EUR", "items": [], "trialDays": trial,
            "interval": { "unit": "MONTH", "count": interval },
        })
    };
    let document = "mutation($t: TermsInput!) {
        publishPlanVersion(terms: $t) { userErrors { code path message } } }";
    for (terms, path) in
        [(terms(70_000, 0), "terms.interval.count"), (terms(1, 70_000), "terms.trialDays")]
    {
        let payload = site.data(&site.a, document, json!({ "t": terms })).await;
        let error = &payload["publishPlanVersion"]["userErrors"][0];
        assert_eq!((&error["code"], &error["path"]), (&json!("BAD_USER_INPUT"), &json!(path)));
        assert!(error["message"].as_str().unwrap().contains("70000"), "{error}");
    }
}

/// The audit trail knows types by the same names as the feeds.
async fn types_of_events_that_no_event_has_are_named(on: Kind) {
    let site = Site::start_on(on).await;
    let audit = "query($types: [String!]!) { audit(matching: {types: $types}) { totalCount } }";
    for types in ["tenant", "callboard.tenant", "callboard.tenant.created.v1"] {
        let found = site.data(&site.a, audit, json!({ "types": [types] })).await;
        assert_eq!(found["audit"]["totalCount"], 1, "{types}");
    }
    for types in ["tenants", "callboard", "entity.", ""] {
        let answer = site.graphql(&site.a, audit, json!({ "types": ["tenant", types] })).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{types}: {answer}");
        let told = format!("got `{types}`, which no event has");
        assert!(error["message"].as_str().unwrap().ends_with(&told), "{answer}");
    }
}
