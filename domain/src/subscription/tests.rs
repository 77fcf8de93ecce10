use proptest::prelude::*;

use super::*;
use crate::aggregate::fold;
use crate::id::PlanId;
use crate::meter::MeterKey;
use crate::plan::{Enforcement, Quota, QuotaOf, Terms};

const CUSTOMER: CustomerId = CustomerId::from_digest([1; 16]);

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "tests read as data")]
fn check(given: &[Event], now: &str, when: Command, then: Result<Vec<Event>, Rejection>) {
    assert_eq!(fold::<Subscription>(given).decide(&when, at(now)), then);
}

fn at(text: &str) -> DateTime<Utc> {
    match text.len() {
        10 => format!("{text}T00:00:00Z").parse().unwrap(),
        _ => text.parse().unwrap(),
    }
}

fn terms() -> Terms {
    Terms {
        name: "Team".to_owned(),
        currency: "EUR".parse().unwrap(),
        interval: Interval { unit: Unit::Month, count: 1 },
        items: Vec::new(),
        quotas: Vec::new(),
        trial_days: 0,
    }
}

/// Version 1 of the plan, with what `change` says otherwise.
fn sold(change: impl FnOnce(&mut Terms)) -> Sold {
    let mut terms = terms();
    change(&mut terms);
    Sold { plan: PlanId::from_digest([2; 16]), version: 1, terms }
}

fn other_sold() -> Sold {
    Sold { version: 2, ..sold(|it| it.name = "Crew".to_owned()) }
}

fn start(sold: Sold) -> Command {
    Command::Start {
        customer: CUSTOMER,
        standing: customer::Standing::Open,
        time_zone: chrono_tz::UTC,
        sold,
    }
}

/// Started on 31 January 2026, so the first periods end on 28 February and 31 March.
fn started() -> Event {
    let anchor = at("2026-01-31");
    Event::Started {
        customer: CUSTOMER,
        sold: sold(|_| {}),
        time_zone: chrono_tz::UTC,
        anchor,
        trial_end: None,
        period_end: at("2026-02-28"),
        at: anchor,
    }
}

fn renewed(period: u32, start: &str, end: &str) -> Event {
    Event::Renewed { period, start: at(start), end: at(end) }
}

fn scheduled() -> Event {
    Event::CancellationScheduled { at: at("2026-02-28") }
}

fn cancelled(text: &str) -> Event {
    Event::Cancelled { at: at(text), reason: CancelReason::Requested }
}

fn change() -> Command {
    Command::ChangePlan { sold: other_sold() }
}

fn changed(now: &str) -> Event {
    Event::PlanChanged { sold: other_sold(), at: at(now) }
}

fn period_ended(text: &str) -> Command {
    Command::PeriodEnded { at: at(text) }
}

const CANCEL_NOW: Command = Command::Cancel { when: CancelWhen::Now };
const CANCEL_AT_END: Command = Command::Cancel { when: CancelWhen::PeriodEnd };

#[test]
fn starts_once_for_a_customer_who_can_buy() {
    check(&[], "2026-01-31", start(sold(|_| {})), Ok(vec![started()]));
    check(&[started()], "2026-02-01", start(sold(|_| {})), Ok(vec![]));
    let rejection = Err(Rejection::AlreadyStarted);
    check(&[started()], "2026-02-01", start(other_sold()), rejection);
    for (standing, rejection) in [
        (customer::Standing::NotOpened, Rejection::UnknownCustomer(CUSTOMER)),
        (customer::Standing::Closed, Rejection::ClosedCustomer(CUSTOMER)),
    ] {
        let (sold, time_zone) = (sold(|_| {}), chrono_tz::UTC);
        let start = Command::Start { customer: CUSTOMER, standing, time_zone, sold };
        check(&[], "2026-01-31", start, Err(rejection));
    }
    let given = [started(), cancelled("2026-02-01")];
    check(&given, "2026-02-02", start(sold(|_| {})), Err(Rejection::Cancelled));
}

