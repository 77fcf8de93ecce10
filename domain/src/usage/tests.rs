use std::collections::HashMap;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::aggregate::fold;
use crate::customer;
use crate::id::TenantId;
use crate::operation::UsageEntry;

const CUSTOMER: CustomerId = CustomerId::from_digest([1; 16]);
const NOW: &str = "2026-02-10T12:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn meter() -> MeterKey {
    "api.calls".parse().unwrap()
}

fn entry(id: &str, value: &str) -> Entry {
    Entry {
        source: "gateway".into(),
        id: id.into(),
        meter: meter(),
        customer: CUSTOMER,
        at: at("2026-02-10T11:00:00Z"),
        timed: Timed::BySource,
        value: value.parse().unwrap(),
        dimensions: [("region".into(), "eu".into())].into(),
    }
}

/// A candidate about which everything known is good.
fn candidate(entry: Entry) -> Candidate {
    Candidate {
        entry,
        seen: Seen::New,
        meter: meter::Standing::Defined(Aggregation::Sum),
        customer: customer::Standing::Open,
    }
}

fn february() -> Period {
    Period { start: at("2026-02-01T00:00:00Z"), end: at("2026-03-01T00:00:00Z") }
}

fn allowance(limit: &str) -> Allowance {
    let (customer, limit) = (CUSTOMER, limit.parse().unwrap());
    Allowance { customer, meter: meter(), limit, period: february() }
}

fn consumption(amount: &str) -> Consumption {
    let amount = amount.parse().unwrap();
    Consumption { customer: CUSTOMER, meter: meter(), period: february(), amount }
}

fn recorded(entries: &[Entry], consumed: &[Consumption]) -> Event {
    Event::Recorded { entries: entries.to_vec(), others: Vec::new(), consumed: consumed.to_vec() }
}

/// The one place that knows how a decision is made.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "tests read as data")]
fn check(
    given: &[Event],
    entries: &[Candidate],
    allowances: &[Allowance],
    then: Result<Vec<Event>, Rejection>,
) {
    let (entries, allowances) = (entries.to_vec(), allowances.to_vec());
    let when = Command::Record { entries, allowances };
    assert_eq!(fold::<Usage>(given).decide(&when, at(NOW)), then);
}

/// The one place that knows how an entry is judged.
#[track_caller]
fn check_verdict(change: impl FnOnce(&mut Candidate), then: Verdict) {
    let mut candidate = candidate(entry("1", "5"));
    change(&mut candidate);
    assert_eq!(judge(&[candidate], at(NOW)), [then]);
}

#[test]
fn a_new_entry_of_a_known_meter_and_account_counts() {
    check_verdict(|_| {}, Verdict::Accepted);
    check(&[], &[candidate(entry("1", "5"))], &[], Ok(vec![recorded(&[entry("1", "5")], &[])]));
}

#[test]
fn what_stands_against_an_entry_is_named() {
    check_verdict(|it| it.meter = meter::Standing::NotDefined, Verdict::UnknownMeter);
    check_verdict(|it| it.meter = meter::Standing::Archived, Verdict::ArchivedMeter);
    check_verdict(|it| it.customer = customer::Standing::NotOpened, Verdict::UnknownCustomer);
    check_verdict(|it| it.customer = customer::Standing::Closed, Verdict::ClosedCustomer);
}

#[test]
fn the_past_is_never_refused_and_the_future_only_beyond_honest_clock_skew() {
    for (time, verdict) in [
        ("1990-01-01T00:00:00Z", Verdict::Accepted),
        ("2026-02-10T12:05:00Z", Verdict::Accepted),
        ("2026-02-10T12:05:00.001Z", Verdict::TooFarAhead),
    ] {
        check_verdict(|it| it.entry.at = at(time), verdict);
    }
}

#[test]
fn an_entry_that_counted_is_a_duplicate_even_if_its_meter_is_gone() {
    check_verdict(|it| it.seen = Seen::Same, Verdict::Duplicate);
    check_verdict(|it| it.seen = Seen::Conflict, Verdict::Conflict);
    check_verdict(
        |it| (it.seen, it.meter) = (Seen::Same, meter::Standing::Archived),
        Verdict::Duplicate,
    );
}

#[test]
fn the_first_of_an_identity_in_a_request_wins() {
    let mut later = entry("1", "5");
    later.at += TimeDelta::seconds(1);
    let entries = [entry("1", "5"), entry("1", "5.0"), entry("1", "6"), later, entry("2", "5")]
        .map(candidate);
    assert_eq!(
        judge(&entries, at(NOW)),
        [
            Verdict::Accepted,
            Verdict::Duplicate,
            Verdict::Conflict,
            Verdict::Conflict,
            Verdict::Accepted
        ]
    );
    // One that was refused did not win.
    let mut refused = candidate(entry("1", "5"));
    refused.meter = meter::Standing::NotDefined;
    let verdicts = judge(&[refused, candidate(entry("1", "6"))], at(NOW));
    assert_eq!(verdicts, [Verdict::UnknownMeter, Verdict::Accepted]);
}

