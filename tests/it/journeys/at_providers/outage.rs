//! A provider that goes away and comes back.

use super::Provider;
use super::ground::Ground;
use super::node::Node;
use crate::harness::{Browser, eventually};

pub(super) async fn one_that_goes_away_keeps_nobody_out_who_is_in(provider: &dyn Provider) {
    let ground = Ground::of(provider, &["acme"]).await;
    let acme = &ground.tenants[0];
    let mut inside = Browser::default();
    let ada = ground.linked(acme, &mut inside, "ada");

    // Somebody is about to be sent back when it goes away.
    let mut browser = Browser::default();
    let left = browser.open(&acme.door()).expect("it answers");
    let sent_back = acme.at_provider(&mut browser, left, "ada").expect("everybody answers");
    provider.go_away();
    let come_back = |browser: &mut Browser| {
        let back = browser.follow(sent_back.clone(), |next| next.path() == acme.callback().path());
        back.expect("it answers")
    };
    let back = come_back(&mut browser);
    assert_eq!((back.status(), &back.json()["code"]), (503, &"UNAVAILABLE".into()));
    assert!(back.header("retry-after").is_some());
    let back = come_back(&mut browser);
    acme.check_refused(&browser, &back);

    // Who is in stays in. Where the others are sent nobody is.
    assert_eq!(acme.viewer(&mut inside).expect("it is signed in")["actor"], *ada.id);
    let left = browser.open(&acme.door()).expect("it answers");
    let away = left.leads_to().expect("it is known still");
    browser.click(&acme.home, &away).map(|it| it.url).expect_err("nobody is there");

    // A process that starts meanwhile knows nothing of it, and everybody who is in.
    let Ground { installation, server, tenants } = ground;
    server.stop().await;
    let server = installation.up().await;
    let acme = &tenants[0];
    let left = browser.open(&acme.door()).expect("it answers");
    assert_eq!((left.status(), &left.json()["code"]), (503, &"UNAVAILABLE".into()));
    assert!(left.header("retry-after").is_some());
    assert_eq!(acme.viewer(&mut inside).expect("it is signed in")["actor"], *ada.id);

    provider.come_back();
    let back = eventually("it is asked again", async || {
        let mut fresh = Browser::default();
        let back = acme.enter(&mut fresh, "ada").expect("everybody answers");
        (back.status() != 503).then_some((fresh, back))
    });
    let (mut fresh, back) = back.await;
    acme.check_entered(&mut fresh, &back, &ada);
    server.stop().await;
}

pub(super) async fn keys_that_are_known_are_good_while_they_are_not_shown(provider: &Node) {
    let ground = Ground::of(provider, &["acme"]).await;
    let acme = &ground.tenants[0];
    let ada = ground.linked(acme, &mut Browser::default(), "ada");
    let enter = || {
        let mut browser = Browser::default();
        let back = acme.enter(&mut browser, "ada").expect("everybody answers");
        (browser, back)
    };
    provider.be_silent(&["/jwks", "/.well-known"]);
    let (mut browser, back) = enter();
    acme.check_entered(&mut browser, &back, &ada);

    // One that nobody has seen is good for nothing, until it is shown.
    provider.change_key();
    let (browser, back) = enter();
    acme.check_refused(&browser, &back);
    provider.be_silent(&[]);
    let (mut browser, back) = eventually("the keys are asked for again", async || {
        let entered = enter();
        (entered.1.status() != 403).then_some(entered)
    })
    .await;
    acme.check_entered(&mut browser, &back, &ada);
    ground.server.stop().await;
}