#[test]
fn changes_plan_only_while_it_goes_on() {
    check(&[], "2026-02-01", change(), Err(Rejection::NotStarted));
    check(&[started()], "2026-02-01", change(), Ok(vec![changed("2026-02-01")]));
    check(&[started(), changed("2026-02-01")], "2026-02-02", change(), Ok(vec![]));
    let same = Command::ChangePlan { sold: sold(|_| {}) };
    check(&[started()], "2026-02-01", same, Ok(vec![]));
    let cancelling = Err(Rejection::Cancelling(at("2026-02-28")));
    check(&[started(), scheduled()], "2026-02-02", change(), cancelling);
    let given = [started(), cancelled("2026-02-01")];
    check(&given, "2026-02-02", change(), Err(Rejection::Cancelled));
}

#[test]
fn changes_neither_currency_nor_interval() {
    let dollars = "USD".parse().unwrap();
    check(
        &[started()],
        "2026-02-01",
        Command::ChangePlan { sold: sold(|it| it.currency = dollars) },
        Err(Rejection::OtherCurrency { from: "EUR".parse().unwrap(), to: dollars }),
    );
    check(
        &[started()],
        "2026-02-01",
        Command::ChangePlan { sold: sold(|it| it.interval.unit = Unit::Year) },
        Err(Rejection::OtherInterval),
    );
}

#[test]
fn is_cancelled_at_once() {
    check(&[], "2026-02-01", CANCEL_NOW, Err(Rejection::NotStarted));
    check(&[started()], "2026-02-01", CANCEL_NOW, Ok(vec![cancelled("2026-02-01")]));
    let given = [started(), scheduled()];
    check(&given, "2026-02-02", CANCEL_NOW, Ok(vec![cancelled("2026-02-02")]));
    check(&[started(), cancelled("2026-02-01")], "2026-02-02", CANCEL_NOW, Ok(vec![]));
}

#[test]
fn is_cancelled_with_the_period_unless_it_is_undone_before() {
    let undo = Command::UndoCancellation;
    check(&[started()], "2026-02-01", CANCEL_AT_END, Ok(vec![scheduled()]));
    let given = [started(), scheduled()];
    check(&given, "2026-02-02", CANCEL_AT_END, Ok(vec![]));
    check(&given, "2026-02-27", undo.clone(), Ok(vec![Event::CancellationUndone {}]));
    check(&[started()], "2026-02-27", undo.clone(), Ok(vec![]));
    let over = Err(Rejection::PeriodOver(at("2026-02-28")));
    check(&given, "2026-02-28", undo.clone(), over);
    let ended = vec![cancelled("2026-02-28")];
    check(&given, "2026-02-28", period_ended("2026-02-28"), Ok(ended));
    let given = [started(), scheduled(), cancelled("2026-02-28")];
    check(&given, "2026-02-28", undo.clone(), Err(Rejection::Cancelled));
    check(&given, "2026-02-28", CANCEL_AT_END, Ok(vec![]));
    check(&[], "2026-02-28", undo, Err(Rejection::NotStarted));
}

#[test]
fn renews_from_the_original_anchor() {
    let given = [started(), renewed(1, "2026-02-28", "2026-03-31")];
    // However late the timer goes off, the period begins where the last one ended.
    for now in ["2026-02-28", "2026-03-05"] {
        check(&given[..1], now, period_ended("2026-02-28"), Ok(vec![given[1].clone()]));
    }
    let next = renewed(2, "2026-03-31", "2026-04-30");
    check(&given, "2026-03-31", period_ended("2026-03-31"), Ok(vec![next]));
}

#[test]
fn a_timer_that_is_early_late_or_repeated_does_nothing() {
    let given = [started(), renewed(1, "2026-02-28", "2026-03-31")];
    let early = Err(Rejection::TooEarly(at("2026-02-28")));
    check(&given[..1], "2026-02-27", period_ended("2026-02-28"), early);
    check(&given, "2026-03-01", period_ended("2026-02-28"), Ok(vec![]));
    check(&[], "2026-03-01", period_ended("2026-02-28"), Ok(vec![]));
    let over = [started(), cancelled("2026-02-01")];
    check(&over, "2026-03-01", period_ended("2026-02-28"), Ok(vec![]));
}

