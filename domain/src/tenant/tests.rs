use proptest::prelude::*;

use super::*;
use crate::aggregate::fold;

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_780_000_000, 0).unwrap();

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "tests read as data")]
fn check(given: &[Event], when: Command, then: Result<Vec<Event>, Rejection>) {
    assert_eq!(fold::<Tenant>(given).decide(&when, NOW), then);
}

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn settings(currency: &str) -> Settings {
    Settings {
        time_zone: chrono_tz::Europe::Berlin,
        currency: currency.parse().unwrap(),
        kinds: crate::catalog::KindSet::Core,
    }
}

fn create() -> Command {
    Command::Create { slug: slug("acme"), name: name("Acme"), settings: settings("EUR") }
}

fn created() -> Event {
    Event::Created { slug: slug("acme"), name: name("Acme"), settings: settings("EUR"), at: NOW }
}

fn suspended() -> Event {
    Event::Suspended { reason: SuspensionReason::NonPayment }
}

fn closed() -> Event {
    Event::Closed { at: NOW }
}

#[test]
fn is_created_once_under_the_slug_it_was_registered_with() {
    check(&[], create(), Ok(vec![created()]));
    check(&[created()], create(), Ok(vec![]));
    let renamed = Event::Renamed { name: name("Acme SE") };
    check(&[created(), renamed], create(), Ok(vec![]));
    check(&[created(), suspended()], create(), Ok(vec![]));
    let other =
        Command::Create { slug: slug("apex"), name: name("Apex"), settings: settings("EUR") };
    check(&[created()], other, Err(Rejection::AlreadyCreated(slug("acme"))));
    check(&[created(), closed()], create(), Err(Rejection::Closed));
}

#[test]
fn is_renamed_and_configured_only_while_active() {
    for (same, other, event) in [
        (
            Command::Rename { name: name("Acme") },
            Command::Rename { name: name("Acme SE") },
            Event::Renamed { name: name("Acme SE") },
        ),
        (
            Command::Configure { settings: settings("EUR") },
            Command::Configure { settings: settings("USD") },
            Event::Configured { settings: settings("USD") },
        ),
    ] {
        check(&[], other.clone(), Err(Rejection::NotCreated));
        check(&[created()], same, Ok(vec![]));
        check(&[created()], other.clone(), Ok(vec![event.clone()]));
        check(&[created(), event], other.clone(), Ok(vec![]));
        check(&[created(), suspended()], other.clone(), Err(Rejection::Suspended));
        check(&[created(), closed()], other, Err(Rejection::Closed));
    }
}

fn provider(issuer: &str) -> Provider {
    let (name, issuer, client_id) = (name("Login"), issuer.to_owned(), "callboard".to_owned());
    Provider { name, issuer, client_id, scopes: [].into() }
}

fn added(number: u8) -> Event {
    let described = provider(&format!("https://login{number}.example"));
    Event::ProviderAdded { provider: ProviderId::from_digest([number; 16]), described }
}

#[test]
fn has_providers_that_are_added_and_removed_and_never_changed() {
    let (one, two) = (ProviderId::from_digest([1; 16]), ProviderId::from_digest([2; 16]));
    let add = |provider, issuer: &str| {
        let described = self::provider(issuer);
        Command::AddProvider { provider, described }
    };
    let first = || add(one, "https://login1.example");
    check(&[], first(), Err(Rejection::NotCreated));
    check(&[created()], first(), Ok(vec![added(1)]));
    check(&[created(), added(1)], first(), Ok(vec![]));
    check(&[created(), added(1)], add(one, "https://evil.example"), Err(Rejection::ProviderExists));
    check(
        &[created(), added(1)],
        add(two, "https://login1.example"),
        Err(Rejection::ProviderExists),
    );
    check(&[created(), added(1)], add(two, "https://login2.example"), Ok(vec![added(2)]));
    check(&[created(), suspended()], first(), Err(Rejection::Suspended));
    check(&[created(), closed()], first(), Err(Rejection::Closed));
    let most = u8::try_from(PROVIDERS_MAX).unwrap();
    let full: Vec<_> = [created()].into_iter().chain((10..10 + most).map(added)).collect();
    check(&full, first(), Err(Rejection::TooManyProviders));

    let remove = || Command::RemoveProvider { provider: one };
    let removed = || Event::ProviderRemoved { provider: one };
    check(&[], remove(), Err(Rejection::NotCreated));
    check(&[created()], remove(), Err(Rejection::ProviderNotFound));
    check(&[created(), added(1)], remove(), Ok(vec![removed()]));
    check(&[created(), added(1), removed()], remove(), Err(Rejection::ProviderNotFound));
    check(&[created(), added(1), removed()], first(), Ok(vec![added(1)]));
    check(&[created(), added(1), suspended()], remove(), Err(Rejection::Suspended));
    check(&[created(), added(1), closed()], remove(), Err(Rejection::Closed));
}

