//! What members may do follows their roles: at each request, and while something is open.

use domain::id::ActorId;
use futures::StreamExt;
use outbound::Request;
use projections::temporary::Kind;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::conditions::WRITERS;
use super::live::{Socket, connect, receive, send, subscribe};
use super::seeded::{APPLY, apply, component, put};
use crate::testing::{Member, Site, on_each_kind, soon};

const ADD: &str = "mutation($member: String!, $roles: [String!]!) {
    addMember(input: {memberId: $member, name: \"Ada\", roles: $roles}) {
        userErrors { code message } outcome { position }
    }
}";

const GIVE: &str = "mutation($member: String!, $roles: [String!]!) {
    changeMemberRoles(memberId: $member, roles: $roles) {
        userErrors { code message } outcome { position }
    }
}";

pub(super) const REMOVE: &str = "mutation($member: String!) {
    removeMember(memberId: $member) { userErrors { code message } outcome { position } }
}";

/// Whoever owns one of these, or whatever is public, is seen by who has this role.
pub(super) const DEFINE: &str = "mutation {
    defineRole(role: \"amber\", permits: [{permission: \"entity.read\", when: {any: [
        {ownedBy: \"group:default/amber-team\"}, {tag: \"public\"}]}}]) {
        userErrors { code message } outcome { position }
    }
}";

/// Somebody new with these roles, as the owner of A gives them.
pub(super) async fn member(site: &Site, roles: &[&str]) -> (ActorId, Member) {
    let actor = ActorId(Uuid::now_v7());
    let variables = json!({ "member": actor.to_string(), "roles": roles });
    site.mutate(&site.a, ADD, variables).await;
    (actor, site.stranger(site.a.tenant, actor))
}

async fn code(site: &Site, who: &Member, document: &str, variables: Value) -> Value {
    site.graphql(who, document, variables).await["errors"][0]["extensions"]["code"].clone()
}

on_each_kind! {
    a_token_alone_permits_nothing
    why_somebody_may_do_something_is_told_by_what_decides_it
    whom_a_permission_reaches_is_told_by_its_own_condition
    what_is_live_ends_when_the_tenant_is_suspended_and_begins_again_after_that
}

async fn a_token_alone_permits_nothing(on: Kind) {
    let site = Site::start_on(on).await;
    let stranger = site.stranger(site.a.tenant, ActorId(Uuid::now_v7()));
    let viewer = site.data(&stranger, "{ viewer { permissions { name } } }", json!({})).await;
    assert_eq!(viewer["viewer"]["permissions"], json!([]));
    for document in
        ["{ entities { totalCount } }", "{ tenant { name } }", "{ meters { totalCount } }"]
    {
        assert_eq!(code(&site, &stranger, document, json!({})).await, "FORBIDDEN", "{document}");
    }
    let changes = json!({ "changes": [put(&component("web", "amber"), None)] });
    assert_eq!(code(&site, &stranger, APPLY, changes.clone()).await, "FORBIDDEN");
    assert_eq!(site.get(&stranger, "/api/v1/events").await.status, 403);
    // Control: the same are answered to who has a role.
    let (_, developer) = member(&site, &["developer"]).await;
    site.data(&developer, "{ entities { totalCount } tenant { name } }", json!({})).await;
    site.mutate(&developer, APPLY, changes).await;
}

#[tokio::test]
async fn what_a_role_permits_is_asked_at_each_request() {
    let site = Site::start().await;
    let (actor, ada) = member(&site, &["viewer"]).await;
    let changes = || json!({ "changes": [put(&component("web", "amber"), None)] });
    assert_eq!(code(&site, &ada, APPLY, changes()).await, "FORBIDDEN");
    let roles = json!({ "member": actor.to_string(), "roles": ["developer"] });
    site.mutate(&site.a, GIVE, roles).await;
    site.mutate(&ada, APPLY, changes()).await;
    site.mutate(&site.a, REMOVE, json!({ "member": actor.to_string() })).await;
    assert_eq!(code(&site, &ada, APPLY, changes()).await, "FORBIDDEN");
    assert_eq!(code(&site, &ada, "{ entities { totalCount } }", json!({})).await, "FORBIDDEN");
}

