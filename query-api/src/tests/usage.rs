//! Recording usage and reading it back.

use outbound::Request;
use projections::temporary::Kind;
use serde_json::{Value, json};

use super::seeded::seed;
use crate::testing::{Member, Reply, Site, on_each_kind};

const PATH: &str = "/api/v1/usage";

/// A site where tenant A has the meter `calls`.
async fn metered(on: Kind) -> Site {
    let site = Site::start_on(on).await;
    for key in ["calls", "old"] {
        let define = "mutation($key: String!) {
            defineMeter(input: {key: $key, name: \"Calls\", unit: \"call\", aggregation: SUM}) {
                userErrors { code } } }";
        site.mutate(&site.a, define, json!({ "key": key })).await;
    }
    site.mutate(
        &site.a,
        "mutation { archiveMeter(key: \"old\") { userErrors { code } } }",
        json!({}),
    )
    .await;
    site
}

async fn record(site: &Site, who: &Member, content_type: &str, body: impl AsRef<str>) -> Reply {
    site.post(who, PATH, content_type, body.as_ref().to_owned()).await
}

fn entry(id: &str, value: &str) -> Value {
    json!({ "source": "s", "id": id, "meter": "calls", "value": value, "at": "2026-03-01T10:30:00Z" })
}

on_each_kind! {
    an_answer_at_a_sequence_is_repeated_to_the_byte
    a_state_that_is_not_shown_yet_is_waited_for_and_one_that_is_not_recorded_is_refused
}

