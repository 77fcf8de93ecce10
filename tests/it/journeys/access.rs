//! Members, roles and API keys, looked after from the command line.

use serde_json::{Value, json};

use super::sign_in::ask;
use crate::harness::{Installation, Ran, Server, eventually};

/// What a role permits in a file: what one group owns, and what has a tag.
const PERMITS: &str = r#"[{"permission": "entity.read",
    "when": {"any": [{"ownedBy": "group:default/payments"}, {"all": [{"tag": "public"}]}]}}]"#;

/// Runs a command about the tenant `acme`.
fn run(installation: &Installation, arguments: &[&str], input: &str) -> Ran {
    let arguments = [arguments, &["--tenant", "acme"]].concat();
    installation.run_with_input(&arguments, input)
}

/// What a command prints for machines.
#[track_caller]
fn json_of(installation: &Installation, arguments: &[&str], input: &str) -> Value {
    let ran = run(installation, &[arguments, &["--json"]].concat(), input);
    assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
    ran.json()
}

/// Waits until a list shows what `shows` looks for.
async fn listed(
    installation: &Installation,
    list: &[&str],
    shows: impl Fn(&Value) -> bool,
) -> Value {
    eventually("it is listed", async || {
        let list = json_of(installation, list, "");
        shows(&list).then_some(list)
    })
    .await
}

/// What somebody may do, and whether to some entities only.
async fn permissions(server: &Server, credential: &str) -> Value {
    let viewer = "{ viewer { actor permissions { name isConditioned } } }";
    server.api(credential).graphql(viewer, Value::Null).await["viewer"].clone()
}

