//! Who signs in, for how long, and who may invite whom.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use domain::Principal;
use domain::id::{ActorId, SessionId, TenantId};
use domain::member::{Lifetime, Method, SignIn, Term};
use domain::operation::Operation;
use domain::principal::{Means, Permission, Scope};
use domain::role::Permit;
use domain::tenant::SuspensionReason;
use uuid::Uuid;

use super::access::{self, add, give, member, refusal, remove};
use super::api_keys::issue;
use super::cluster::Cluster;
use super::installation::{Installation, SOON, operator, put};
use crate::clock::Clock;
use crate::clock::testing::TestClock;
use crate::commands::Commands;
use crate::grants::SecretOf;
use crate::request::CommandError;
use crate::settings::Sabotage;

/// Has a clock show what the doors go by.
fn bring_to_present(clock: &TestClock) {
    clock.advance(Utc::now() - clock.now());
}

/// An installation of this moment with a tenant, and its owner.
pub(super) async fn begin(sabotage: Option<Sabotage>) -> (Installation, Principal) {
    let (installation, owner) = access::begin(sabotage).await;
    bring_to_present(&installation.clock);
    (installation, owner)
}

/// A new session of `who` for which `text` stands.
async fn asked(commands: &Commands, who: &Principal, text: &str) -> Operation {
    let secret = commands.digest_of_secret(who.tenant(), SecretOf::Session, text).await.unwrap();
    let methods = BTreeSet::from([Method::Pwd]);
    let lifetime = Lifetime::SESSION_MAX;
    let (proved_s_ago, ends_others, term) = (Some(0), false, None);
    let asked = SignIn { secret, methods, proved_s_ago, lifetime, ends_others, term };
    Operation::SignIn { session: SessionId(Uuid::now_v7()), asked }
}

/// Signs `who` in, after they have proved who they are.
pub(super) async fn sign_in(installation: &Installation, who: &Principal, text: &str) -> Principal {
    let proved = Principal::signing_in(who.tenant(), who.actor());
    let sign_in = asked(&installation.commands, who, text).await;
    installation.submit(&proved, sign_in).await.unwrap();
    known(&installation.commands, who, text).await.expect("they have signed in")
}

async fn known(commands: &Commands, who: &Principal, text: &str) -> Option<Principal> {
    let known = commands.principal_of_session(who.tenant(), who.actor(), text).await;
    known.unwrap().map(|it| it.0)
}

pub(super) fn sign_out(who: Option<&Principal>, session: Option<&Principal>) -> Operation {
    let session = session.map(|it| match it.means() {
        Means::Session(session) => session,
        other => panic!("{other:?}"),
    });
    Operation::SignOut { member: who.map(Principal::actor), session }
}

#[tokio::test]
async fn somebody_signed_in_is_the_member_with_all_that_they_may() {
    let (installation, owner) = begin(None).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    let here = sign_in(&installation, &ada, "here").await;
    assert_eq!((here.actor(), here.member_id()), (ada.actor(), Some(ada.actor())));
    assert_eq!(here.authorize(Permission::EntityWrite), Ok(Scope::All));
    installation.submit(&here, put("web")).await.unwrap();
    installation.submit(&owner, give(ada.actor(), &["viewer"])).await.unwrap();
    assert_eq!(refusal(&installation, &here, put("api")).await, "DENIED");
}

#[tokio::test]
async fn a_text_stands_for_the_session_it_was_made_for_and_for_no_other() {
    let (installation, owner) = begin(None).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    sign_in(&installation, &ada, "adas").await;
    let commands = &installation.commands;
    let of = async |tenant, actor, text| {
        commands.principal_of_session(tenant, actor, text).await.unwrap()
    };
    let (_, expires_at) = of(ada.tenant(), ada.actor(), "adas").await.expect("it is hers");
    let left = expires_at - Utc::now();
    assert!((11..=12).contains(&left.num_hours()), "{left}");
    assert!(of(ada.tenant(), ada.actor(), "chosen by somebody else").await.is_none());
    assert!(of(ada.tenant(), owner.actor(), "adas").await.is_none());
    assert!(of(TenantId::SYSTEM, ada.actor(), "adas").await.is_none());
}