#[tokio::test]
async fn a_stream_ends_with_the_role_and_goes_on_where_it_was() {
    let site = Site::start().await;
    let (actor, ada) = member(&site, &["auditor"]).await;
    let request = |after: u64| Request::get(site.url(&format!("/api/v1/events?after={after}")));
    let mut stream = site.stream(&ada, request(0)).await;
    let mut seen = 0;
    while seen < 4 {
        seen = stream.next().await.unwrap().id.unwrap();
    }
    let member = json!({ "member": actor.to_string() });
    site.mutate(&site.a, REMOVE, member.clone()).await;
    while let Some(event) = stream.next().await {
        seen = event.id.unwrap();
    }
    assert_eq!(site.get(&ada, "/api/v1/events").await.status, 403);

    let roles = json!({ "member": actor.to_string(), "roles": ["auditor"] });
    site.mutate(&site.a, ADD, roles).await;
    let mut stream = site.stream(&ada, request(seen)).await;
    assert_eq!(stream.next().await.unwrap().id, Some(seen + 1));
}

async fn why_somebody_may_do_something_is_told_by_what_decides_it(on: Kind) {
    let site = Site::start_on(on).await;
    site.mutate(&site.a, DEFINE, json!({})).await;
    let (actor, ada) = member(&site, &["amber", "billing"]).await;
    let changes =
        json!([put(&component("web", "amber"), None), put(&component("other", "birch"), None)]);
    let applied = apply(&site, &site.a, changes).await;
    let position = applied["outcome"]["position"].as_str().unwrap().to_owned();
    let explained = async |who: ActorId, permission: &str| {
        let document = format!(
            "{{ explain(memberId: \"{who}\", permission: \"{permission}\") {{
                isMember isPermitted givenBy {{ role when {{ any {{ ownedBy tag }} }} }}
                web: reaches(reference: \"component:default/web\")
                other: reaches(reference: \"Component:default/other\")
                nothing: reaches(reference: \"component:default/nothing\") }} }}"
        );
        site.seen(&site.a, &position, &document).await["explain"].take()
    };
    let when = json!({ "any": [
        { "ownedBy": "group:default/amber-team", "tag": null },
        { "ownedBy": null, "tag": "public" },
    ] });
    let expected = json!({
        "isMember": true, "isPermitted": true, "givenBy": [{ "role": "amber", "when": when }],
        "web": true, "other": false, "nothing": null,
    });
    assert_eq!(explained(actor, "entity.read").await, expected);
    let expected = json!({
        "isMember": true, "isPermitted": true, "givenBy": [{ "role": "billing", "when": null }],
        "web": true, "other": true, "nothing": null,
    });
    assert_eq!(explained(actor, "plan.write").await, expected);
    let nobody = ActorId(Uuid::now_v7());
    for (who, permission, is_member) in [
        (actor, "entity.write", true),
        (actor, "directory.read", true),
        (nobody, "plan.write", false),
    ] {
        let expected = json!({
            "isMember": is_member, "isPermitted": false, "givenBy": [],
            "web": false, "other": false, "nothing": null,
        });
        assert_eq!(explained(who, permission).await, expected, "{permission}");
    }
    // Who may not read who the members are is not told either.
    let document =
        format!("{{ explain(memberId: \"{actor}\", permission: \"entity.read\") {{ isMember }} }}");
    assert_eq!(code(&site, &ada, &document, json!({})).await, "FORBIDDEN");
    for document in ["{ members { totalCount } }", "{ roles { totalCount } }"] {
        assert_eq!(code(&site, &ada, document, json!({})).await, "FORBIDDEN", "{document}");
    }
}

async fn whom_a_permission_reaches_is_told_by_its_own_condition(on: Kind) {
    let site = Site::start_on(on).await;
    site.mutate(&site.a, WRITERS, json!({})).await;
    let (actor, _) = member(&site, &["amber-writers"]).await;
    let changes =
        json!([put(&component("web", "amber"), None), put(&component("other", "birch"), None)]);
    let applied = apply(&site, &site.a, changes).await;
    let position = applied["outcome"]["position"].as_str().unwrap().to_owned();
    for (permission, other) in [("entity.read", true), ("entity.write", false)] {
        let document = format!(
            "{{ explain(memberId: \"{actor}\", permission: \"{permission}\") {{
                web: reaches(reference: \"component:default/web\")
                other: reaches(reference: \"component:default/other\") }} }}"
        );
        let explained = site.seen(&site.a, &position, &document).await["explain"].take();
        assert_eq!(explained, json!({ "web": true, "other": other }), "{permission}");
    }
}

/// What a query over a socket is answered.
async fn ask(socket: &mut Socket, document: &str) -> Value {
    let payload = json!({ "query": document });
    send(socket, json!({ "id": "asked", "type": "subscribe", "payload": payload })).await;
    let answer = receive(socket).await;
    assert_eq!(receive(socket).await["type"], "complete", "{answer}");
    answer
}

#[tokio::test]
async fn what_is_given_while_a_socket_is_open_is_in_what_begins_later() {
    let site = Site::start().await;
    let (actor, ada) = member(&site, &["viewer"]).await;
    let give = |roles: &[&str]| json!({ "member": actor.to_string(), "roles": roles });
    let mut socket = connect(&site, &ada).await;
    let document = "{ viewer { permissions { name } } }";
    let may_write = |answer: Value| answer.to_string().contains("\"entity.write\"");
    assert!(!may_write(ask(&mut socket, document).await));
    site.mutate(&site.a, GIVE, give(&["viewer", "developer"])).await;
    assert!(may_write(ask(&mut socket, document).await));
    // What began with more ends with it, although the socket itself began with less.
    subscribe(&mut socket, "subscription { entityChanged { reference } }").await;
    site.mutate(&site.a, GIVE, give(&["viewer"])).await;
    let Message::Close(Some(frame)) = soon(socket.next()).await.unwrap().unwrap() else {
        panic!("expected the socket to be closed");
    };
    assert_eq!(u16::from(frame.code), 4403);
}

const SUSPEND: &str = "mutation($tenant: String!) {
    suspendTenant(tenantId: $tenant, reason: REQUESTED) { userErrors { code message } }
}";

const REACTIVATE: &str = "mutation($tenant: String!) {
    reactivateTenant(tenantId: $tenant) { userErrors { code message } }
}";

async fn what_is_live_ends_when_the_tenant_is_suspended_and_begins_again_after_that(on: Kind) {
    let site = Site::start_on(on).await;
    let tenant = json!({ "tenant": site.a.tenant.to_string() });
    let subscription = "subscription { entityChanged { reference } }";
    let body = json!({ "query": subscription }).to_string();
    let live = || Request::post(site.url("/graphql"), "application/json", body.clone());
    let feed = || Request::get(site.url("/api/v1/events"));
    let mut socket = connect(&site, &site.a).await;
    subscribe(&mut socket, subscription).await;
    let mut streams = [
        site.stream(&site.a, feed()).await,
        site.stream(&site.a, live()).await,
        site.stream(&site.b, feed()).await,
    ];

    site.mutate(&site.operator, SUSPEND, tenant.clone()).await;
    let Message::Close(Some(frame)) = soon(socket.next()).await.unwrap().unwrap() else {
        panic!("expected the socket to be closed");
    };
    assert_eq!(u16::from(frame.code), 4403);
    let [events, changes, other] = &mut streams;
    assert_eq!((until_end(events).await, changes.next().await), ((), None));

    // It may read, also over a socket, and follows nothing.
    site.data(&site.a, "{ entities { totalCount } }", json!({})).await;
    assert_eq!(site.get(&site.a, "/api/v1/events?after=0").await.status, 200);
    assert_eq!(site.stream(&site.a, feed()).await.status, 422);
    let waiting = site.get(&site.a, "/api/v1/events?after=0&wait=30").await;
    assert_eq!((waiting.status, &waiting.json()["code"]), (422, &json!("TENANT_SUSPENDED")));
    let refused = site.stream(&site.a, live()).await.next().await.expect("it says why").data;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "TENANT_SUSPENDED", "{refused}");
    let mut socket = connect(&site, &site.a).await;
    assert_eq!(
        ask(&mut socket, "{ tenant { name } }").await["payload"]["data"]["tenant"]["name"],
        "alpha"
    );

    site.mutate(&site.operator, REACTIVATE, tenant).await;
    while site.stream(&site.a, feed()).await.status != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.get(&site.a, "/api/v1/events?after=0&wait=30").await.status, 200);
    // Control: the neighbour's stream was open all the time.
    let renamed = "mutation { renameTenant(name: \"Bravo Ltd\") { userErrors { code message } } }";
    site.mutate(&site.b, renamed, json!({})).await;
    assert_eq!(other.next().await.unwrap().name, "tenant.renamed.v1");
}

/// Reads a stream to its end.
async fn until_end(stream: &mut crate::testing::EventStream) {
    while stream.next().await.is_some() {}
}