#[test]
fn is_suspended_for_a_reason_and_reactivated() {
    let suspend = |reason| Command::Suspend { reason };
    check(&[], suspend(SuspensionReason::NonPayment), Err(Rejection::NotCreated));
    check(&[created()], suspend(SuspensionReason::NonPayment), Ok(vec![suspended()]));
    check(&[created(), suspended()], suspend(SuspensionReason::NonPayment), Ok(vec![]));
    check(
        &[created(), suspended()],
        suspend(SuspensionReason::Abuse),
        Ok(vec![Event::Suspended { reason: SuspensionReason::Abuse }]),
    );
    check(&[created()], Command::Reactivate, Ok(vec![]));
    check(&[created(), suspended()], Command::Reactivate, Ok(vec![Event::Reactivated {}]));
    check(&[created(), closed()], Command::Reactivate, Err(Rejection::Closed));
}

#[test]
fn is_closed_for_good_also_while_suspended() {
    check(&[], Command::Close, Err(Rejection::NotCreated));
    check(&[created()], Command::Close, Ok(vec![closed()]));
    check(&[created(), suspended()], Command::Close, Ok(vec![closed()]));
    check(&[created(), closed()], Command::Close, Ok(vec![]));
}

#[test]
fn others_learn_its_standing_and_profile() {
    let after = |events: &[Event]| fold::<Tenant>(events).standing();
    assert_eq!(after(&[]), Standing::NotCreated);
    assert_eq!(after(&[created()]), Standing::Active);
    assert_eq!(after(&[created(), suspended()]), Standing::Suspended);
    assert_eq!(after(&[created(), suspended(), Event::Reactivated {}]), Standing::Active);
    assert_eq!(after(&[created(), closed()]), Standing::Closed);
    let tenant = fold::<Tenant>(&[created(), suspended(), closed()]);
    assert_eq!(tenant.profile().unwrap().settings, settings("EUR"));
}

#[test]
fn a_display_name_is_one_trimmed_line() {
    assert_eq!(name("  Acme SE ").as_str(), "Acme SE");
    for text in ["", "   ", "two\nlines", &"x".repeat(121)] {
        assert!(text.parse::<Name>().is_err(), "{text:?} was accepted");
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    let reasons = [SuspensionReason::NonPayment, SuspensionReason::Abuse];
    prop_oneof![
        Just(create()),
        prop::sample::select(vec!["Acme", "Apex"])
            .prop_map(|it| Command::Rename { name: name(it) }),
        prop::sample::select(vec!["EUR", "USD"])
            .prop_map(|it| Command::Configure { settings: settings(it) }),
        prop::sample::select(reasons.to_vec()).prop_map(|reason| Command::Suspend { reason }),
        (0..3_u8, 0..2_u8).prop_map(|(id, issuer)| Command::AddProvider {
            provider: ProviderId::from_digest([id; 16]),
            described: provider(&format!("https://login{issuer}.example")),
        }),
        (0..3_u8).prop_map(|id| {
            Command::RemoveProvider { provider: ProviderId::from_digest([id; 16]) }
        }),
        Just(Command::Reactivate),
        Just(Command::Close),
    ]
}

proptest! {
    #[test]
    fn repeating_a_command_changes_nothing(
        history in prop::collection::vec(any_command(), 0..12),
        command in any_command(),
    ) {
        let mut tenant = Tenant::default();
        for command in history.iter().chain([&command]) {
            let events = tenant.decide(command, NOW).unwrap_or_default();
            events.iter().for_each(|it| tenant.evolve(it));
        }
        prop_assert_eq!(tenant.decide(&command, NOW).unwrap_or_default(), vec![]);
    }
}