#[test]
fn a_trial_is_civil_days_and_the_periods_are_counted_from_its_end() {
    let sold = sold(|it| it.trial_days = 30);
    let time_zone = chrono_tz::Europe::Berlin;
    let standing = customer::Standing::Open;
    let start = Command::Start { customer: CUSTOMER, standing, time_zone, sold: sold.clone() };
    // Noon in Berlin stays noon when the clocks change on 29 March.
    let (now, trial_end) = (at("2026-03-01T11:00:00Z"), at("2026-03-31T10:00:00Z"));
    let started = Event::Started {
        customer: CUSTOMER,
        sold,
        time_zone,
        anchor: trial_end,
        trial_end: Some(trial_end),
        period_end: trial_end,
        at: now,
    };
    check(&[], "2026-03-01T11:00:00Z", start, Ok(vec![started.clone()]));

    let trial = fold::<Subscription>(std::slice::from_ref(&started));
    assert_eq!(trial.sale().unwrap().phase, Phase::Trial);
    assert_eq!(trial.current_period(), Some(Period { start: now, end: trial_end }));
    assert_eq!(trial.due(), Some(Due { at: trial_end, kind: DueKind::PeriodEnd }));

    let first = renewed(0, "2026-03-31T10:00:00Z", "2026-04-30T10:00:00Z");
    let end = "2026-03-31T10:00:00Z";
    check(std::slice::from_ref(&started), end, period_ended(end), Ok(vec![first.clone()]));
    let second = renewed(1, "2026-04-30T10:00:00Z", "2026-05-31T10:00:00Z");
    let end = "2026-04-30T10:00:00Z";
    check(&[started, first], end, period_ended(end), Ok(vec![second]));
}

#[test]
fn a_trial_that_is_cancelled_ends_with_the_trial() {
    let sold = sold(|it| it.trial_days = 14);
    let (now, trial_end) = (at("2026-01-31"), at("2026-02-14"));
    let started = Event::Started {
        customer: CUSTOMER,
        sold,
        time_zone: chrono_tz::UTC,
        anchor: trial_end,
        trial_end: Some(trial_end),
        period_end: trial_end,
        at: now,
    };
    let scheduled = Event::CancellationScheduled { at: trial_end };
    check(std::slice::from_ref(&started), "2026-02-01", CANCEL_AT_END, Ok(vec![scheduled.clone()]));
    let ended = Ok(vec![cancelled("2026-02-14")]);
    check(&[started, scheduled], "2026-02-14", period_ended("2026-02-14"), ended);
}

#[test]
fn is_due_at_the_end_of_its_period_until_it_is_over() {
    let due = |given: &[Event]| fold::<Subscription>(given).due().map(|it| it.at);
    assert_eq!(due(&[]), None);
    assert_eq!(due(&[started()]), Some(at("2026-02-28")));
    assert_eq!(due(&[started(), scheduled()]), Some(at("2026-02-28")));
    assert_eq!(due(&[started(), renewed(1, "2026-02-28", "2026-03-31")]), Some(at("2026-03-31")));
    assert_eq!(due(&[started(), cancelled("2026-02-01")]), None);
}

#[test]
fn ends_with_its_tenant_at_the_instant_that_closed() {
    let closed = Command::TenantClosed { at: at("2026-02-10") };
    let ended = vec![Event::Cancelled { at: at("2026-02-10"), reason: CancelReason::TenantClosed }];
    // However late it is told, whether or not it was to end with its period anyway.
    for now in ["2026-02-10", "2026-03-05"] {
        check(&[started()], now, closed.clone(), Ok(ended.clone()));
        check(&[started(), scheduled()], now, closed.clone(), Ok(ended.clone()));
    }
    check(&[], "2026-02-10", closed.clone(), Ok(vec![]));
    let over = [started(), cancelled("2026-02-01")];
    check(&over, "2026-02-10", closed, Ok(vec![]));
}

/// Had the zone database said something else when it was sold, the period would still be as sold:
/// taking an event in computes nothing.
#[test]
fn a_period_ends_when_its_event_says_whatever_the_calendar_says_now() {
    let trial_end = at("2026-02-03");
    for (trial_end, phase) in [(None, Phase::Period(0)), (Some(trial_end), Phase::Trial)] {
        let odd = Event::Started {
            customer: CUSTOMER,
            sold: sold(|_| {}),
            time_zone: chrono_tz::Africa::Casablanca,
            anchor: at("2026-01-31"),
            trial_end,
            period_end: at("2026-02-03T04:05:06Z"),
            at: at("2026-01-31"),
        };
        let subscription = fold::<Subscription>(&[odd]);
        let (start, end) = (at("2026-01-31"), at("2026-02-03T04:05:06Z"));
        assert_eq!(subscription.sale().unwrap().phase, phase);
        assert_eq!(subscription.current_period(), Some(Period { start, end }));
        assert_eq!(subscription.due(), Some(Due { at: end, kind: DueKind::PeriodEnd }));
    }
}

