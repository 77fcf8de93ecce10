use proptest::prelude::*;

use super::*;
use crate::aggregate::fold;
use crate::calendar::{Interval, Unit};
use crate::quantity::{Quantity, UnitPrice};

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_780_000_000, 0).unwrap();

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "tests read as data")]
fn check(given: &[Event], when: Command, then: Result<Vec<Event>, Rejection>) {
    assert_eq!(fold::<Plan>(given).decide(&when, NOW), then);
}

/// The one place that knows how terms are checked.
#[track_caller]
fn check_terms(change: impl FnOnce(&mut Terms), violations: &[&str]) {
    let mut terms = terms("Team");
    change(&mut terms);
    let found: Vec<String> = terms.violations().iter().map(Violation::to_string).collect();
    assert_eq!(found, violations);
}

fn terms(name: &str) -> Terms {
    Terms {
        name: name.to_owned(),
        currency: "EUR".parse().unwrap(),
        interval: Interval { unit: Unit::Month, count: 1 },
        items: vec![item("seats", Price::Flat { unit: price("12.5"), quantity: 3.into() })],
        quotas: vec![quota("1000")],
        trial_days: 14,
    }
}

fn item(key: &str, price: Price) -> Item {
    Item { key: key.to_owned(), description: "Seats".to_owned(), price }
}

fn quota(limit: &str) -> Quota {
    Quota { of: QuotaOf::Entities, limit: quantity(limit), enforcement: Enforcement::Hard }
}

fn tier(up_to: Option<&str>) -> Tier {
    Tier { up_to: up_to.map(quantity), unit: price("0.01"), flat: price("0") }
}

fn graduated(tiers: Vec<Tier>) -> Price {
    Price::Graduated { meter: "api.calls".parse().unwrap(), tiers }
}

fn price(text: &str) -> UnitPrice {
    text.parse().unwrap()
}

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn publish(name: &str) -> Command {
    Command::Publish { terms: terms(name) }
}

fn published(version: u32, name: &str) -> Event {
    Event::VersionPublished { version, terms: terms(name) }
}

#[test]
fn versions_count_from_one_without_gaps() {
    check(&[], publish("Team"), Ok(vec![published(1, "Team")]));
    check(&[published(1, "Team")], publish("Crew"), Ok(vec![published(2, "Crew")]));
    check(&[published(1, "Team")], publish("Team"), Ok(vec![]));
    // Going back to old terms is news.
    let given = [published(1, "Team"), published(2, "Crew")];
    check(&given, publish("Team"), Ok(vec![published(3, "Team")]));
}

#[test]
fn all_versions_share_a_currency_so_that_subscribers_can_move() {
    let mut other = terms("Team");
    other.currency = "USD".parse().unwrap();
    let rejection = Rejection::OtherCurrency("EUR".parse().unwrap());
    check(&[published(1, "Team")], Command::Publish { terms: other }, Err(rejection));
}

#[test]
fn there_is_an_end_to_versions() {
    let name = |it: u32| if it.is_multiple_of(2) { "Team" } else { "Crew" };
    let given: Vec<Event> = (1..=1_000).map(|it| published(it, name(it))).collect();
    check(&given, publish("Crew"), Err(Rejection::TooManyVersions));
    check(&given, publish("Team"), Ok(vec![]));
}

#[test]
fn a_retired_plan_is_not_sold_and_has_no_new_versions() {
    let given = [published(1, "Team"), Event::Retired {}];
    check(&[], Command::Retire, Err(Rejection::NotPublished));
    check(&given[..1], Command::Retire, Ok(vec![Event::Retired {}]));
    check(&given, Command::Retire, Ok(vec![]));
    check(&given, publish("Crew"), Err(Rejection::Retired));
    let id = PlanId::from_digest([1; 16]);
    assert_eq!(fold::<Plan>(&given).sell(id, None), Err(Rejection::Retired));
    assert_eq!(**fold::<Plan>(&given).terms(1).unwrap(), terms("Team"));
}

#[test]
fn the_newest_version_is_sold_unless_another_is_asked_for() {
    let plan = fold::<Plan>(&[published(1, "Team"), published(2, "Crew")]);
    let id = PlanId::from_digest([1; 16]);
    let sold = |version, name| Ok(Sold { plan: id, version, terms: terms(name) });
    assert_eq!(plan.sell(id, None), sold(2, "Crew"));
    assert_eq!(plan.sell(id, Some(1)), sold(1, "Team"));
    assert_eq!(plan.sell(id, Some(0)), Err(Rejection::UnknownVersion(0)));
    assert_eq!(plan.sell(id, Some(3)), Err(Rejection::UnknownVersion(3)));
    assert_eq!(Plan::default().sell(id, None), Err(Rejection::NotPublished));
}

