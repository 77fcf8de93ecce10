use std::slice::from_ref;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::aggregate::fold;
use crate::id::SubjectId;
use crate::personal::Content;
use crate::principal::Permission;

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_780_000_000, 0).unwrap();

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "tests read as data")]
fn check(given: &[Event], when: Command, then: Result<Vec<Event>, Rejection>) {
    assert_eq!(fold::<Member>(given).decide(&when, NOW), then);
}

fn roles(roles: &[BuiltIn]) -> BTreeSet<RoleRef> {
    roles.iter().copied().map(RoleRef::BuiltIn).collect()
}

fn name(mark: u8) -> Option<Personal> {
    let content = Content::Plain("Ada".to_owned());
    Some(Personal { subject: SubjectId::from_digest([1; 16]), digest: Digest([mark; 16]), content })
}

fn add(mark: u8, of: &[BuiltIn]) -> Command {
    Command::Add { name: name(mark), roles: roles(of) }
}

fn added(of: &[BuiltIn]) -> Event {
    Event::Added { name: name(1), roles: roles(of) }
}

fn change(of: &[BuiltIn], owners: u64) -> Command {
    Command::ChangeRoles { roles: roles(of), owners }
}

#[test]
fn is_added_once_and_may_come_back() {
    let viewer = [BuiltIn::Viewer];
    check(&[], add(1, &viewer), Ok(vec![added(&viewer)]));
    check(&[added(&viewer)], add(1, &viewer), Ok(vec![]));
    check(&[added(&viewer)], add(2, &viewer), Err(Rejection::AlreadyAdded));
    check(&[added(&viewer)], add(1, &[BuiltIn::Owner]), Err(Rejection::AlreadyAdded));
    check(&[added(&viewer), Event::Removed {}], add(1, &viewer), Ok(vec![added(&viewer)]));
}

#[test]
fn is_something_else_once_the_roles_were_changed() {
    let viewer = added(&[BuiltIn::Viewer]);
    let changed = Event::RolesChanged { roles: roles(&[BuiltIn::Admin]) };
    check(&[], change(&[BuiltIn::Admin], 1), Err(Rejection::NotAdded));
    let viewers = [viewer.clone()];
    check(&viewers, change(&[BuiltIn::Admin], 1), Ok(vec![changed.clone()]));
    check(&[viewer.clone(), changed], change(&[BuiltIn::Admin], 1), Ok(vec![]));
    check(&[viewer, Event::Removed {}], change(&[BuiltIn::Admin], 1), Err(Rejection::NotAdded));
}

#[test]
fn is_nothing_once_removed() {
    let viewer = [added(&[BuiltIn::Viewer])];
    check(&[], Command::Remove { owners: 1 }, Err(Rejection::NotAdded));
    check(&viewer, Command::Remove { owners: 1 }, Ok(vec![Event::Removed {}]));
    let gone = [added(&[BuiltIn::Viewer]), Event::Removed {}];
    check(&gone, Command::Remove { owners: 1 }, Ok(vec![]));
    assert_eq!(fold::<Member>(&gone).roles(), []);
}

#[test]
fn the_last_owner_stays_one() {
    let owner = [added(&[BuiltIn::Owner, BuiltIn::Billing])];
    check(&owner, Command::Remove { owners: 1 }, Err(Rejection::LastOwner));
    check(&owner, change(&[BuiltIn::Admin], 1), Err(Rejection::LastOwner));
    check(&owner, Command::Remove { owners: 2 }, Ok(vec![Event::Removed {}]));
    let still = Event::RolesChanged { roles: roles(&[BuiltIn::Owner]) };
    check(&owner, change(&[BuiltIn::Owner], 1), Ok(vec![still]));
}

const KEY: ActorId = ActorId::from_digest([9; 16]);

fn asked(days: i64) -> ApiKey {
    ApiKey {
        name: "ci".parse().unwrap(),
        scope: vec![Permission::EntityRead],
        secret: Digest([3; 16]),
        expires_at: NOW + TimeDelta::days(days),
    }
}