#[tokio::test]
async fn every_entry_is_answered_in_order() {
    let site = metered(Kind::Sqlite).await;
    let mut ahead = entry("ahead", "1");
    ahead["at"] = json!(chrono::Utc::now() + chrono::TimeDelta::hours(1));
    let mut unknown = entry("unknown", "1");
    unknown["meter"] = json!("nothing");
    let mut archived = entry("archived", "1");
    archived["meter"] = json!("old");
    let mut stranger = entry("stranger", "1");
    stranger["customer"] = json!("cus_00000000000000000000000000000009");
    let entries = json!([
        entry("1", "1.5"),
        entry("1", "1.50"),
        entry("1", "2"),
        ahead,
        unknown,
        archived,
        stranger,
        entry("2", "-3"),
    ]);
    let reply =
        record(&site, &site.a, "application/json; charset=utf-8", entries.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(
        answer["counts"],
        json!({ "accepted": 2, "duplicate": 1, "conflict": 1, "rejected": 4 })
    );
    let result = |it: &Value| {
        let reason = it["reason"].as_str().unwrap_or_default();
        format!("{} {} {reason}", it["id"].as_str().unwrap(), it["result"].as_str().unwrap())
    };
    let results: Vec<_> = answer["results"].as_array().unwrap().iter().map(result).collect();
    let expected = [
        "1 accepted ",
        "1 duplicate ",
        "1 conflict ",
        "ahead rejected TOO_FAR_AHEAD",
        "unknown rejected UNKNOWN_METER",
        "archived rejected ARCHIVED_METER",
        "stranger rejected UNKNOWN_CUSTOMER",
        "2 accepted ",
    ];
    assert_eq!(results, expected);
}

#[tokio::test]
async fn every_form_says_the_same() {
    let site = metered(Kind::Sqlite).await;
    let event = |id: &str| {
        json!({
            "specversion": "1.0", "source": "s", "id": id, "type": "calls",
            "time": "2026-03-01T10:30:00Z", "datacontenttype": "application/json",
            "extension": "read over", "data": { "value": "0.1", "dimensions": { "region": "eu" } },
        })
    };
    let mut plain = entry("1", "0.1");
    plain["dimensions"] = json!({ "region": "eu" });
    let first = record(&site, &site.a, "application/json", plain.to_string()).await.json();
    assert_eq!(first["counts"]["accepted"], 1, "{first}");
    let same = async |reply: Reply| {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["results"][0], json!({ "id": "1", "result": "duplicate" }));
    };
    same(record(&site, &site.a, "application/cloudevents+json", event("1").to_string()).await)
        .await;
    let batch = json!([event("1"), event("2")]).to_string();
    same(record(&site, &site.a, "application/cloudevents-batch+json", batch).await).await;
    let body = "{\"value\": 0.1, \"dimensions\": {\"region\": \"eu\"}}";
    let binary = Request::post(site.url(PATH), "application/json", body)
        .with_header("ce-specversion", "1.0")
        .with_header("ce-source", "%73")
        .with_header("ce-id", "\"1\"")
        .with_header("ce-type", "calls")
        .with_header("ce-time", "2026-03-01T10:30:00Z");
    same(site.send(&site.a, binary).await).await;
    // A number that no binary float holds keeps every digit.
    let exact = "{\"source\":\"s\",\"id\":\"3\",\"meter\":\"calls\",\"value\":9007199254740993.000000000001}";
    let reply = record(&site, &site.a, "application/json", exact).await;
    assert_eq!(reply.status, 400, "beyond the largest amount: {}", reply.text());
    let exact = exact.replace("9007199254740993", "900719925474099");
    assert_eq!(
        record(&site, &site.a, "application/json", exact).await.json()["counts"]["accepted"],
        1
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_named_by_entry_and_field() {
    let site = metered(Kind::Sqlite).await;
    let with = |field: &str, value: Value| {
        let mut wrong = entry("2", "1");
        wrong[field] = value;
        json!([entry("1", "1"), wrong]).to_string()
    };
    let mut without = entry("2", "1");
    without.as_object_mut().unwrap().remove("source");
    let twice = with("dimensions", json!({ "zone": "1" }));
    let twice = twice.replace("{\"zone\":\"1\"}", "{\"zone\":\"1\",\"zone\":\"2\"}");
    let cases = [
        (with("value", json!("ten")), "[1].value"),
        (with("value", json!(true)), "[1].value"),
        (with("value", json!(1e30)), "[1].value"),
        (with("meter", json!("Not A Key")), "[1].meter"),
        (with("customer", json!("ten_1")), "[1].customer"),
        (with("at", json!("yesterday")), "[1].at"),
        (with("dimensions", json!({ "region": 1 })), "[1].dimensions.region"),
        (with("colour", json!("red")), "[1].colour"),
        (with("id", json!("")), "entries[1].id"),
        (json!([entry("1", "1"), without]).to_string(), "[1].source"),
        (twice, "[1].dimensions"),
        ("[]".to_owned(), "entries"),
    ];
    for (body, field) in cases {
        let reply = record(&site, &site.a, "application/json", &body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert_eq!(reply.content_type, "application/problem+json");
        assert_eq!(reply.json()["errors"][0]["field"], field, "{body}: {}", reply.text());
    }
    let many: Vec<_> = (0..1001).map(|it| entry(&it.to_string(), "1")).collect();
    let reply = record(&site, &site.a, "application/json", json!(many).to_string()).await;
    assert_eq!((reply.status, &reply.json()["errors"][0]["field"]), (400, &json!("entries")));
    for (content_type, body, status) in [
        ("application/json", "[{]", 400),
        ("application/json", "", 400),
        ("text/plain", "[]", 415),
        ("application/json; charset=latin1", "[]", 415),
        ("application/cloudevents+json", "{\"specversion\":\"0.3\"}", 400),
    ] {
        let reply = record(&site, &site.a, content_type, body).await;
        assert_eq!(reply.status, status, "{content_type} {body}: {}", reply.text());
    }
    let large = " ".repeat(1024 * 1024 + 1);
    assert_eq!(record(&site, &site.a, "application/json", large).await.status, 413);
}

#[tokio::test]
async fn a_key_makes_repeating_safe() {
    let site = metered(Kind::Sqlite).await;
    let send = async |key: &str, body: &Value| {
        let request = Request::post(site.url(PATH), "application/json", body.to_string())
            .with_header("idempotency-key", key);
        site.send(&site.a, request).await
    };
    let first = send("k", &entry("1", "1")).await;
    let again = send("k", &entry("1", "1")).await;
    assert_eq!(again.text(), first.text(), "accepted, not duplicate: the answer of the first time");
    let other = send("k", &entry("2", "1")).await;
    assert_eq!((other.status, &other.json()["code"]), (422, &json!("IDEMPOTENCY_KEY_REUSED")));
    assert_eq!(send("two words", &entry("3", "1")).await.status, 400);
}

async fn an_answer_at_a_sequence_is_repeated_to_the_byte(on: Kind) {
    let site = metered(on).await;
    let entries = json!([entry("1", "1"), entry("2", "2.25")]).to_string();
    let recorded = record(&site, &site.a, "application/json", entries).await.json();
    let range = "meter=calls&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z";
    let ask = async |more: String, position: &Value| {
        let request = Request::get(site.url(&format!("{PATH}?{range}&{more}")))
            .with_header("callboard-position", position.as_str().unwrap());
        site.send(&site.a, request).await
    };
    let total = ask("step=total".to_owned(), &recorded["position"]).await.json();
    assert_eq!(total["sequence"], recorded["sequence"]);
    assert_eq!((&total["rows"][0]["sum"], &total["rows"][0]["count"]), (&json!("3.25"), &json!(2)));
    let at = format!("atSequence={}", total["sequence"]);
    for step in ["total", "hour", "day"] {
        let more = || format!("{at}&step={step}");
        let before = ask(more(), &recorded["position"]).await.text();
        let late = json!([entry(&format!("late-{step}"), "100")]).to_string();
        let late = record(&site, &site.a, "application/json", late).await.json();
        assert_eq!(ask(more(), &late["position"]).await.text(), before, "{step}");
        let newest = ask(format!("step={step}"), &late["position"]).await.text();
        assert_ne!(newest, before, "{step}: the newest answer is another");
    }
    let long = "x".repeat(1000);
    let (from, at) = (format!("from={long}"), format!("atSequence={long}"));
    for wrong in ["step=week", "colour=red", "atSequence=x", &from, &at] {
        let refused = ask(wrong.to_owned(), &recorded["position"]).await;
        assert_eq!(refused.status, 400, "{wrong}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        let named = wrong.split('=').nth(1).unwrap().chars().take(64).collect::<String>();
        assert!(wrong == "colour=red" || detail.contains(&named), "{detail}");
        assert!(detail.len() < 300, "{detail}");
    }
}

async fn a_state_that_is_not_shown_yet_is_waited_for_and_one_that_is_not_recorded_is_refused(
    on: Kind,
) {
    let site = metered(on).await;
    let range = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z";
    let fields = "from: \"2026-03-01T00:00:00Z\", to: \"2026-03-02T00:00:00Z\"";
    let first = record(&site, &site.a, "application/json", entry("1", "1").to_string()).await;
    let first = first.json();
    let path = format!("{PATH}?{range}");
    let request = Request::get(site.url(&path))
        .with_header("callboard-position", first["position"].as_str().unwrap());
    assert_eq!(site.send(&site.a, request).await.status, 200, "the model shows the first");
    site.showing.hold();
    let entry = entry("2", "1").to_string();
    let newest = record(&site, &site.a, "application/json", entry).await.json()["sequence"].clone();
    let newest = newest.as_u64().unwrap();
    for (at, status, code) in
        [(newest, 503, "NOT_YET_VISIBLE"), (newest + 1, 400, "BAD_USER_INPUT")]
    {
        let detail =
            format!("expected the sequence of an event, of which the last is {newest}, got {at}");
        for step in ["total", "day"] {
            let reply = site.get(&site.a, &format!("{path}&atSequence={at}&step={step}")).await;
            let problem = reply.json();
            assert_eq!((reply.status, &problem["code"]), (status, &json!(code)), "{problem}");
            assert_eq!(reply.retry_after.is_some(), status == 503, "{reply:?}");
            let errors = json!([{ "field": "atSequence", "detail": detail }]);
            assert_eq!(problem["errors"] == errors, status == 400, "{problem}");
        }
        for query in ["usageTotals", "usageSeries"] {
            let query =
                format!("{{ {query}(matching: {{ {fields}, atSequence: {at} }}) {{ sequence }} }}");
            let answer = site.graphql(&site.a, &query, Value::Null).await;
            let error = &answer["errors"][0];
            assert_eq!(error["extensions"]["code"], code, "{answer}");
            let named = error["message"] == format!("atSequence: {detail}");
            assert_eq!(named, status == 400, "{answer}");
        }
    }
    site.showing.release();
}

#[tokio::test]
async fn a_hard_quota_refuses_the_whole_request() {
    let site = Site::start().await;
    let seeded = seed(&site, &site.a, "amber").await;
    let entry = |id: &str, value: &str| {
        let (meter, customer) = ("amber.requests", &seeded.customer);
        json!({ "source": "s", "id": id, "meter": meter, "customer": customer, "value": value })
    };
    let both = json!([entry("1", "900"), entry("2", "101")]).to_string();
    let refused = record(&site, &site.a, "application/json", both).await;
    assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("QUOTA_EXCEEDED")));
    let fits = json!([entry("1", "900"), entry("3", "100")]).to_string();
    let fits = record(&site, &site.a, "application/json", fits).await.json();
    assert_eq!(fits["counts"]["accepted"], 2, "nothing was consumed before: {fits}");
}

#[tokio::test]
async fn who_finds_the_write_side_stopped_is_told_when_to_ask_again() {
    let site = metered(Kind::Sqlite).await;
    site.commands.stop().await;
    let reply = record(&site, &site.a, "application/json", entry("1", "1").to_string()).await;
    assert_eq!((reply.status, &reply.json()["code"]), (503, &json!("UNAVAILABLE")));
    assert!(reply.retry_after.is_some(), "{reply:?}");
}