#[test]
fn its_hard_quotas_hold_for_this_period_and_the_next_one() {
    let meter: MeterKey = "api.calls".parse().unwrap();
    let quota =
        |of, limit: &str, enforcement| Quota { of, limit: limit.parse().unwrap(), enforcement };
    let usage = |meter: &MeterKey| QuotaOf::Usage { meter: meter.clone() };
    let sold = Sold {
        version: 2,
        ..sold(|it| {
            it.quotas = vec![
                quota(QuotaOf::Entities, "100.5", Enforcement::Hard),
                quota(usage(&meter), "1000", Enforcement::Hard),
                quota(usage(&"builds".parse().unwrap()), "10", Enforcement::Soft),
            ];
        })
    };
    let changed = Event::PlanChanged { sold, at: at("2026-02-01") };
    let allowance = |start, end| Allowance {
        customer: CUSTOMER,
        meter: meter.clone(),
        limit: 1_000.into(),
        period: Period { start: at(start), end: at(end) },
    };
    let (this, next) =
        (allowance("2026-01-31", "2026-02-28"), allowance("2026-02-28", "2026-03-31"));
    let given = [started(), changed, scheduled()];
    let subscription = fold::<Subscription>(&given[..2]);
    assert_eq!(subscription.allowances(), [this.clone(), next]);
    assert_eq!(subscription.entities_max(), Some(100));
    assert_eq!(fold::<Subscription>(&given).allowances(), [this]);
    assert_eq!(fold::<Subscription>(&given[..1]).allowances(), []);
    assert_eq!(fold::<Subscription>(&given[..1]).entities_max(), None);
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(start(sold(|_| {}))),
        Just(Command::ChangePlan { sold: sold(|_| {}) }),
        Just(change()),
        Just(CANCEL_NOW),
        Just(CANCEL_AT_END),
        Just(Command::UndoCancellation),
        Just(Command::TenantClosed { at: at("2026-02-10") }),
    ]
}

proptest! {
    #[test]
    fn repeating_a_command_changes_nothing(
        history in prop::collection::vec((any_command(), 0_i64..50), 0..20),
        command in any_command(),
    ) {
        let mut subscription = Subscription::default();
        let mut now = at("2026-01-31");
        let tell = |subscription: &mut Subscription, command: &Command, now| {
            let events = subscription.decide(command, now).unwrap_or_default();
            events.iter().for_each(|it| subscription.evolve(it));
            events
        };
        for (command, days) in &history {
            now += chrono::TimeDelta::days(*days);
            while let Some(due) = subscription.due().filter(|it| it.at <= now) {
                let fired = tell(&mut subscription, &Command::PeriodEnded { at: due.at }, now);
                prop_assert_eq!(fired.len(), 1);
            }
            tell(&mut subscription, command, now);
        }
        tell(&mut subscription, &command, now);
        prop_assert_eq!(tell(&mut subscription, &command, now), vec![]);
    }

    #[test]
    fn periods_follow_each_other_without_gap_along_the_boundaries_of_the_anchor(
        seconds in 1_700_000_000_i64..1_900_000_000,
        zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        unit in prop::sample::select(vec![Unit::Day, Unit::Week, Unit::Month, Unit::Year]),
        count in 1_u16..4,
    ) {
        let interval = Interval { unit, count };
        let now = DateTime::from_timestamp(seconds, 0).unwrap();
        let sold = sold(|it| it.interval = interval);
        let standing = customer::Standing::Open;
        let command = Command::Start { customer: CUSTOMER, standing, time_zone: zone, sold };
        let mut subscription = Subscription::default();
        let started = subscription.decide(&command, now).unwrap();
        started.iter().for_each(|it| subscription.evolve(it));
        let mut start = now;
        for number in 0..12 {
            let period = subscription.current_period().unwrap();
            let end = calendar::boundary(now, zone, interval, number + 1);
            prop_assert_eq!(period, Period { start, end });
            prop_assert!(start < end);
            let due = subscription.due().unwrap().at;
            let renewed = subscription.decide(&Command::PeriodEnded { at: due }, due).unwrap();
            renewed.iter().for_each(|it| subscription.evolve(it));
            start = end;
        }
    }
}