fn issue(key: ActorId, days: i64) -> Command {
    Command::IssueApiKey { key, asked: asked(days) }
}

fn issued(key: ActorId, days: i64) -> Event {
    Event::ApiKeyIssued { key, issued: asked(days) }
}

#[test]
fn has_api_keys_until_they_are_revoked_or_the_member_is_removed() {
    let viewer = added(&[BuiltIn::Viewer]);
    let key = KEY;
    check(&[], issue(key, 1), Err(Rejection::NotAdded));
    check(&[viewer.clone(), Event::Removed {}], issue(key, 1), Err(Rejection::NotAdded));
    check(from_ref(&viewer), issue(key, 1), Ok(vec![issued(key, 1)]));
    check(from_ref(&viewer), Command::RevokeApiKey { key }, Err(Rejection::ApiKeyNotFound));
    let with_key = [viewer.clone(), issued(key, 1)];
    check(&with_key, issue(key, 1), Ok(vec![]));
    check(&with_key, issue(key, 2), Err(Rejection::ApiKeyExists));
    check(&with_key, Command::RevokeApiKey { key }, Ok(vec![Event::ApiKeyRevoked { key }]));

    let changed = Event::RolesChanged { roles: roles(&[BuiltIn::Admin]) };
    let kept = [viewer.clone(), issued(key, 1), changed];
    assert_eq!(fold::<Member>(&kept).api_key(key), Some(&asked(1)));
    let back = [viewer.clone(), issued(key, 1), Event::Removed {}, viewer];
    assert_eq!(fold::<Member>(&back).api_key(key), None, "who comes back has none");
}

#[test]
fn an_api_key_ends_within_a_year_and_permits_nothing_afterwards() {
    let viewer = [added(&[BuiltIn::Viewer])];
    for days in [-1, 0, 367] {
        let ends = NOW + TimeDelta::days(days);
        check(&viewer, issue(KEY, days), Err(Rejection::ApiKeyLifetime(ends)));
    }
    check(&viewer, issue(KEY, 366), Ok(vec![issued(KEY, 366)]));
    let end = NOW + TimeDelta::days(1);
    let just_before = end - TimeDelta::microseconds(1);
    assert!(asked(1).permits(Permission::EntityRead, just_before));
    assert!(!asked(1).permits(Permission::EntityRead, end));
    assert!(!asked(1).permits(Permission::EntityWrite, just_before));
}

#[test]
fn there_are_so_many_api_keys_and_those_that_have_ended_make_room() {
    let keys: Vec<_> = (1..=20).map(|it| ActorId::from_digest([it; 16])).collect();
    let with = |days| {
        let mut history = vec![added(&[BuiltIn::Viewer])];
        history.extend(keys.iter().map(|it| issued(*it, days)));
        history
    };
    let another = ActorId::from_digest([99; 16]);
    check(&with(2), issue(another, 1), Err(Rejection::TooManyApiKeys));
    let mut made_room: Vec<_> = keys.iter().map(|key| Event::ApiKeyRevoked { key: *key }).collect();
    made_room.push(issued(another, 1));
    check(&with(0), issue(another, 1), Ok(made_room));
}

const SESSION: SessionId = SessionId::from_digest([5; 16]);

fn wanted(mark: u8, hours: u32) -> SignIn {
    let lifetime = Lifetime::hours(hours);
    let (secret, methods) = (Digest([mark; 16]), [Method::Pwd].into());
    SignIn { secret, methods, proved_s_ago: None, lifetime, ends_others: false, term: None }
}

fn sign_in(session: SessionId, mark: u8, hours: u32) -> Command {
    Command::SignIn { session, asked: wanted(mark, hours) }
}

