//! Every audit of the npm package `graphql-http` 1.23.1, by its id, against both editions.
//!
//! The audits test the draft. Where the first edition of the specification decides otherwise,
//! [`CHANGED`] says what it decides.

use serde_json::{Value, json};

use super::client::{Call, Reply};
use super::fixture::{open_server, settings};
use crate::transport::{Edition, Settings};

const JSON: &str = "application/json";
const CURRENT: &str = "application/graphql-response+json";
const TYPENAME: &str = "{ __typename }";

/// What an audit demands.
#[derive(Clone, Copy)]
enum Demand {
    Status(u16),
    /// 200 in this media type.
    Type(&'static str),
    /// 200 without errors.
    Success,
    ClientError,
    AnyError,
    Any,
    /// No `data` entry.
    NoData,
}

impl Demand {
    fn holds(self, reply: &Reply) -> bool {
        let status = reply.status;
        match self {
            Self::Status(expected) => status == expected,
            Self::Type(media) => {
                let content_type = reply.header("content-type").unwrap_or_default();
                status == 200 && content_type.contains(media)
            }
            Self::Success => status == 200 && reply.json().get("errors").is_none(),
            Self::ClientError => (400..500).contains(&status),
            Self::AnyError => (400..600).contains(&status),
            Self::Any => (200..300).contains(&status) || (400..600).contains(&status),
            Self::NoData => reply.json().get("data").is_none(),
        }
    }
}

/// Audits whose demand the September 2026 edition overturned, and the status it asks for instead.
const CHANGED: [(&str, u16); 22] = [
    // Not a well-formed request: 422.
    ("423L", 422),
    ("LKJ0", 422),
    ("LKJ1", 422),
    ("LKJ2", 422),
    ("LKJ3", 422),
    ("6C00", 422),
    ("6C01", 422),
    ("6C02", 422),
    ("6C03", 422),
    ("4760", 422),
    ("4761", 422),
    ("4762", 422),
    ("4763", 422),
    ("58B0", 422),
    ("58B1", 422),
    ("58B2", 422),
    ("58B3", 422),
    ("3E3A", 422),
    // Well-formed but invalid: 422.
    ("86EE", 422),
    // No `data` entry, hence never 2xx, not even for `application/json`.
    ("572B", 400),
    ("FDE2", 400),
    ("7B9B", 422),
];

type Audit = (String, Call, Demand);

fn audit(id: impl Into<String>, call: Call, demand: Demand) -> Audit {
    (id.into(), call, demand)
}

fn body(body: &Value) -> Call {
    Call::post(body.to_string())
}

fn typename() -> Call {
    Call::document(TYPENAME)
}

fn media_types() -> Vec<Audit> {
    let charset = Call::document("{ __type(name: \"Run🏃Swim🏊\") { name } }")
        .without_header("content-type")
        .header("content-type", "application/json; charset=utf-8");
    let mutation = Call::get(&[("query", "mutation { __typename }")]).accept(CURRENT);
    vec![
        audit("22EB", typename().accept(CURRENT), Demand::Type(CURRENT)),
        audit("4655", typename().accept(JSON), Demand::Type(JSON)),
        audit("47DE", typename().accept("*/*"), Demand::Type(JSON)),
        audit("80D8", typename(), Demand::Type(JSON)),
        // Reading the body as JSON fails if it is not UTF-8.
        audit("82A3", typename(), Demand::Success),
        audit("BF61", charset, Demand::Status(200)),
        audit("78D5", typename(), Demand::Status(200)),
        audit("2C94", typename(), Demand::Status(200)),
        audit("5A70", Call::get(&[("query", TYPENAME)]), Demand::Status(200)),
        audit("9C48", mutation, Demand::ClientError),
        audit("9ABE", typename().without_header("content-type"), Demand::ClientError),
        audit("03D4", typename(), Demand::Status(200)),
        audit("A5BF", Call::post(""), Demand::Status(400)),
    ]
}

fn parameters() -> Vec<Audit> {
    let named =
        || body(&json!({ "operationName": "Query", "query": "query Query { __typename }" }));
    let mut audits = vec![
        audit("423L", body(&json!({ "notquery": TYPENAME })).accept(CURRENT), Demand::Status(400)),
        audit("34A2", typename().accept(CURRENT), Demand::Status(200)),
        audit("13EE", typename().accept(JSON), Demand::Success),
        audit("8161", named().accept(CURRENT), Demand::Status(200)),
        audit("B8B3", named().accept(JSON), Demand::Success),
    ];
    let not_strings = [json!({ "obj": "ect" }), json!(0), json!(false), json!(["array"])];
    for (index, wrong) in not_strings.iter().enumerate() {
        let query = body(&json!({ "query": wrong }));
        audits.push(audit(format!("LKJ{index}"), query, Demand::Status(400)));
        let name = body(&json!({ "query": TYPENAME, "operationName": wrong }));
        audits.push(audit(format!("6C0{index}"), name, Demand::Status(400)));
    }
    let not_maps = [json!("string"), json!(0), json!(false), json!(["array"])];
    for (index, wrong) in not_maps.iter().enumerate() {
        let variables = body(&json!({ "query": TYPENAME, "variables": wrong }));
        audits.push(audit(format!("476{index}"), variables, Demand::Status(400)));
        let extensions = body(&json!({ "query": TYPENAME, "extensions": wrong }));
        audits.push(audit(format!("58B{index}"), extensions, Demand::Status(400)));
    }
    for (index, name) in ["variables", "operationName", "extensions"].into_iter().enumerate() {
        let null = body(&json!({ "query": TYPENAME, name: null }));
        audits.push(audit(format!("94B{index}"), null.clone().accept(CURRENT), Demand::Success));
        audits.push(audit(format!("022{index}"), null.accept(JSON), Demand::Success));
    }
    audits
}

fn maps() -> Vec<Audit> {
    let query = "query Type($name: String!) { __type(name: $name) { name } }";
    let variables = body(&json!({ "query": query, "variables": { "name": "sometype" } }));
    let get = Call::get(&[("query", query), ("variables", r#"{"name":"sometype"}"#)]);
    let extensions = body(&json!({ "query": TYPENAME, "extensions": { "some": "value" } }));
    vec![
        audit("2EA1", variables.clone().accept(CURRENT), Demand::Status(200)),
        audit("28B9", variables.accept(JSON), Demand::Success),
        audit("D6D5", get.clone().accept(CURRENT), Demand::Success),
        audit("6A70", get.accept(JSON), Demand::Success),
        audit("428F", extensions.clone().accept(CURRENT), Demand::Status(200)),
        audit("1B7A", extensions.accept(JSON), Demand::Success),
    ]
}

fn failures() -> Vec<Audit> {
    let not_json = || Call::post("{ \"not a JSON");
    let typo = || body(&json!({ "qeury": TYPENAME }));
    let unparsable = || Call::document("{");
    let unknown_field = || Call::document("{ 8f31403dfe404bccbb0e835f2629c6a7 }");
    let coercion = || {
        let query = "query CoerceFailure($id: ID!){ __typename }";
        body(&json!({ "query": query, "variables": { "id": null } }))
    };
    vec![
        audit("B6DC", not_json().accept(JSON), Demand::Any),
        audit("BCF8", not_json().accept(JSON), Demand::Status(400)),
        audit("B7N8", not_json().accept(CURRENT), Demand::Status(400)),
        audit("8764", typo(), Demand::AnyError),
        audit("3E3A", typo(), Demand::Status(400)),
        audit("572B", unparsable().accept(JSON), Demand::Status(200)),
        audit("FDE2", unknown_field().accept(JSON), Demand::Status(200)),
        audit("7B9B", coercion().accept(JSON), Demand::Status(200)),
        audit("865D", unparsable().accept(CURRENT), Demand::AnyError),
        audit("556A", unparsable().accept(CURRENT), Demand::Status(400)),
        audit("D586", unparsable().accept(CURRENT), Demand::NoData),
        audit("51FE", unknown_field().accept(CURRENT), Demand::AnyError),
        audit("74FF", unknown_field().accept(CURRENT), Demand::Status(400)),
        audit("5E5B", unknown_field().accept(CURRENT), Demand::NoData),
        audit("86EE", coercion().accept(CURRENT), Demand::Status(400)),
    ]
}

fn all() -> Vec<Audit> {
    let all = [media_types(), parameters(), maps(), failures()].concat();
    assert_eq!(all.len(), 61, "the package has as many audits");
    all
}

#[tokio::test]
async fn the_draft_passes_every_audit() {
    let server = open_server(Settings { edition: Edition::Draft2025, ..settings() }).await;
    for (id, call, demand) in all() {
        let reply = call.send(&server).await;
        assert!(demand.holds(&reply), "{id}: {reply:?}");
    }
}

#[tokio::test]
async fn the_first_edition_differs_only_where_it_says_so() {
    let server = open_server(settings()).await;
    for (id, call, demand) in all() {
        let reply = call.send(&server).await;
        match CHANGED.iter().find(|(changed, _)| *changed == id) {
            Some((_, status)) => {
                assert_eq!(reply.status, *status, "{id}");
                assert!(!demand.holds(&reply), "{id} is not changed after all");
            }
            None => assert!(demand.holds(&reply), "{id}: {reply:?}"),
        }
    }
}