#[test]
fn what_is_beyond_the_limits_of_terms_is_only_counted() {
    let unnamed = item("", Price::Flat { unit: price("1"), quantity: 1.into() });
    let named = |it| Item { key: format!("seats{it}"), ..unnamed.clone() };
    let metered = |it| QuotaOf::Usage { meter: format!("meter{it}").parse().unwrap() };
    check_terms(
        |it| {
            it.items =
                (0..ITEMS_MAX).map(named).chain([unnamed.clone(), unnamed.clone()]).collect();
        },
        &["items: expected at most 100, got 102"],
    );
    check_terms(
        |it| {
            let all = (0..QUOTAS_MAX).map(metered).chain([metered(0)]);
            it.quotas = all.map(|of| Quota { of, ..quota("1") }).collect();
        },
        &["quotas: expected at most 50, got 51"],
    );
    check_terms(
        |it| it.items[0].price = graduated(vec![tier(None); 51]),
        &["items[0].price.graduated.tiers: expected at most 50, got 51"],
    );
}

#[test]
fn terms_are_refused_field_by_field() {
    check_terms(|_| {}, &[]);
    check_terms(
        |it| it.name = " Team".to_owned(),
        &["name: expected a text without spaces around it"],
    );
    check_terms(
        |it| it.interval.count = 0,
        &["interval: expected an interval of 1 day to 10 years, got 0 Month"],
    );
    check_terms(|it| it.trial_days = 731, &["trialDays: expected at most 730 days, got 731"]);
    check_terms(|it| it.items.push(it.items[0].clone()), &["items[1].key: `seats` is there twice"]);
    check_terms(
        |it| it.items[0].price = Price::Flat { unit: price("-1"), quantity: 1.into() },
        &["items[0].price.flat.unit: expected 0 or more, got -1"],
    );
    check_terms(
        |it| it.quotas = vec![quota("5"), quota("-1")],
        &[
            "quotas[1].limit: expected 0 or more, got -1",
            "quotas[1].meter: the same is limited twice",
        ],
    );
    check_terms(
        |it| it.quotas = vec![quota("5"); 51],
        &[
            &["quotas: expected at most 50, got 51".to_owned()][..],
            &(1..QUOTAS_MAX)
                .map(|it| format!("quotas[{it}].meter: the same is limited twice"))
                .collect::<Vec<_>>(),
        ]
        .concat()
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>(),
    );
}

#[test]
fn packages_hold_something() {
    let package = Price::Package {
        meter: "api.calls".parse().unwrap(),
        size: quantity("0"),
        free: quantity("-5"),
        unit: price("1"),
    };
    check_terms(
        |it| it.items[0].price = package,
        &[
            "items[0].price.package.size: expected more than 0, got 0",
            "items[0].price.package.free: expected 0 or more, got -5",
        ],
    );
}

#[test]
fn tiers_cover_every_quantity_once() {
    let with = |tiers: Vec<Tier>| move |it: &mut Terms| it.items[0].price = graduated(tiers);
    check_terms(with(vec![tier(None)]), &[]);
    check_terms(with(vec![tier(Some("10")), tier(Some("20.5")), tier(None)]), &[]);
    check_terms(with(vec![]), &["items[0].price.graduated.tiers: expected at least one tier"]);
    check_terms(
        with(vec![tier(Some("10"))]),
        &["items[0].price.graduated.tiers[0].upTo: expected the last tier to be open, got 10"],
    );
    check_terms(
        with(vec![tier(Some("0")), tier(None)]),
        &["items[0].price.graduated.tiers[0].upTo: expected more than 0, got 0"],
    );
    check_terms(
        with(vec![tier(Some("10")), tier(Some("10")), tier(None), tier(None)]),
        &[
            "items[0].price.graduated.tiers[1].upTo: expected more than 10, got 10",
            "items[0].price.graduated.tiers[2].upTo: expected only the last tier to be open",
        ],
    );
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        prop::sample::select(vec!["Team", "Crew", ""]).prop_map(publish),
        Just(Command::Retire),
    ]
}

proptest! {
    #[test]
    fn repeating_a_command_changes_nothing(
        history in prop::collection::vec(any_command(), 0..8),
        command in any_command(),
    ) {
        let mut plan = Plan::default();
        for command in history.iter().chain([&command]) {
            let events = plan.decide(command, NOW).unwrap_or_default();
            events.iter().for_each(|it| plan.evolve(it));
        }
        prop_assert_eq!(plan.decide(&command, NOW).unwrap_or_default(), vec![]);
    }
}
