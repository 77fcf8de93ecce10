//! Who may open which door: every field of the schema and every route, asked for by everybody.
//!
//! What is expected stands in `expected.txt`, for people to read: who comes in columns, a door in
//! each row. `+` is answered with something, `-` with nothing, everything else is the code or the
//! status of the refusal, of which 403 is the one for want of a permission. `UPDATE_SCHEMAS=1` writes it anew; whoever does that reads what changed.

mod doors;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use domain::Permission;
use domain::id::{ActorId, TenantId};
use domain::role::BuiltIn;
use outbound::{Method, Request};
use projections::temporary::Kind;
use serde_json::{Value, json};
use uuid::Uuid;

use super::accounts::account;
use super::api_keys::{REVOKE, issue};
use super::isolation::staff;
use super::providers::{self, issuer::Issuer};
use super::roles::{REMOVE, member};
use super::seeded::{APPLY, OPEN, Seeded, component, put, seed};
use super::sessions::{INVITE, actor, signed_in};
use crate::accounts::{console, offer_setup};
use crate::auth;
use crate::testing::{Member, Site, on_each_kind, soon};
use doors::{Door, Way};

/// A tenant with one of everything, and one beside it that knows its ids.
pub(super) struct Ground {
    site: Site,
    a: Seeded,
    /// A billing account that buys nothing, and so can be closed.
    idle_customer: String,
    /// Good for one who asks.
    setup_token: String,
    /// One of A's, that is there.
    provider: String,
    /// What it signs for a program that is a member of A.
    program: String,
}

async fn ground(on: Kind) -> Ground {
    let site = Site::start_on(on).await;
    let mut a = seed(&site, &site.a, "amber").await;
    let opened = site.mutate(&site.a, OPEN, json!({ "name": "amber" })).await;
    a.position = staff(&site, &site.a, "amber").await;
    site.seen(&site.a, &a.position, "{ members { totalCount } audit { totalCount } }").await;
    // Whoever has a session asks at the host of its tenant, everybody else at the installation's.
    account(&site, site.a.tenant, actor(&site, &site.a).await, "amber").await;
    site.make_owner(TenantId::SYSTEM, console(&site.keyring).await.unwrap()).await;
    let setup_token = offer_setup(&site.keyring).await.unwrap().unwrap();
    let idle_customer = opened["created"].as_str().unwrap().to_owned();
    let issuer = Issuer::start().await;
    let provider = providers::add(&site, &site.a, &issuer.url).await;
    let program = providers::tokens::of_program(&site, &site.a, &issuer, &provider).await;
    Ground { site, a, idle_customer, setup_token, provider, program }
}