#[test]
fn what_did_not_count_is_told_beside_what_did_by_its_place() {
    let mut duplicate = candidate(entry("1", "5"));
    duplicate.seen = Seen::Same;
    let then = Event::Recorded {
        entries: vec![entry("2", "5")],
        others: vec![(0, Verdict::Duplicate)],
        consumed: Vec::new(),
    };
    check(&[], &[duplicate.clone(), candidate(entry("2", "5"))], &[], Ok(vec![then]));
    check(&[], &[duplicate], &[], Ok(vec![]));
}

#[test]
fn a_hard_quota_is_used_up_to_its_last_unit() {
    let five = [candidate(entry("2", "5"))];
    let given = [recorded(&[entry("1", "5")], &[consumption("5")])];
    let then = recorded(&[entry("2", "5")], &[consumption("5")]);
    check(&given, &five, &[allowance("10")], Ok(vec![then]));
    let exceeded = Rejection::QuotaExceeded {
        customer: CUSTOMER,
        meter: meter(),
        limit: "9.999".parse().unwrap(),
        used: 5.into(),
        asked: 5.into(),
    };
    assert_eq!(
        exceeded.to_string(),
        "the quota of 9.999 for `api.calls` is used up to 5; 5 more is too much"
    );
    check(&given, &five, &[allowance("9.999")], Err(exceeded));
}

#[test]
fn a_request_over_quota_consumes_nothing_at_all() {
    let entries = [candidate(entry("1", "6")), candidate(entry("2", "5"))];
    let exceeded = Rejection::QuotaExceeded {
        customer: CUSTOMER,
        meter: meter(),
        limit: 10.into(),
        used: 0.into(),
        asked: 11.into(),
    };
    check(&[], &entries, &[allowance("10")], Err(exceeded));
    // Entries that do not count do not consume.
    let mut duplicate = candidate(entry("3", "100"));
    duplicate.seen = Seen::Same;
    let then = Event::Recorded {
        entries: vec![entry("1", "6")],
        others: vec![(1, Verdict::Duplicate)],
        consumed: vec![consumption("6")],
    };
    let entries = [candidate(entry("1", "6")), duplicate];
    check(&[], &entries, &[allowance("10")], Ok(vec![then]));
}

#[test]
fn a_quota_holds_for_its_customer_meter_and_period_only() {
    let mut other_customer = candidate(entry("1", "50"));
    other_customer.entry.customer = CustomerId::from_digest([9; 16]);
    let mut other_meter = candidate(entry("2", "50"));
    other_meter.entry.meter = "builds".parse().unwrap();
    let mut before = candidate(entry("3", "50"));
    before.entry.at = at("2026-01-31T23:59:59.999Z");
    let entries = [other_customer, other_meter, before];
    let accepted: Vec<Entry> = entries.iter().map(|it| it.entry.clone()).collect();
    check(&[], &entries, &[allowance("10")], Ok(vec![recorded(&accepted, &[])]));
}

#[test]
fn a_count_is_used_up_by_records_and_a_maximum_by_nothing() {
    let with = |aggregation| Candidate {
        meter: meter::Standing::Defined(aggregation),
        ..candidate(entry("1", "50"))
    };
    let entries = [entry("1", "50")];
    let then = recorded(&entries, &[consumption("1")]);
    check(&[], &[with(Aggregation::Count)], &[allowance("1")], Ok(vec![then]));
    let then = recorded(&entries, &[]);
    check(&[], &[with(Aggregation::Max)], &[allowance("1")], Ok(vec![then]));
}

#[test]
fn usage_can_be_taken_back_even_beyond_a_lowered_limit() {
    let given = [recorded(&[entry("1", "50")], &[consumption("50")])];
    let then = recorded(&[entry("2", "-20")], &[consumption("-20")]);
    check(&given, &[candidate(entry("2", "-20"))], &[allowance("10")], Ok(vec![then.clone()]));
    let usage = fold::<Usage>(&[given[0].clone(), then]);
    assert_eq!(usage.used(CUSTOMER, &meter(), february()), 30.into());
}

#[test]
fn where_two_quotas_hold_each_must_and_usage_is_counted_once() {
    let both = [allowance("100"), allowance("10")];
    let then = recorded(&[entry("1", "10")], &[consumption("10")]);
    check(&[], &[candidate(entry("1", "10"))], &both, Ok(vec![then]));
    let usage = fold::<Usage>(&[recorded(&[], &[consumption("10")])]);
    let when =
        Command::Record { entries: vec![candidate(entry("2", "1"))], allowances: both.into() };
    assert!(matches!(usage.decide(&when, at(NOW)), Err(Rejection::QuotaExceeded { .. })));
}