#[tokio::test]
async fn members_and_their_roles_are_looked_after_from_the_command_line() {
    let installation = Installation::new();
    let server = installation.up().await;
    installation.create_tenant("acme");
    let define = ["role", "define", "payments", "--permission", "tenant.read", "--file", "-"];
    json_of(&installation, &define, PERMITS);
    let add = ["member", "add", "--role", "payments", "--name", "Ada Lovelace"];
    let member = json_of(&installation, &add, "")["memberId"].clone();
    let member = member.as_str().expect("an identity");

    let invite = json_of(&installation, &["member", "invite", member, "--hours", "1"], "");
    let body =
        json!({"invite": invite["text"], "login": "ada", "password": "quiet herons in rain"});
    let address = installation.address();
    let host = format!("acme.localhost:{}", address.port());
    let accepted = || ask(address, "POST /api/v1/invites/accept", &host, &[], &body).status;
    assert_eq!([accepted(), accepted()], [204, 403], "once");

    let token = run(&installation, &["token", "--member", member], "").text();
    let said = permissions(&server, token.trim()).await;
    assert_eq!(said["actor"], *member);
    let expected = json!([
        {"name": "tenant.read", "isConditioned": false},
        {"name": "entity.read", "isConditioned": true},
    ]);
    let (mut found, mut wanted) = (said["permissions"].clone(), expected);
    for it in [&mut found, &mut wanted] {
        let names = it.as_array_mut().expect("a list");
        names.sort_by_key(|it| it["name"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(found, wanted);

    let is_ada = |it: &Value| it["memberId"] == *member;
    let has = |role: &'static str| {
        move |list: &Value| {
            let found = list.as_array().and_then(|it| it.iter().find(|it| is_ada(it)));
            found.is_some_and(|it| it["roles"] == json!([{"name": role}]))
        }
    };
    let list = listed(&installation, &["member", "list"], has("payments")).await;
    let ada = list.as_array().and_then(|it| it.iter().find(|it| is_ada(it))).expect("it is there");
    assert_eq!(ada["name"], "Ada Lovelace");
    json_of(&installation, &["member", "roles", member, "--role", "viewer"], "");
    listed(&installation, &["member", "list"], has("viewer")).await;
    let text = run(&installation, &["member", "list"], "").text();
    assert!(text.contains("Ada Lovelace") && text.contains("viewer"), "{text}");
    json_of(&installation, &["member", "remove", member], "");
    listed(&installation, &["member", "list"], |it| {
        !it.as_array().is_some_and(|it| it.iter().any(is_ada))
    })
    .await;
    assert_eq!(permissions(&server, token.trim()).await["permissions"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_is_listed_of_a_role_can_be_given_to_define_one() {
    let installation = Installation::new();
    let server = installation.up().await;
    installation.create_tenant("acme");
    json_of(&installation, &["role", "define", "payments", "--file", "-"], PERMITS);
    let role = |list: &Value, name: &str| {
        list.as_array().and_then(|it| it.iter().find(|it| it["name"] == *name)).cloned()
    };
    let list = listed(&installation, &["role", "list"], |it| role(it, "payments").is_some()).await;
    let permits = role(&list, "payments").expect("it is listed")["permits"].clone();
    assert_eq!(permits, serde_json::from_str::<Value>(PERMITS).expect("JSON"));
    assert!(role(&list, "developer").is_some_and(|it| it["isBuiltIn"] == true), "{list}");
    let copied = ["role", "define", "copied", "--file", "-"];
    json_of(&installation, &copied, &permits.to_string());
    json_of(&installation, &["role", "change", "copied", "--permission", "tenant.read"], "");
    json_of(&installation, &["role", "retire", "payments"], "");
    let list = listed(&installation, &["role", "list"], |it| {
        role(it, "payments").is_some_and(|it| it["isRetired"] == true)
            && role(it, "copied").is_some_and(|it| it["permits"][0]["permission"] == "tenant.read")
    });
    list.await;

    // What is wrong is said, with a code for scripts.
    for (arguments, input, code, said) in [
        (&["role", "define", "third", "--file", "-"][..], "nothing", 2, "holds no permissions"),
        (&["role", "define", "third", "--permission", "entity.paint"], "", 3, "entity.paint"),
        (&["role", "define", "third"], "", 2, "--permission"),
        (&["member", "add", "--role", "nobody"], "", 3, "role"),
        (&["member", "add"], "", 2, "--role"),
        (&["token", "--member", "ada"], "", 2, "usr_"),
    ] {
        let ran = run(&installation, arguments, input);
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
    server.stop().await;
}

#[tokio::test]
async fn keys_of_machines_are_looked_after_from_the_command_line() {
    let installation = Installation::new();
    let server = installation.up().await;
    installation.create_tenant("acme");
    let add = ["member", "add", "--role", "developer"];
    let member = json_of(&installation, &add, "")["memberId"].clone();
    let member = member.as_str().expect("an identity");
    let issue = ["api-key", "issue", "bot", "--scope", "entity.read", "--days", "30"];
    let issued = json_of(&installation, &[&issue[..], &["--member", member]].concat(), "");
    let (key, secret) = (issued["keyId"].as_str().expect("a key"), issued["secret"].as_str());
    let secret = secret.expect("it is shown once");
    let said = permissions(&server, secret).await;
    assert_eq!(said["actor"], *key);
    assert_eq!(said["permissions"][0]["name"], "entity.read");
    assert_eq!(said["permissions"].as_array().map(Vec::len), Some(1));

    let is_it =
        |it: &Value| it["keyId"] == *key && it["memberId"] == *member && it["name"] == "bot";
    let there = |list: &Value| list.as_array().is_some_and(|it| it.iter().any(is_it));
    listed(&installation, &["api-key", "list"], there).await;
    json_of(&installation, &["api-key", "revoke", key], "");
    listed(&installation, &["api-key", "list"], |it| !there(it)).await;
    let refused = server.api(secret).ask("{ viewer { actor } }", &Value::Null).await;
    assert_eq!(refused.expect("it answers").status, 401);

    // One of the command line's own, which needs no member.
    let own = ["api-key", "issue", "probe", "--scope", "tenant.read"];
    let text = run(&installation, &[&own[..], &["--days", "1"]].concat(), "").text();
    assert!(text.starts_with("cbk_"), "{text}");
    for (arguments, code) in [
        (&["api-key", "revoke", key][..], 2),
        (&own, 2),
        (&[&own[..], &["--days", "400"]].concat(), 2),
        (&[&own[..], &["--expires", "2020-01-01T00:00:00Z"]].concat(), 3),
    ] {
        let ran = run(&installation, arguments, "");
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
    }
    server.stop().await;
}
