//! What one provider says in two tenants, and two providers in one.

use super::Provider;
use super::ground::Ground;
use super::node::Node;
use crate::harness::Browser;

pub(super) async fn two_tenants_of_one_provider_never_mix(provider: &dyn Provider) {
    let ground = Ground::of(provider, &["acme", "globex"]).await;
    let [acme, globex] = ground.tenants.as_slice() else { unreachable!("there are two") };
    let mut browser = Browser::default();
    let at_acme = ground.linked(acme, &mut browser, "ada");

    // The same account is nobody in the other tenant, until it is linked there, with somebody else.
    let back = globex.enter(&mut browser, "ada").expect("everybody answers");
    globex.check_refused(&browser, &back);
    let at_globex = ground.linked(globex, &mut browser, "ada");
    assert_ne!(at_acme.id, at_globex.id);
    for (tenant, member) in [(acme, &at_acme), (globex, &at_globex), (acme, &at_acme)] {
        let back = tenant.enter(&mut browser, "ada").expect("everybody answers");
        tenant.check_entered(&mut browser, &back, member);
        let other = if tenant.provider == acme.provider { globex } else { acme };
        assert!(other.viewer(&mut browser).is_some(), "it is signed in at both");
    }

    // What was begun at one does not end at the other, nor is one's session good there.
    let sent_back = |browser: &mut Browser| {
        let left = browser.open(&acme.door()).expect("it answers");
        let page = acme.at_provider(browser, left, "ada").expect("everybody answers");
        page.leads_to().expect("it is sent back")
    };
    let mut fresh = Browser::default();
    let mut elsewhere = sent_back(&mut fresh);
    elsewhere.set_host(globex.home.host_str()).expect("it has a host");
    fresh.share_cookies(&acme.home, &globex.home);
    let back = fresh.open(&elsewhere).expect("it answers");
    globex.check_refused(&fresh, &back);
    elsewhere.set_path(globex.callback().path());
    let back = fresh.open(&elsewhere).expect("it answers");
    globex.check_refused(&fresh, &back);
    let mut both = Browser::default();
    let back = acme.enter(&mut both, "ada").expect("everybody answers");
    acme.check_entered(&mut both, &back, &at_acme);
    both.share_cookies(&acme.home, &globex.home);
    let query = serde_json::json!({ "query": "{ viewer { actor } }" });
    let refused = both.ask("POST", &globex.url("/graphql"), &query).expect("it answers");
    assert_eq!(refused.status(), 400, "{}", refused.body());
    assert!(refused.body().contains("WRONG_HOST"), "{}", refused.body());
    let foreign = globex.url(acme.door().path());
    assert_eq!(fresh.open(&foreign).expect("it answers").status(), 403);

    // One tenant's decision is not the other's.
    ground.run("acme", &["provider", "remove", &acme.provider], "");
    assert_eq!(fresh.open(&acme.door()).expect("it answers").status(), 403);
    let back = globex.enter(&mut browser, "ada").expect("everybody answers");
    globex.check_entered(&mut browser, &back, &at_globex);
    ground.server.stop().await;
}

pub(super) async fn a_name_at_one_provider_is_nobody_at_another(one: &Node, other: &Node) {
    let ground = Ground::of(one, &["acme"]).await;
    let at_one = &ground.tenants[0];
    let mut browser = Browser::default();
    let ada = ground.linked(at_one, &mut browser, "ada");
    let at_other = ground.add("acme", other);
    other.register(&[at_other.callback().into()]);
    let mut browser = Browser::default();
    let back = at_other.enter(&mut browser, "ada").expect("everybody answers");
    assert!(back.url.query().is_some_and(|it| it.contains("code=")), "the provider knows ada");
    at_other.check_refused(&browser, &back);
    let back = at_one.enter(&mut browser, "ada").expect("everybody answers");
    at_one.check_entered(&mut browser, &back, &ada);
    ground.server.stop().await;
}