#[test]
fn quotas_whose_periods_begin_together_and_end_apart_are_counted_apart() {
    let year = Period { end: at("2027-02-01T00:00:00Z"), ..february() };
    let yearly = Allowance { period: year, ..allowance("100") };
    let consumed = [consumption("5"), Consumption { period: year, ..consumption("5") }];
    let given = recorded(&[entry("1", "5")], &consumed);
    let both = [allowance("10"), yearly];
    check(&[], &[candidate(entry("1", "5"))], &both, Ok(vec![given.clone()]));
    let usage = fold::<Usage>(std::slice::from_ref(&given));
    assert_eq!(usage.used(CUSTOMER, &meter(), february()), 5.into());
    assert_eq!(usage.used(CUSTOMER, &meter(), year), 5.into());
    // Usage of March takes from the year only.
    let march = Entry { at: at("2026-03-02T00:00:00Z"), ..entry("2", "20") };
    let taken = Consumption { period: year, ..consumption("20") };
    let when = Command::Record { entries: vec![candidate(march.clone())], allowances: both.into() };
    let decided = usage.decide(&when, at("2026-03-03T00:00:00Z"));
    assert_eq!(decided, Ok(vec![recorded(&[march], &[taken])]));
}

#[test]
fn sums_that_cannot_be_exact_are_refused() {
    let most = candidate(entry("1", "1000000000000000"));
    let entries = [most.clone(), Candidate { entry: entry("2", "1"), ..most }];
    check(&[], &entries, &[allowance("10")], Err(Rejection::OutOfRange(meter())));
}

#[test]
fn a_quota_begins_anew_with_the_period_and_old_ones_are_forgotten() {
    let periods =
        ["2026-02", "2026-03", "2026-04", "2026-05"].map(|it| at(&format!("{it}-01T00:00:00Z")));
    let event = |start, end| {
        let period = Period { start, end };
        recorded(&[], &[Consumption { period, ..consumption("10") }])
    };
    let given: Vec<Event> = periods.windows(2).map(|it| event(it[0], it[1])).collect();
    let usage = fold::<Usage>(&given);
    let kept: Vec<DateTime<Utc>> = usage.counters().map(|it| it.period.start).collect();
    assert_eq!(kept, periods[1..3], "the newest and the one that ended as it began");
    let april = Period { start: periods[2], end: periods[3] };
    let may = Period { start: periods[3], end: at("2026-06-01T00:00:00Z") };
    assert_eq!(usage.used(CUSTOMER, &meter(), april), 10.into());
    assert_eq!(usage.used(CUSTOMER, &meter(), may), Quantity::ZERO);
    let counters: Vec<Consumption> = usage.counters().collect();
    assert_eq!(Usage::from_counters(&counters), usage);
}

#[test]
fn content_is_the_same_for_the_same_said_and_only_then() {
    let first = entry("1", "5").content();
    assert_eq!(entry("2", "5.00").content(), first, "identity is no content");
    let changes: [fn(&mut Entry); 6] = [
        |it| it.meter = "builds".parse().unwrap(),
        |it| it.customer = CustomerId::from_digest([9; 16]),
        |it| it.at += TimeDelta::nanoseconds(1),
        |it| it.value = 6.into(),
        |it| it.dimensions.clear(),
        |it| it.dimensions = [("regio".into(), "neu".into())].into(),
    ];
    for change in changes {
        let mut changed = entry("1", "5");
        change(&mut changed);
        assert_ne!(changed.content(), first, "{changed:?}");
    }
}

#[test]
fn content_never_changes_its_form() {
    let hex: String = entry("1", "5").content().iter().map(|it| format!("{it:02x}")).collect();
    assert_eq!(
        hex,
        "000000096170692e63616c6c73\
         0000001001010101010181018101010101010101\
         0000000c00000000698b0fb000000000\
         0000000135\
         00000006726567696f6e\
         000000026575"
    );
}

#[test]
fn an_entry_that_names_no_time_is_the_same_when_it_is_sent_again_later() {
    let mut reported = UsageEntry {
        source: "gateway".to_owned(),
        id: "1".to_owned(),
        meter: meter(),
        customer: None,
        at: None,
        value: 5.into(),
        dimensions: [].into(),
    };
    let tenant = TenantId::from_digest([7; 16]);
    let first = Entry::of(&reported, tenant, at(NOW));
    let again = Entry::of(&reported, tenant, at("2026-02-11T00:00:00Z"));
    assert_eq!((first.at, first.timed), (at(NOW), Timed::ByReceipt));
    assert_eq!(first.customer, CustomerId::of_tenant(tenant));
    assert_eq!(first.content(), again.content());
    reported.at = Some(at(NOW));
    assert_ne!(Entry::of(&reported, tenant, at(NOW)).content(), first.content());
}