#[tokio::test]
async fn only_a_proof_begins_a_session_and_it_does_nothing_else() {
    let (installation, owner) = begin(None).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    let proved = Principal::signing_in(owner.tenant(), owner.actor());
    assert_eq!(refusal(&installation, &proved, put("web")).await, "DENIED");
    let signs_out = refusal(&installation, &proved, sign_out(None, None)).await;
    assert_eq!(signs_out, "NOT_IN_PERSON");

    let session = sign_in(&installation, &owner, "owners").await;
    for who in [&owner, &session, &ada] {
        let asked = asked(&installation.commands, who, "more").await;
        assert_eq!(refusal(&installation, who, asked).await, "NOT_PROVED");
    }
    let stranger = Principal::signing_in(owner.tenant(), ActorId(Uuid::now_v7()));
    let asked = asked(&installation.commands, &stranger, "nobodys").await;
    assert_eq!(refusal(&installation, &stranger, asked).await, "MEMBER_NOT_FOUND");
}

#[tokio::test]
async fn a_session_that_was_let_in_is_asked_for_again_when_it_is_decided() {
    for sabotage in [None, Some(Sabotage::AuthorizeNobody)] {
        let (installation, owner) = begin(sabotage).await;
        let here = sign_in(&installation, &owner, "here").await;
        installation.submit(&here, sign_out(None, Some(&here))).await.unwrap();
        assert_eq!(known(&installation.commands, &owner, "here").await, None);
        let put = installation.submit(&here, put("web")).await;
        assert_eq!(put.is_ok(), sabotage.is_some(), "{put:?}");
        let again = installation.submit(&here, sign_out(None, None)).await;
        assert_eq!(again.is_ok(), sabotage.is_some(), "{again:?}");
    }
}

#[tokio::test]
async fn sessions_go_with_their_member_and_last_over_restarts() {
    let (mut installation, owner) = begin(None).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    let kept = sign_in(&installation, &owner, "kept").await;
    let gone = sign_in(&installation, &ada, "gone").await;
    installation.submit(&owner, remove(&ada)).await.unwrap();
    installation.submit(&owner, add(ada.actor(), &["developer"])).await.unwrap();
    for forget in [false, true] {
        assert_eq!(known(&installation.commands, &ada, "gone").await, None);
        assert_eq!(refusal(&installation, &gone, put("web")).await, "DENIED");
        installation.submit(&kept, put(&format!("kept-{forget}"))).await.unwrap();
        if forget {
            installation.forget_snapshots().await;
            installation.start_again().await;
        } else {
            installation.restart().await;
        }
    }
    let again = known(&installation.commands, &owner, "kept").await;
    assert_eq!(again, Some(kept), "it was in the snapshot, and in the log");
}

#[tokio::test]
async fn the_twenty_first_session_ends_the_first() {
    let (installation, owner) = begin(None).await;
    for number in 0..21 {
        sign_in(&installation, &owner, &number.to_string()).await;
    }
    assert_eq!(known(&installation.commands, &owner, "0").await, None);
    for number in 1..21 {
        let known = known(&installation.commands, &owner, &number.to_string()).await;
        assert!(known.is_some(), "{number}");
    }
}

#[tokio::test]
async fn who_manages_members_ends_their_sessions_and_nobody_else_does() {
    let (installation, owner) = begin(None).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    let admin = member(&installation, &owner, &["admin"]).await;
    let here = sign_in(&installation, &ada, "here").await;
    let there = sign_in(&installation, &ada, "there").await;
    let own = sign_out(None, Some(&here));
    assert_eq!(refusal(&installation, &admin, own).await, "SESSION_NOT_FOUND");
    let foreign = sign_out(Some(&ada), Some(&here));
    assert_eq!(refusal(&installation, &ada, foreign.clone()).await, "DENIED");
    installation.submit(&admin, foreign).await.unwrap();
    assert_eq!(known(&installation.commands, &ada, "here").await, None);
    assert_eq!(known(&installation.commands, &ada, "there").await, Some(there.clone()));
    installation.submit(&there, sign_out(None, None)).await.unwrap();
    assert_eq!(known(&installation.commands, &ada, "there").await, None);

    // Whoever an API key got to could keep everybody out by it, so it ends what it covers.
    let permits = vec![Permit::everywhere(Permission::MemberWrite)];
    let define = Operation::DefineRole { role: "hr".parse().unwrap(), permits };
    installation.submit(&owner, define).await.unwrap();
    let by_key = issue(&installation, &owner, &[Permission::MemberWrite]).await;
    let hr = member(&installation, &owner, &["hr"]).await;
    for (whom, ends) in [(&ada, false), (&owner, false), (&hr, true)] {
        sign_in(&installation, whom, "again").await;
        let ended = installation.submit(&by_key, sign_out(Some(whom), None)).await;
        assert_eq!(ended.is_ok(), ends, "{ended:?}");
        assert_eq!(known(&installation.commands, whom, "again").await.is_none(), ends);
    }

    // A person ends those of an owner too, who may more: nothing is given to anybody.
    sign_in(&installation, &owner, "owners").await;
    installation.submit(&admin, sign_out(Some(&owner), None)).await.unwrap();
    assert_eq!(known(&installation.commands, &owner, "owners").await, None);
}