fn signed_in(session: SessionId, hours: u32) -> Event {
    let opened = Session {
        secret: Digest([1; 16]),
        methods: [Method::Pwd].into(),
        since: NOW,
        proved_at: None,
        expires_at: NOW + TimeDelta::hours(hours.into()),
    };
    Event::SignedIn { session, opened }
}

#[test]
fn a_session_is_fresh_for_some_minutes_after_its_proof() {
    let seconds = |it| TimeDelta::seconds(it);
    let begun = |proved_s_ago| {
        let asked = SignIn { proved_s_ago, ..wanted(1, 12) };
        let command = Command::SignIn { session: SESSION, asked };
        let events = fold::<Member>(&[added(&[BuiltIn::Viewer])]).decide(&command, NOW).unwrap();
        let [Event::SignedIn { opened, .. }] = &events[..] else { panic!("{events:?}") };
        opened.clone()
    };
    let proved_now = begun(Some(0));
    assert!(proved_now.is_fresh(NOW + seconds(899)) && !proved_now.is_fresh(NOW + seconds(900)));
    let proved_before = begun(Some(600));
    assert!(proved_before.is_fresh(NOW + seconds(299)));
    assert!(!proved_before.is_fresh(NOW + seconds(300)));
    assert!(!begun(Some(u32::MAX)).is_fresh(NOW), "long ago");
    assert!(!begun(None).is_fresh(NOW), "nobody knows when");
}

#[test]
fn what_somebody_proves_who_they_are_by_changes_in_their_time_only() {
    let viewer = added(&[BuiltIn::Viewer]);
    let change = CredentialChange::PasswordSet;
    let changed = |term| Command::ChangeCredential { term: Term(term), change, provider: None };
    let event = Event::CredentialChanged { change, provider: None };
    check(&[], changed(1), Err(Rejection::NotAdded));
    check(from_ref(&viewer), changed(1), Ok(vec![event.clone()]));
    check(&[viewer.clone(), event.clone()], changed(1), Ok(vec![event.clone()]));
    let again = [viewer.clone(), Event::Removed {}, viewer];
    check(&again, changed(1), Err(Rejection::NotAdded));
    check(&again, changed(2), Ok(vec![event]));
}

fn signed_out(session: SessionId) -> Event {
    Event::SignedOut { session }
}

#[test]
fn is_signed_in_until_signed_out_or_removed() {
    let viewer = added(&[BuiltIn::Viewer]);
    let out = |session| Command::SignOut { session };
    check(&[], sign_in(SESSION, 1, 1), Err(Rejection::NotAdded));
    check(&[], out(None), Err(Rejection::NotAdded));
    check(&[viewer.clone(), Event::Removed {}], sign_in(SESSION, 1, 1), Err(Rejection::NotAdded));
    check(from_ref(&viewer), sign_in(SESSION, 1, 1), Ok(vec![signed_in(SESSION, 1)]));
    check(from_ref(&viewer), out(Some(SESSION)), Err(Rejection::SessionNotFound));
    check(from_ref(&viewer), out(None), Ok(vec![]));

    let other = SessionId::from_digest([6; 16]);
    let both = [viewer.clone(), signed_in(SESSION, 1), signed_in(other, 2)];
    check(&both, sign_in(SESSION, 1, 1), Ok(vec![]));
    check(&both, sign_in(SESSION, 2, 1), Err(Rejection::SessionExists));
    let alone = SessionId::from_digest([7; 16]);
    let asked = SignIn { ends_others: true, ..wanted(1, 1) };
    let others_end = vec![signed_out(SESSION), signed_out(other), signed_in(alone, 1)];
    check(&both, Command::SignIn { session: alone, asked }, Ok(others_end));
    check(&both, out(Some(other)), Ok(vec![signed_out(other)]));
    check(&both, out(None), Ok(vec![signed_out(SESSION), signed_out(other)]));
    let back = [viewer.clone(), signed_in(SESSION, 1), Event::Removed {}, viewer];
    assert_eq!(fold::<Member>(&back).sessions().count(), 0, "who comes back is not signed in");
}

