//! The whole way: invited, linked, signed in, signed out, and everybody who does not get in.

use super::Provider;
use super::ground::Ground;
use crate::harness::Browser;

pub(super) async fn a_member_who_was_invited_signs_in_there_and_out(provider: &dyn Provider) {
    let ground = Ground::of(provider, &["acme"]).await;
    let acme = &ground.tenants[0];

    // With the invite, and once with it.
    let mut browser = Browser::default();
    let ada = ground.invited(acme, "developer");
    let back = acme.accept(&mut browser, &ada.invite, "ada").expect("everybody answers");
    acme.check_entered(&mut browser, &back, &ada);
    let mut other = Browser::default();
    let again = acme.accept(&mut other, &ada.invite, "ada").expect("everybody answers");
    assert_eq!((again.status(), &again.json()["code"]), (403, &"INVITE_REFUSED".into()));
    assert_eq!(acme.session(&other), None);

    // What came back has come back, in this browser and in another one that has seen it.
    let seen = back.url.clone();
    assert!(seen.query().is_some_and(|it| it.contains("code=") && it.contains("state=")), "{seen}");
    for browser in [&mut browser.clone(), &mut Browser::default()] {
        let replayed = browser.open(&seen).expect("it answers");
        assert_eq!(replayed.status(), 403, "{}", replayed.body());
    }

    // The provider knows the browser still; another one it asks who is there.
    let first = acme.session(&browser).expect("there is one");
    acme.sign_out(&mut browser);
    assert_eq!((acme.viewer(&mut browser), acme.session(&browser)), (None, None));
    for mut browser in [browser, Browser::default()] {
        let back = acme.enter(&mut browser, "ada").expect("everybody answers");
        acme.check_entered(&mut browser, &back, &ada);
        assert_ne!(acme.session(&browser), Some(first.clone()));
    }

    // Whom the provider knows is nobody's member for that, whatever their address is.
    let mut browser = Browser::default();
    let back = acme.enter(&mut browser, "bob").expect("everybody answers");
    acme.check_refused(&browser, &back);
    assert!(back.url.query().is_some_and(|it| it.contains("code=")), "the provider knows bob");
    assert_eq!(acme.viewer(&mut browser), None);

    // An account is one member, and a member who was removed is nobody.
    let cleo = ground.invited(acme, "developer");
    let mut browser = Browser::default();
    let back = acme.accept(&mut browser, &cleo.invite, "ada").expect("everybody answers");
    acme.check_refused(&browser, &back);
    ground.run("acme", &["member", "remove", &ada.id], "");
    let back = acme.enter(&mut browser, "ada").expect("everybody answers");
    acme.check_refused(&browser, &back);
    ground.server.stop().await;
}

pub(super) async fn who_does_not_know_the_password_does_not_come_back(provider: &dyn Provider) {
    let ground = Ground::of(provider, &["acme"]).await;
    let acme = &ground.tenants[0];
    let ada = ground.linked(acme, &mut Browser::default(), "ada");
    let mut browser = Browser::default();
    let left = browser.open(&acme.door()).expect("it answers");
    let guessed = ("ada", "quiet herons in snow");
    let page = acme.at_provider_with(&mut browser, left, guessed).expect("everybody answers");
    assert!(page.status() == 200 && page.form().is_some(), "it is asked again");
    assert_eq!(acme.viewer(&mut browser), None);
    // The form is the one that leads in.
    let back = acme.enter(&mut browser, "ada").expect("everybody answers");
    acme.check_entered(&mut browser, &back, &ada);
    ground.server.stop().await;
}