#[tokio::test]
async fn nobody_signs_in_to_a_tenant_that_is_suspended_but_everybody_may_leave() {
    let (installation, owner) = begin(None).await;
    let here = sign_in(&installation, &owner, "here").await;
    let suspend =
        Operation::SuspendTenant { tenant: owner.tenant(), reason: SuspensionReason::Requested };
    installation.submit(&operator(), suspend).await.unwrap();
    while installation.commands.check_active(owner.tenant()).is_ok() {
        tokio::task::yield_now().await;
    }
    let proved = Principal::signing_in(owner.tenant(), owner.actor());
    let asked = asked(&installation.commands, &owner, "again").await;
    assert_eq!(refusal(&installation, &proved, asked).await, "TENANT_SUSPENDED");
    installation.submit(&here, sign_out(None, Some(&here))).await.unwrap();
    assert_eq!(known(&installation.commands, &owner, "here").await, None);
}

async fn invite(installation: &Installation, whom: &Principal, text: &str) -> Operation {
    let commands = &installation.commands;
    let secret = commands.digest_of_secret(whom.tenant(), SecretOf::Invite, text).await.unwrap();
    Operation::InviteMember { member: whom.actor(), secret, lifetime: Lifetime::INVITE_MAX }
}

async fn is_invited(installation: &Installation, who: &Principal, text: &str) -> bool {
    let (tenant, actor) = (who.tenant(), who.actor());
    let invited = installation.commands.invited(tenant, actor, text).await.unwrap();
    assert_eq!(installation.commands.invited_still(tenant, actor, text).await.unwrap(), invited);
    invited.is_some()
}

#[tokio::test]
async fn an_invite_is_good_until_the_next_one_or_the_end_of_its_member() {
    let (mut installation, owner) = begin(None).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    let first = invite(&installation, &ada, "first").await;
    installation.submit(&owner, first).await.unwrap();
    assert!(is_invited(&installation, &ada, "first").await);
    assert!(!is_invited(&installation, &ada, "guessed").await);
    assert!(!is_invited(&installation, &owner, "first").await);
    let second = invite(&installation, &ada, "second").await;
    installation.submit(&owner, second).await.unwrap();
    installation.restart().await;
    assert!(!is_invited(&installation, &ada, "first").await);
    assert!(is_invited(&installation, &ada, "second").await, "it was in the snapshot");
    installation.submit(&owner, remove(&ada)).await.unwrap();
    installation.submit(&owner, add(ada.actor(), &["developer"])).await.unwrap();
    assert!(!is_invited(&installation, &ada, "second").await);
}

#[tokio::test]
async fn an_invite_is_good_only_as_long_as_who_made_it_out_could_do_so_again() {
    let (installation, owner) = begin(None).await;
    let admin = member(&installation, &owner, &["admin"]).await;
    let other = member(&installation, &owner, &["admin"]).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    for whom in [&ada, &other] {
        let invite = invite(&installation, whom, "text").await;
        installation.submit(&admin, invite).await.unwrap();
        assert!(is_invited(&installation, whom, "text").await);
    }
    // More than the admin has.
    installation.submit(&owner, give(ada.actor(), &["owner"])).await.unwrap();
    assert!(!is_invited(&installation, &ada, "text").await);
    // Somebody who was an admin.
    installation.submit(&owner, remove(&admin)).await.unwrap();
    assert!(!is_invited(&installation, &other, "text").await);
    let again = invite(&installation, &other, "again").await;
    installation.submit(&owner, again).await.unwrap();
    assert!(is_invited(&installation, &other, "again").await, "the control");
}