#[test]
fn a_malformed_entry_is_refused_field_by_field() {
    let mut reported = UsageEntry {
        source: String::new(),
        id: "x".repeat(ID_MAX + 1),
        meter: meter(),
        customer: None,
        at: None,
        value: 5.into(),
        dimensions: [("region".into(), "".into())].into(),
    };
    let texts = |it: &UsageEntry| validate(it).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        texts(&reported),
        [
            "source: expected 1 to 128 characters, got 0",
            "id: expected 1 to 128 characters, got 129",
            "dimensions.region: expected 1 to 256 characters, got 0",
        ]
    );
    (reported.source, reported.id) = ("gateway".to_owned(), "1".to_owned());
    reported.dimensions =
        (0..=DIMENSIONS_MAX).map(|it| (it.to_string().into(), "a".into())).collect();
    assert_eq!(texts(&reported), ["dimensions: expected at most 16, got 17"]);
    for person in ["user:jane", "User:default/jane"] {
        reported.dimensions = [("entity".into(), person.into())].into();
        let expected = "dimensions.entity: refers to a user; usage is not recorded of people";
        assert_eq!(texts(&reported), [expected]);
    }
    for other in ["group:default/jane", "user: jane", "username:jane"] {
        reported.dimensions = [("entity".into(), other.into())].into();
        assert!(texts(&reported).is_empty(), "{other}");
    }
}

proptest! {
    /// The owner's index answers for what was accepted, as it does in the running system.
    #[test]
    fn repeating_a_request_changes_nothing_and_the_quota_is_never_exceeded(
        requests in prop::collection::vec(prop::collection::vec((0_u8..12, -3_i32..9), 1..6), 1..12),
    ) {
        let mut usage = Usage::default();
        let mut index: HashMap<Box<str>, Vec<u8>> = HashMap::new();
        let (mut sum, limit) = (0, 20);
        for request in requests.iter().flat_map(|it| [it, it]) {
            let entries: Vec<Candidate> = request
                .iter()
                .map(|(id, value)| candidate(entry(&id.to_string(), &value.to_string())))
                .map(|it| {
                    let seen = match index.get(&it.entry.id) {
                        None => Seen::New,
                        Some(content) if *content == it.entry.content() => Seen::Same,
                        Some(_) => Seen::Conflict,
                    };
                    Candidate { seen, ..it }
                })
                .collect();
            let command = Command::Record { entries, allowances: vec![allowance("20")] };
            let Ok(events) = usage.decide(&command, at(NOW)) else { continue };
            for event in &events {
                usage.evolve(event);
                let Event::Recorded { entries, .. } = event;
                for entry in entries {
                    let repeated = index.insert(entry.id.clone(), entry.content());
                    prop_assert_eq!(repeated, None);
                    sum += entry.value.to_string().parse::<i32>().unwrap();
                }
            }
            prop_assert!(sum <= limit);
            prop_assert_eq!(usage.used(CUSTOMER, &meter(), february()).to_string(), sum.to_string());
        }
    }
}

/// Consumption of a few quotas in periods of several subscriptions, in no order.
fn any_consumption() -> impl Strategy<Value = Consumption> {
    let day = |it| at("2026-01-01T00:00:00Z") + TimeDelta::days(it);
    (0..2_u8, 0..2_u8, 0..12_i64, 1..4_i64, -3..9_i64).prop_map(
        move |(customer, meter, start, days, amount)| Consumption {
            customer: CustomerId::from_digest([customer; 16]),
            meter: ["api.calls", "builds"][usize::from(meter)].parse().unwrap(),
            period: Period { start: day(start), end: day(start + days) },
            amount: amount.to_string().parse().unwrap(),
        },
    )
}

proptest! {
    #[test]
    fn a_snapshot_anywhere_in_a_history_changes_nothing(
        history in prop::collection::vec(prop::collection::vec(any_consumption(), 1..4), 0..24),
        cut in any::<prop::sample::Index>(),
    ) {
        let history: Vec<_> = history.iter().map(|it| recorded(&[], it)).collect();
        let (before, after) = history.split_at(cut.index(history.len() + 1));
        let snapshot: Vec<_> = fold::<Usage>(before).counters().collect();
        let mut restored = Usage::from_counters(&snapshot);
        after.iter().for_each(|it| restored.evolve(it));
        prop_assert_eq!(restored, fold::<Usage>(&history));
    }
}