#[test]
fn the_session_that_would_end_first_makes_room_for_the_one_too_many() {
    let sessions: Vec<_> = (1..=20).map(|it| SessionId::from_digest([it; 16])).collect();
    // The later ones would end first.
    let with = |last: u32| {
        let mut history = vec![added(&[BuiltIn::Viewer])];
        history.extend((0..last).map(|it| signed_in(sessions[it as usize], 40 - it)));
        history
    };
    let another = SessionId::from_digest([99; 16]);
    check(&with(19), sign_in(another, 1, 1), Ok(vec![signed_in(another, 1)]));
    let made_room = vec![signed_out(sessions[19]), signed_in(another, 1)];
    check(&with(20), sign_in(another, 1, 1), Ok(made_room));

    let ended =
        vec![added(&[BuiltIn::Viewer]), signed_in(sessions[0], 0), signed_in(sessions[1], 1)];
    check(&ended, sign_in(another, 1, 1), Ok(vec![signed_out(sessions[0]), signed_in(another, 1)]));
}

#[test]
fn is_invited_by_one_thing_at_a_time() {
    let viewer = added(&[BuiltIn::Viewer]);
    let lifetime = Lifetime::INVITE_MAX;
    let invite = |mark| Command::Invite { secret: Digest([mark; 16]), lifetime, by: None };
    let invited = |mark| {
        let expires_at = NOW + TimeDelta::days(7);
        Event::Invited { invite: Invite { secret: Digest([mark; 16]), expires_at, by: None } }
    };
    check(&[], invite(1), Err(Rejection::NotAdded));
    check(from_ref(&viewer), invite(1), Ok(vec![invited(1)]));
    check(&[viewer.clone(), invited(1)], invite(1), Ok(vec![]));
    let twice = [viewer.clone(), invited(1), invited(2)];
    assert_eq!(fold::<Member>(&twice).invite().unwrap().secret, Digest([2; 16]));
    check(&twice, invite(1), Ok(vec![invited(1)]));
    let back = [viewer.clone(), invited(1), Event::Removed {}, viewer];
    assert_eq!(fold::<Member>(&back).invite(), None);
}

fn any_roles() -> impl Strategy<Value = BTreeSet<RoleRef>> {
    prop::sample::subsequence(vec![BuiltIn::Owner, BuiltIn::Viewer], 1..3).prop_map(|it| roles(&it))
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (1_u8..3, any_roles()).prop_map(|(mark, roles)| Command::Add { name: name(mark), roles }),
        (any_roles(), 1_u64..3).prop_map(|(roles, owners)| Command::ChangeRoles { roles, owners }),
        (1_u64..3).prop_map(|owners| Command::Remove { owners }),
        (1_u8..3, 1_i64..3).prop_map(|(key, days)| issue(ActorId::from_digest([key; 16]), days)),
        (1_u8..3).prop_map(|key| Command::RevokeApiKey { key: ActorId::from_digest([key; 16]) }),
        (1_u8..3).prop_map(|mark| Command::Invite {
            secret: Digest([mark; 16]),
            lifetime: Lifetime::hours(1),
            by: None,
        }),
        (1_u8..3, 1_u8..3).prop_map(|(session, mark)| {
            sign_in(SessionId::from_digest([session; 16]), mark, 1)
        }),
        prop::option::of(1_u8..3).prop_map(|session| Command::SignOut {
            session: session.map(|it| SessionId::from_digest([it; 16])),
        }),
    ]
}

proptest! {
    #[test]
    fn repeating_a_command_changes_nothing(
        history in prop::collection::vec(any_command(), 0..6),
        command in any_command(),
    ) {
        let mut member = Member::default();
        for command in history.iter().chain([&command]) {
            let events = member.decide(command, NOW).unwrap_or_default();
            events.iter().for_each(|it| member.evolve(it));
        }
        prop_assert_eq!(member.decide(&command, NOW).unwrap_or_default(), vec![]);
    }
}
