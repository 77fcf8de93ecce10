//! Proving once more at a provider who one is, before what could do most harm.

use super::super::api_keys::ISSUE;
use super::*;

/// What could do most harm is refused in this session, or accepted.
async fn issues_a_key(site: &Site, session: &Member) -> Result<(), String> {
    let ends = Utc::now() + chrono::TimeDelta::hours(1);
    let input = json!({ "name": "ci", "scope": ["entity.read"], "expiresAt": ends.to_rfc3339() });
    let asked = site.data(session, ISSUE, json!({ "input": input })).await;
    let errors = &asked["issueApiKey"]["userErrors"];
    match errors[0]["code"].as_str() {
        Some(code) => Err(code.to_owned()),
        None => Ok(()),
    }
}

impl Ground {
    /// A session of who signs in at the provider, which says this of when they have proved who they are.
    async fn enter(&self, path: &str, proved_at: Option<Value>) -> (Begun, Member) {
        let begun = self.begun(&self.get(HOST, path, None).await, "ada");
        if let Some(proved_at) = proved_at {
            self.issuer.lies().claims["auth_time"] = proved_at;
        }
        let session = self.come_back(&begun).await.session(self.site.a.tenant);
        (begun, session)
    }
}

#[tokio::test]
async fn who_was_asked_by_a_provider_lately_may_do_what_could_do_most_harm() {
    let ground = ground(Kind::Sqlite).await;
    let site = &ground.site;
    ground.linked("ada").await;
    let (path, again) = (ground.path(), format!("{}?again=true", ground.path()));
    // Whoever is still signed in there was not asked: nobody knows who sits there by now.
    for silent in [None, Some(from_now(-900)), Some(from_now(-90_000)), Some(from_now(600))] {
        let (begun, session) = ground.enter(&path, silent.clone()).await;
        assert!(!begun.asked.contains_key("max_age"));
        let refused = issues_a_key(site, &session).await;
        assert_eq!(refused, Err("STEP_UP_REQUIRED".to_owned()), "{silent:?}");
        let read = site.data(&session, "{ viewer { sessions { provedAt } } }", json!({})).await;
        assert!(read["viewer"]["sessions"].is_array(), "{read}");
    }
    for lately in [from_now(0), from_now(-600), from_now(30)] {
        let (begun, session) = ground.enter(&again, Some(lately.clone())).await;
        assert_eq!(begun.asked["max_age"], "0");
        assert_eq!(issues_a_key(site, &session).await, Ok(()), "{lately}");
    }
    let begun = ground.begun(&ground.get(HOST, &again, None).await, "ada");
    assert_eq!(begun.asked["prompt"], "login");
    let unsaid = ground.come_back(&begun).await;
    assert_eq!((unsaid.status, &unsaid.body["code"]), (403, &json!("STEP_UP_UNAVAILABLE")));
    assert_eq!(unsaid.cookie("__Host-callboard"), None, "it would be of no use");
    for wrong in ["again=maybe", "again=true&again=true", "max_age=0"] {
        let answer = ground.get(HOST, &format!("{path}?{wrong}"), None).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_trail_is_exported_in_a_session_of_the_last_minutes_only() {
    let ground = ground(Kind::Sqlite).await;
    let (auditor, _) = member(&ground.site, &["auditor"]).await;
    ground.accept(&ground.invite(auditor).await, "ada").await.session(ground.site.a.tenant);
    let export = "/api/v1/audit/export";
    let (_, session) = ground.enter(&ground.path(), None).await;
    let refused = ground.site.get(&session, export).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("STEP_UP_REQUIRED")));
    let again = format!("{}?again=true", ground.path());
    let (_, session) = ground.enter(&again, Some(from_now(0))).await;
    assert_eq!(ground.site.get(&session, export).await.status, 200);
}

/// Whoever got to a session would sign in as its member for good.
#[tokio::test]
async fn a_provider_is_linked_in_a_session_of_the_last_minutes_only() {
    let ground = ground(Kind::Sqlite).await;
    ground.linked("ada").await;
    let (_, stale) = ground.enter(&ground.path(), Some(from_now(-900))).await;
    let refused = ground.want(&json!({}), Some(&stale)).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("STEP_UP_REQUIRED")));
    let again = format!("{}?again=true", ground.path());
    let (_, fresh) = ground.enter(&again, Some(from_now(0))).await;
    assert_eq!(ground.want(&json!({}), Some(&fresh)).await.status, 200);
}