/// Who asks, under which head, and with an invite that is good.
type Asker = (&'static str, Member, String);

async fn equipped(site: &Site, askers: Vec<(&'static str, Member)>) -> Vec<Asker> {
    let mut equipped = Vec::new();
    for (head, who) in askers {
        let invite = invite(site, &who).await;
        equipped.push((head, who, invite));
    }
    equipped
}

/// An invite of somebody new at the host where `who` asks: whoever has a session asks at that of its tenant,
/// everybody else at the installation's.
async fn invite(site: &Site, who: &Member) -> String {
    let invited = ActorId(Uuid::now_v7());
    let by = if who.token.starts_with("cbt_") {
        let asks_at = [&site.a, &site.b].into_iter().find(|it| it.tenant == who.tenant);
        asks_at.expect("it is one of them")
    } else {
        &site.operator
    };
    site.make_owner(by.tenant, invited).await;
    let variables = json!({ "input": { "memberId": invited.to_string() } });
    let made = site.mutate(by, INVITE, variables).await;
    made["invite"]["text"].as_str().unwrap_or_default().to_owned()
}

/// Everybody who asks while the tenant is active, under the head of their column.
async fn askers(site: &Site) -> Vec<(&'static str, Member)> {
    let nobody = Member { token: String::new(), ..site.a.clone() };
    let mut askers = vec![("anonymous", nobody), ("expired", expired(site).await)];
    askers.push(("foreign", site.b.clone()));
    askers.push(("no-role", site.stranger(site.a.tenant, ActorId(Uuid::now_v7()))));
    for role in BuiltIn::ALL {
        askers.push((role.name(), member(site, &[role.name()]).await.1));
    }
    let define = "mutation { defineRole(role: \"only-amber\", permits: [
        {permission: \"entity.read\", when: {all: [{tag: \"amber\"}]}}]) {
        userErrors { code message } } }";
    site.mutate(&site.a, define, json!({})).await;
    askers.push(("conditioned", member(site, &["only-amber"]).await.1));
    askers.push(("operator", site.operator.clone()));
    askers.extend(keys(site).await);
    askers.extend(sessions(site).await);
    askers.extend(misused(site).await);
    askers
}

/// Owners' API keys: one to read with, one for all that a key can be issued for, and one that was
/// revoked.
async fn keys(site: &Site) -> [(&'static str, Member); 3] {
    let here = |it: &&Permission| it.exists_in(site.a.tenant) && **it != Permission::ApiKeyWrite;
    let every: Vec<_> = Permission::ALL.iter().filter(here).map(|it| it.name()).collect();
    let (_, reading) = issue(site, &site.a, &["entity.read", "audit.read"]).await;
    let (_, whole) = issue(site, &site.a, &every).await;
    let (id, revoked) = issue(site, &site.a, &every).await;
    site.mutate(&site.a, REVOKE, json!({ "key": id })).await;
    [("reading-key", reading), ("whole-key", whole), ("revoked-key", revoked)]
}

/// An owner's sessions: one that goes on, and one that was ended.
async fn sessions(site: &Site) -> [(&'static str, Member); 2] {
    let (session, ended) = (signed_in(site, &site.a).await, signed_in(site, &site.a).await);
    site.mutate(&ended, "mutation { signOut { userErrors { code } } }", json!({})).await;
    [("session", session), ("ended-session", ended)]
}

/// What is good in another place, or was: an owner's session at another tenant's host, and in a header;
/// what begins a session; a session and an API key of an owner who was removed.
async fn misused(site: &Site) -> [(&'static str, Member); 5] {
    let session = signed_in(site, &site.a).await;
    let elsewhere = Member { tenant: site.b.tenant, ..session.clone() };
    // As it is read, a blank more makes no difference.
    let borne = Member { token: format!(" {}", session.token), ..session };
    let owner = actor(site, &site.a).await;
    let proof = auth::token::mint_proof(site.keyring.issuer(), site.a.tenant, owner).unwrap();
    let proof = Member { token: proof, ..site.a.clone() };
    let (removed, token) = member(site, &["owner"]).await;
    let removed_session = signed_in(site, &token).await;
    let (_, removed_key) = issue(site, &token, &["entity.read", "audit.read"]).await;
    site.mutate(&site.a, REMOVE, json!({ "member": removed.to_string() })).await;
    [
        ("foreign-host", elsewhere),
        ("borne-session", borne),
        ("proof", proof),
        ("removed-session", removed_session),
        ("removed-key", removed_key),
    ]
}

/// An owner of A whose token has ended.
async fn expired(site: &Site) -> Member {
    let actor = ActorId(Uuid::now_v7());
    site.make_owner(site.a.tenant, actor).await;
    let lifetime = Duration::from_secs(1);
    let token = auth::mint(site.keyring.issuer(), site.a.tenant, actor, lifetime).unwrap();
    let expired = Member { token, ..site.a.clone() };
    let ends = async {
        while site.get(&expired, "/api/v1/events").await.status != 401 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(ends).await;
    expired
}

/// What becomes of somebody who asks at a door.
async fn ask(site: &Site, who: &Member, way: &Way) -> String {
    match way {
        Way::Field { document } => {
            let body = json!({ "query": document }).to_string();
            let request = Request::post(site.url("/graphql"), "application/json", body);
            let reply = site.send(who, request.with_header("accept", "application/json")).await;
            if reply.status == 401 {
                return "401".to_owned();
            }
            told(&reply.json())
        }
        Way::Live { document } => live(site, who, document).await,
        Way::Route { method, path, body } => {
            let request = match (*method, body) {
                ("GET", _) => Request::get(site.url(path)),
                ("DELETE", _) => Request { method: Method::Delete, ..Request::get(site.url(path)) },
                (method, body) => {
                    let body = body.clone().unwrap_or_default();
                    let method = if method == "PUT" { Method::Put } else { Method::Post };
                    Request { method, ..Request::post(site.url(path), "application/json", body) }
                }
            };
            match site.send(who, request).await.status {
                200 | 204 => "+".to_owned(),
                status => status.to_string(),
            }
        }
    }
}

/// The first thing that is heard of what goes on in both tenants.
async fn live(site: &Site, who: &Member, document: &str) -> String {
    let body = json!({ "query": document }).to_string();
    let request = Request::post(site.url("/graphql"), "application/json", body);
    let mut stream = site.stream(who, request).await;
    if stream.status != 200 {
        return stream.status.to_string();
    }
    let happens = async {
        for owner in [&site.a, &site.b] {
            let mut changed = component("amber-live", "amber");
            changed["metadata"]["title"] = json!(Uuid::now_v7().to_string());
            site.data(owner, APPLY, json!({ "changes": [put(&changed, None)] })).await;
        }
    };
    let (heard, ()) = futures::future::join(stream.next(), happens).await;
    heard.map_or_else(|| "ended".to_owned(), |it| told(&it.data))
}

/// An answer in a word.
fn told(answer: &Value) -> String {
    let payload = answer["data"].as_object().and_then(|it| it.values().next());
    let codes = [
        Some(&answer["errors"][0]["extensions"]["code"]),
        payload.map(|it| &it["userErrors"][0]["code"]),
    ];
    match codes.into_iter().flatten().find_map(Value::as_str) {
        Some("FORBIDDEN") => return "403".to_owned(),
        Some(code) => return code.to_owned(),
        None => {}
    }
    if says_anything(&answer["data"]) { "+".to_owned() } else { "-".to_owned() }
}

/// Whether there is anything in an answer. A mutation whose payload names its errors, of which there are
/// none, was accepted.
fn says_anything(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_u64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(parts) => parts.iter().any(says_anything),
        Value::Object(fields) => {
            fields.contains_key("userErrors") || fields.values().any(says_anything)
        }
    }
}

/// Answers by row and column.
struct Table {
    heads: Vec<&'static str>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    async fn fill(&mut self, site: &Site, doors: &[Door], askers: &[Asker]) {
        for (head, who, invite) in askers {
            self.heads.push(head);
            let mut who = who.clone();
            for ((_, way), row) in doors.iter().zip(&mut self.rows) {
                let cell = ask(site, &who, &way.with(invite)).await;
                if cell == "+" && *head == "session" && way.begins_a_session() {
                    // Which has ended the one that came along.
                    who = signed_in(site, &site.a).await;
                }
                row.1.push(cell);
            }
        }
    }

    fn text(&self) -> String {
        let widest = |column: usize| {
            let cells = self.rows.iter().map(|it| it.1[column].len());
            cells.max().unwrap_or(0).max(self.heads[column].len())
        };
        let widths: Vec<_> = (0..self.heads.len()).map(widest).collect();
        let first = self.rows.iter().map(|it| it.0.len()).max().unwrap_or(0);
        let mut text = String::new();
        let heads = self.heads.iter().map(|it| (*it).to_owned()).collect();
        for (name, cells) in std::iter::once(&(String::new(), heads)).chain(&self.rows) {
            let mut line = format!("{name:first$}");
            for (cell, width) in cells.iter().zip(&widths) {
                write!(line, "  {cell:width$}").unwrap();
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The names that every door must have: fields of the schema, and paths that the router has.
async fn names(site: &Site) -> BTreeSet<String> {
    let document = "{ __schema {
        queryType { name fields { name } } mutationType { name fields { name } }
        subscriptionType { name fields { name } } } }";
    let schema = site.data(&site.a, document, json!({})).await;
    let mut names = BTreeSet::new();
    for root in schema["__schema"].as_object().unwrap().values() {
        for field in root["fields"].as_array().unwrap() {
            let (root, field) = (root["name"].as_str().unwrap(), field["name"].as_str().unwrap());
            names.insert(format!("{root}.{field}"));
        }
    }
    let open_api = serde_json::to_value(crate::rest::open_api_document()).unwrap();
    for (path, methods) in open_api["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            names.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    names
}

/// Paths as the sources of the router spell them.
fn paths() -> BTreeSet<&'static str> {
    let sources = [include_str!("../../rest.rs"), include_str!("../../transport/graphiql.rs")];
    let begun = sources.iter().flat_map(|it| it.split(".route(\"").skip(1));
    begun.filter_map(|it| it.split('"').next()).collect()
}

/// What nobody finds open here: at one there is nothing, and the others are for who has an app beside
/// their password, whom `second_factor` leads through them.
const SHUT: [&str; 4] = [
    "GET /nothing",
    "POST /api/v1/account/totp/confirm",
    "POST /api/v1/account/totp/remove",
    "POST /api/v1/account/recovery-codes",
];

on_each_kind! {
    every_door_is_open_to_whom_it_should_be_and_to_nobody_else
}

async fn every_door_is_open_to_whom_it_should_be_and_to_nobody_else(on: Kind) {
    let ground = ground(on).await;
    let site = &ground.site;
    let doors = doors::all(&ground);
    let known: BTreeSet<_> = doors.iter().map(|it| it.0.clone()).collect();
    let missing: Vec<_> = names(site).await.difference(&known).cloned().collect();
    assert!(missing.is_empty(), "doors without a row: {missing:?}");
    let has_row = |path: &&str| known.iter().any(|it| it.split(' ').nth(1) == Some(path));
    let missing: Vec<_> = paths().into_iter().filter(|it| !has_row(it)).collect();
    assert!(missing.is_empty(), "routes without a row: {missing:?}");

    let rows = doors.iter().map(|it| (it.0.clone(), Vec::new())).collect();
    let mut table = Table { heads: Vec::new(), rows };
    table.fill(site, &doors, &equipped(site, askers(site).await).await).await;
    let suspend = format!(
        "mutation {{ suspendTenant(tenantId: \"{}\", reason: REQUESTED) {{
            userErrors {{ code }} }} }}",
        site.a.tenant
    );
    let session = signed_in(site, &site.a).await;
    let suspended = vec![("suspended", site.a.clone()), ("suspended-session", session)];
    let suspended = equipped(site, suspended).await;
    site.mutate(&site.operator, &suspend, json!({})).await;
    while site.commands.check_active(site.a.tenant).is_ok() {
        tokio::task::yield_now().await;
    }
    table.fill(site, &doors, &suspended).await;

    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tests/matrix/expected.txt");
    let text = table.text();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    for (found, expected) in text.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "as it is: {text}");
    }
    assert_eq!(text.lines().count(), expected.lines().count(), "as it is: {text}");
    let opened = |it: &&(String, Vec<String>)| it.1.iter().any(|it| it == "+");
    let (shut, doors): (Vec<_>, Vec<_>) =
        table.rows.iter().partition(|it| SHUT.contains(&it.0.as_str()));
    assert_eq!(
        (shut.len(), shut.iter().copied().filter(opened).count()),
        (SHUT.len(), 0),
        "{shut:?}"
    );
    let open = doors.iter().copied().filter(opened).count();
    assert!(open * 100 >= doors.len() * 95, "{open} of {} doors open", doors.len());
}
