//! The demo: believable, complete, and the same on every machine of a day.

use serde_json::{Value, json};

use crate::harness::{Installation, Server, eventually};

const TENANTS: [&str; 3] = ["brightwater", "halcyon-bank", "orchard-games"];

/// What of a tenant must not depend on the machine: its entities as described, its usage.
async fn of(installation: &Installation, server: &Server, tenant: &str) -> Value {
    let api = server.api(&installation.token(tenant));
    let query = "query($after: String) { entities(first: 100, after: $after) {
        totalCount nodes { reference document } pageInfo { hasNextPage endCursor }
        facets(keys: [\"kind\"]) { values { value count } } } }";
    let (mut entities, mut after) = (Vec::new(), Value::Null);
    let total = loop {
        let page = &api.graphql(query, json!({"after": after})).await["entities"];
        for node in page["nodes"].as_array().into_iter().flatten() {
            let mut document = node["document"].clone();
            // Drawn anew by every installation.
            for key in ["uid", "etag"] {
                document["metadata"].as_object_mut().expect("metadata").remove(key);
            }
            entities.push(document);
        }
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] != true {
            break page["totalCount"].as_u64();
        }
    };
    assert_eq!(total, Some(entities.len() as u64), "{tenant}: every entity is on one page");
    let usage = "query($from: DateTime!, $to: DateTime!) {
        usageTotals(matching: {from: $from, to: $to}) {
            totals { meter count sum min max latest } } }";
    let always = json!({"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"});
    let usage = api.graphql(usage, always).await["usageTotals"]["totals"].clone();
    let sold = "{ subscriptions(first: 10) { totalCount } }";
    let sold = api.graphql(sold, Value::Null).await["subscriptions"]["totalCount"].clone();
    json!({"entities": entities, "usage": usage, "subscriptions": sold})
}

#[tokio::test]
async fn two_demos_of_a_day_are_the_same_believable_company() {
    let (one, other) = (Installation::new(), Installation::new());
    let (first, second) = (one.up_demo().await, other.up_demo().await);
    let mut entities = 0;
    for tenant in TENANTS {
        let here = of(&one, &first, tenant).await;
        entities += here["entities"].as_array().map_or(0, Vec::len);
        assert_eq!(here["subscriptions"], 1, "{tenant}");
        let meters = here["usage"].as_array().expect("totals");
        // 90 days, every hour.
        assert!(meters.len() == 2 && meters.iter().all(|it| it["count"] == 90 * 24), "{meters:?}");
        assert!(here == of(&other, &second, tenant).await, "{tenant} differs between two demos");
    }
    assert!(entities >= 150, "{entities} entities");

    let said = std::fs::read_to_string(one.home().join("server.log")).expect("the server's log");
    let token = said.lines().map(str::trim).find(|it| it.starts_with("eyJ"));
    let api = first.api(token.expect("a demo hands over a token"));
    let count = api.graphql("{ entities { totalCount } }", Value::Null).await;
    assert!(count["entities"]["totalCount"].as_u64() > Some(0));
    first.stop().await;
    second.stop().await;

    let again = one.up_demo().await;
    let listed = one.run(&["tenant", "list", "--json"]);
    assert_eq!(listed.json().as_array().map(Vec::len), Some(3), "{}", listed.stdout);
    let after: u64 = of(&one, &again, TENANTS[0]).await["usage"][0]["count"].as_u64().unwrap_or(0);
    assert_eq!(after, 90 * 24, "seeding again changes nothing");
    again.stop().await;
}

#[tokio::test]
async fn a_demo_opens_its_doors_once_it_shows_everything() {
    let installation = Installation::new();
    let server = Server::begin(&installation, &["--demo"]);
    let log = installation.home().join("server.log");
    let token = eventually("the demo hands over a token", async || {
        let said = std::fs::read_to_string(&log).ok()?;
        let token = said.lines().map(str::trim).find(|it| it.starts_with("eyJ"));
        token.filter(|_| said.ends_with('\n')).map(str::to_owned)
    });
    let api = server.api(&token.await);
    let query = "query($from: DateTime!, $to: DateTime!) {
        usageTotals(matching: {from: $from, to: $to}) { totals { count } } }";
    let always = json!({"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"});
    // The first answer there is.
    let answer = eventually("the doors are open", async || api.ask(query, &always).await.ok());
    let answer: Value = serde_json::from_slice(&answer.await.body).expect("JSON");
    let totals = answer["data"]["usageTotals"]["totals"].as_array();
    let totals = totals.unwrap_or_else(|| panic!("{answer}"));
    assert!(totals.len() == 2 && totals.iter().all(|it| it["count"] == 90 * 24), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_demo_starts_again_and_keeps_what_its_operator_has_changed() {
    const SYSTEM: &str = "ten_00000000000000000000000000000000";

    let installation = Installation::new();
    let server = installation.up_demo().await;
    let operator = server.api(&installation.token(SYSTEM));
    let plans = async |server: &Server| {
        let operator = server.api(&installation.token(SYSTEM));
        let query = "{ plans(first: 10) { nodes { planId name retired versions { version } } } }";
        operator.graphql(query, Value::Null).await["plans"]["nodes"].clone()
    };
    let sold = plans(&server).await;
    let retired = "mutation($plan: String!) { retirePlan(planId: $plan) {
        outcome { position } userErrors { message } } }";
    let answer = operator.graphql(retired, json!({"plan": sold[0]["planId"]})).await;
    assert_eq!(answer["retirePlan"]["userErrors"], json!([]), "{answer}");
    let terms = json!({
        "name": "Ours", "currency": "EUR", "interval": {"unit": "MONTH", "count": 1}, "items": [],
    });
    let published = "mutation($plan: String!, $terms: TermsInput!) {
        publishPlanVersion(planId: $plan, terms: $terms) { userErrors { message } } }";
    let variables = json!({"plan": sold[1]["planId"], "terms": terms});
    let answer = operator.graphql(published, variables).await;
    assert_eq!(answer["publishPlanVersion"]["userErrors"], json!([]), "{answer}");
    let tenants = installation.run(&["tenant", "list", "--json"]).json();
    let tenants = tenants.as_array().expect("a list");
    let renamed = tenants.iter().find(|it| it["slug"] == TENANTS[0]).expect("it is listed");
    let slug = "mutation($tenant: String!) {
        changeSlug(tenantId: $tenant, slug: \"whitewater\") { userErrors { message } } }";
    let answer = operator.graphql(slug, json!({"tenant": renamed["tenantId"]})).await;
    assert_eq!(answer["changeSlug"]["userErrors"], json!([]), "{answer}");
    let shown = async || {
        let shown = plans(&server).await;
        (shown[0]["retired"] == true && shown[1]["name"] == "Ours").then_some(shown)
    };
    let changed = eventually("what the operator changed is shown", shown).await;
    server.stop().await;

    let again = installation.up_demo().await;
    assert_eq!(plans(&again).await, changed);
    let listed = installation.run(&["tenant", "list", "--json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    let said = std::fs::read_to_string(installation.home().join("server.log")).expect("a log");
    assert!(said.contains("A token for whitewater"), "{said}");
    again.stop().await;
}
