//! A provider that changes its keys while people sign in.

use std::sync::mpsc;
use std::thread;

use super::ground::{Ground, Member, Tenant};
use super::{PEOPLE, Provider};
use crate::harness::{Asked, Browser, PATIENCE, Profile, exchange};

/// How often each signs in between two changes of keys. Within an hour nobody may 30 times.
const BETWEEN: usize = 2;

pub(super) async fn keys_may_change_while_people_sign_in(provider: &dyn Provider) {
    let ground = Ground::of(provider, &["acme"]).await;
    let acme = &ground.tenants[0];
    let members = PEOPLE.map(|who| (who, ground.linked(acme, &mut Browser::default(), who)));
    // Keys that are not known are asked for six times a minute.
    let changes = Profile::of_this_run().count(1, 2, 4);
    let sign_ins = (changes + 1) * BETWEEN;
    let (done, counted) = mpsc::channel();
    thread::scope(|scope| {
        for (who, member) in &members {
            let done = done.clone();
            scope.spawn(move || {
                for _ in 0..sign_ins {
                    sign_in(acme, who, member);
                    done.send(()).expect("somebody counts");
                }
            });
        }
        for _ in 0..changes {
            for _ in 0..BETWEEN * members.len() {
                counted.recv_timeout(PATIENCE).expect("people sign in");
            }
            change_key(provider, acme, &members[0]);
        }
    });
    let rest = counted.try_iter().count();
    assert_eq!(rest, BETWEEN * members.len());
    say(&format!("{changes} changes of keys during {} sign-ins", sign_ins * members.len()));
    ground.server.stop().await;
}

/// Changes the keys while somebody is on their way.
fn change_key(provider: &dyn Provider, acme: &Tenant, (who, member): &(&str, Member)) {
    let mut browser = Browser::default();
    let left = browser.open(&acme.door()).expect("it answers");
    let shown = || {
        let keys = exchange(&Asked::get(&provider.keys().parse().expect("an address")));
        keys.expect("it answers").body
    };
    let before = shown();
    let sent_back = acme.at_provider(&mut browser, left, who).expect("everybody answers");
    provider.change_key();
    assert_ne!(shown(), before);
    let back = browser.follow(sent_back, |next| next.path() == acme.callback().path());
    acme.check_entered(&mut browser, &back.expect("everybody answers"), member);
}

fn sign_in(acme: &Tenant, who: &str, member: &Member) {
    let mut browser = Browser::default();
    let back = acme.enter(&mut browser, who).expect("everybody answers");
    acme.check_entered(&mut browser, &back, member);
}

#[expect(clippy::print_stdout, reason = "figures are what such a test is run for")]
fn say(line: &str) {
    println!("{line}");
}