#[tokio::test]
async fn who_has_signed_in_does_not_invite_themselves() {
    let (installation, owner) = begin(None).await;
    let here = sign_in(&installation, &owner, "here").await;
    let oneself = invite(&installation, &owner, "text").await;
    assert_eq!(refusal(&installation, &here, oneself).await, "BEYOND_GRANTOR");
    let ada = member(&installation, &owner, &["developer"]).await;
    let somebody_else = invite(&installation, &ada, "text").await;
    installation.submit(&here, somebody_else).await.unwrap();
}

#[tokio::test]
async fn what_has_ended_lets_nobody_in() {
    // The owner's clock stands still, long before the present.
    let (installation, owner) = access::begin(None).await;
    let proved = Principal::signing_in(owner.tenant(), owner.actor());
    for is_present in [false, true] {
        let invite = invite(&installation, &owner, &format!("text-{is_present}")).await;
        installation.submit(&owner, invite).await.unwrap();
        let invited = is_invited(&installation, &owner, &format!("text-{is_present}")).await;
        let sign_in = asked(&installation.commands, &owner, "text").await;
        installation.submit(&proved, sign_in).await.unwrap();
        let known = known(&installation.commands, &owner, "text").await.is_some();
        assert_eq!((invited, known), (is_present, is_present));
        let out = sign_out(Some(&owner), None);
        installation.submit(&owner, out).await.unwrap();
        bring_to_present(&installation.clock);
    }
}

/// What was restored has forgotten which of them were used, or ended.
#[tokio::test]
async fn sessions_and_invites_of_another_life_are_good_for_nothing() {
    let (mut installation, owner) = begin(None).await;
    let invite = invite(&installation, &owner, "text").await;
    installation.submit(&owner, invite).await.unwrap();
    sign_in(&installation, &owner, "here").await;
    let key = issue(&installation, &owner, &[Permission::EntityRead]).await;
    for (life, lasts) in [("", true), ("restored", false)] {
        installation.settings.life = life.to_owned();
        installation.restart().await;
        assert_eq!(known(&installation.commands, &owner, "here").await.is_some(), lasts);
        assert_eq!(is_invited(&installation, &owner, "text").await, lasts);
        installation.submit(&key, sign_out(None, None)).await.unwrap_err();
    }
    sign_in(&installation, &owner, "anew").await;
}

/// What somebody has proved as a member for one time lets nobody in the next time.
#[tokio::test]
async fn who_was_removed_and_is_added_again_is_a_member_for_another_time() {
    let (mut installation, owner) = begin(None).await;
    let ada = member(&installation, &owner, &["developer"]).await;
    let (tenant, actor) = (ada.tenant(), ada.actor());
    assert_eq!(installation.commands.term(tenant, actor), Some(Term(1)));
    installation.submit(&owner, remove(&ada)).await.unwrap();
    assert_eq!(installation.commands.term_now(tenant, actor).await.unwrap(), None);
    assert_eq!(installation.commands.former_members(), [(tenant, actor, Term(1))]);
    // The snapshot has it, too.
    installation.restart().await;
    installation.submit(&owner, add(actor, &["developer"])).await.unwrap();
    installation.restart().await;
    assert_eq!(installation.commands.term_now(tenant, actor).await.unwrap(), Some(Term(2)));
    assert_eq!(installation.commands.former_members(), []);
    let proved = Principal::signing_in(tenant, actor);
    for (term, expected) in
        [(1, Some("MEMBER_NOT_FOUND")), (2, None), (3, Some("MEMBER_NOT_FOUND"))]
    {
        let asked = asked(&installation.commands, &ada, &term.to_string()).await;
        let Operation::SignIn { session, asked } = asked else { unreachable!() };
        let asked = SignIn { term: Some(Term(term)), ..asked };
        let signed_in = installation.submit(&proved, Operation::SignIn { session, asked }).await;
        let code = signed_in.err().map(|it| match it {
            CommandError::Rejected { code, .. } => code.to_string(),
            other => panic!("{other:?}"),
        });
        assert_eq!(code.as_deref(), expected);
    }
}

#[tokio::test]
async fn a_session_that_has_ended_decides_nothing() {
    let (installation, owner) = begin(None).await;
    let here = sign_in(&installation, &owner, "here").await;
    installation.submit(&here, put("web")).await.unwrap();
    installation.clock.advance(TimeDelta::hours(12));
    assert_eq!(refusal(&installation, &here, put("api")).await, "DENIED");
    assert_eq!(refusal(&installation, &here, sign_out(None, None)).await, "NOT_IN_PERSON");
    installation.submit(&owner, put("api")).await.unwrap();
}

#[tokio::test]
async fn nobody_invites_who_may_more_than_they_and_an_api_key_invites_nobody() {
    for sabotage in [None, Some(Sabotage::DelegateAnything)] {
        let (installation, owner) = begin(sabotage).await;
        let admin = member(&installation, &owner, &["admin"]).await;
        let ada = member(&installation, &owner, &["developer"]).await;
        let biller = member(&installation, &owner, &["billing"]).await;
        let define = Operation::DefineRole {
            role: "hr".parse().unwrap(),
            permits: vec![Permit::everywhere(Permission::MemberWrite)],
        };
        installation.submit(&owner, define).await.unwrap();
        let hr = member(&installation, &owner, &["hr"]).await;
        let every: Vec<_> =
            Permission::ALL.iter().copied().filter(|it| *it != Permission::ApiKeyWrite).collect();
        let key = issue(&installation, &owner, &every).await;
        let viewer = member(&installation, &owner, &["viewer"]).await;
        let is_refused = async |who: &Principal, whom: &Principal, why: &str| {
            let invite = invite(&installation, whom, "text").await;
            let Err(error) = installation.submit(who, invite).await else { return false };
            assert!(error.to_string().contains(why), "{error}");
            true
        };
        let guarded = sabotage.is_none();
        assert_eq!(is_refused(&admin, &owner, "would be given").await, guarded);
        assert_eq!(is_refused(&hr, &biller, "would be given").await, guarded);
        assert_eq!(is_refused(&key, &viewer, "invites nobody").await, guarded);
        // Controls: who may may.
        assert!(!is_refused(&admin, &ada, "").await);
        assert!(!is_refused(&hr, &hr, "").await);
        assert!(!is_refused(&owner, &viewer, "").await);
        let denied = invite(&installation, &ada, "text").await;
        assert_eq!(refusal(&installation, &biller, denied).await, "DENIED");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_known_everywhere_once_it_has_begun_and_what_is_open_ends_with_it() {
    let cluster = Cluster::new(2, 1, None).await;
    bring_to_present(&cluster.clock);
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let ada = ActorId(Uuid::now_v7());
    cluster.submit(&acme, add(ada, &["developer"])).await.unwrap();
    let ada = cluster.nodes[0].principal(acme.tenant(), ada).await.unwrap();
    let sign_in = asked(&cluster.nodes[0], &ada, "here").await;
    let proved = Principal::signing_in(ada.tenant(), ada.actor());
    cluster.submit(&proved, sign_in).await.unwrap();
    let here = known(&cluster.nodes[1], &ada, "here").await.expect("it has begun");
    let mut ended = std::pin::pin!(cluster.nodes[1].ended(&here));
    let waited = tokio::time::timeout(Duration::from_secs(10), &mut ended).await;
    assert!(waited.is_err(), "nothing has changed");
    cluster.submit(&ada, sign_out(None, Some(&here))).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(5), ended).await;
    waited.expect("who signed out is told within five seconds");
    assert_eq!(known(&cluster.nodes[1], &ada, "here").await, None);
}

#[tokio::test]
async fn what_somebody_without_any_role_has_open_ends_with_their_session() {
    let (installation, owner) = begin(None).await;
    let define = Operation::DefineRole {
        role: "idle".parse().unwrap(),
        permits: vec![Permit::everywhere(Permission::EntityRead)],
    };
    installation.submit(&owner, define).await.unwrap();
    let ada = member(&installation, &owner, &["idle"]).await;
    installation
        .submit(&owner, Operation::RetireRole { role: "idle".parse().unwrap() })
        .await
        .unwrap();
    let here = sign_in(&installation, &ada, "here").await;
    assert!(here.authorize(Permission::EntityRead).is_err(), "she may nothing");
    let ended = installation.commands.ended(&here);
    installation.submit(&owner, sign_out(Some(&ada), None)).await.unwrap();
    tokio::time::timeout(SOON, ended).await.expect("it ends");
}
