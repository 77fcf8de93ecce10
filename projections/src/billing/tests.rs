use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::calendar::{Interval, Unit};
use domain::customer::Role;
use domain::id::{CustomerId, MeterId, PlanId, SubjectId, SubscriptionId, TenantId};
use domain::meter::{Aggregation, MeterKey};
use domain::plan::Terms;
use domain::quantity::Quantity;
use domain::subscription::Sold;
use domain::usage::{Entry, Timed};
use domain::{
    Event, Principal, Stream, customer, meter, plan, subscription, usage as usage_events,
};
use event_log::{EventLog, MemoryLog, Partition};
use uuid::Uuid;

use super::*;
use crate::page::Window;
use crate::temporary::{Kind, Temporary, on_each_kind};
use crate::testing::{BEGIN, History, actor, keyring, tenant};
use crate::{Model, Projections, ReadError, ReadModels, Settings};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

struct World {
    history: History,
    projections: Projections,
    _place: Temporary,
}

impl World {
    async fn new(kind: Kind, batch_max: usize) -> Self {
        Self::set(kind, |settings| settings.batch_max = batch_max).await
    }

    async fn set(kind: Kind, change: impl FnOnce(&mut Settings)) -> Self {
        let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
        let keyring = keyring().await;
        let history = History::new(log.clone(), &keyring).await;
        let place = Temporary::new(kind).await;
        let mut settings = place.settings();
        change(&mut settings);
        let projections = Projections::start(settings, log, keyring).await.unwrap();
        Self { history, projections, _place: place }
    }

    async fn read(&mut self) -> ReadModels {
        let position = self.history.append().await;
        let models = self.projections.models();
        let all = [Model::Billing];
        models.wait_for(&all, Partition(0), position, PATIENCE).await.unwrap();
        models
    }
}

fn member(tenant: TenantId) -> Principal {
    Principal::unchecked(tenant, actor(1))
}

fn customer(number: u128) -> CustomerId {
    CustomerId(Uuid::from_u128(0xc0 + number))
}

fn begin() -> DateTime<Utc> {
    BEGIN.parse().unwrap()
}

fn key(text: &str) -> MeterKey {
    text.parse().unwrap()
}

fn entry(customer: CustomerId, meter: &str, at: DateTime<Utc>, value: &str) -> Entry {
    Entry {
        source: "test".into(),
        id: "1".into(),
        meter: key(meter),
        customer,
        at,
        timed: Timed::BySource,
        value: value.parse::<Quantity>().unwrap(),
        dimensions: BTreeMap::new(),
    }
}

fn recorded(entries: Vec<Entry>) -> Event {
    Event::Usage(usage_events::Event::Recorded { entries, others: vec![], consumed: vec![] })
}

fn terms(name: &str) -> Terms {
    Terms {
        name: name.to_owned(),
        currency: "EUR".parse().unwrap(),
        interval: Interval { unit: Unit::Month, count: 1 },
        items: vec![],
        quotas: vec![],
        trial_days: 0,
    }
}

fn question(at_sequence: Option<u64>) -> UsageQuery {
    let (customers, meters) = (vec![], vec![]);
    UsageQuery { customers, meters, from: begin(), to: begin() + TimeDelta::days(3), at_sequence }
}

on_each_kind! {
    totals_are_exact_and_answer_the_same_for_ever
    completeness_moves_with_the_tenants_own_events_and_is_repeated
    series_are_the_totals_spread_over_time
    a_report_says_when_it_would_be_too_long
    a_read_that_takes_too_long_says_so
    customers_show_their_names_until_they_are_erased
    plans_and_subscriptions_keep_what_happened
    meters_are_found_by_key
}

async fn totals_are_exact_and_answer_the_same_for_ever(on: Kind) {
    let mut world = World::new(on, 3).await;
    let at = |minutes| begin() + TimeDelta::minutes(minutes);
    let mut answers = Vec::new();
    for number in 0..12_i64 {
        let entries = vec![
            entry(customer(1), "api.calls", at(number * 40), "0.1"),
            entry(customer(1), "api.calls", at(number * 40), "0.000000000001"),
            entry(customer(2), "storage", at(90), &format!("-{number}.5")),
        ];
        world.history.event(tenant(1), Stream::Usage, recorded(entries));
        world.history.event(
            tenant(2),
            Stream::Usage,
            recorded(vec![entry(customer(1), "api.calls", at(0), "1000")]),
        );
        let models = world.read().await;
        let own = member(tenant(1));
        let now = usage::totals(&models, &own, &question(None)).await.unwrap();
        assert_eq!(now.sequence, u64::try_from(number).unwrap() + 1);
        answers.push(now);
        for (index, answer) in answers.iter().enumerate() {
            let then = question(Some(index as u64 + 1));
            assert_eq!(usage::totals(&models, &own, &then).await.unwrap(), *answer);
        }
    }
    let last = answers.last().unwrap();
    let texts: Vec<_> = last.rows.iter().map(|it| (it.count, it.sum.as_str())).collect();
    assert_eq!(texts, [(24, "1.200000000012"), (12, "-72")]);
    assert_eq!(last.rows[1].latest.to_string(), "-11.5");
    assert_eq!(
        (last.rows[1].min.to_string(), last.rows[1].max.to_string()),
        ("-11.5".into(), "-0.5".into())
    );
    assert_eq!(last.complete_through, Some(begin()));
    world.projections.stop().await;
}

async fn completeness_moves_with_the_tenants_own_events_and_is_repeated(on: Kind) {
    let mut world = World::new(on, 8_192).await;
    for _ in 0..5 {
        world.history.now += TimeDelta::seconds(50);
        world.history.event(tenant(1), Stream::Usage, recorded(vec![]));
    }
    let models = world.read().await;
    let mut through = Vec::new();
    for sequence in 1..=5 {
        let report = usage::totals(&models, &member(tenant(1)), &question(Some(sequence))).await;
        through.push((report.unwrap().complete_through.unwrap() - begin()).num_minutes());
    }
    assert_eq!(through, [0, 1, 2, 3, 4]);
    let nothing = usage::totals(&models, &member(tenant(3)), &question(None)).await.unwrap();
    assert_eq!((nothing.sequence, nothing.complete_through), (0, None));
    let ahead = usage::totals(&models, &member(tenant(1)), &question(Some(6))).await;
    assert!(matches!(ahead, Err(ReadError::NotYetVisible(_))));
    world.projections.stop().await;
}

async fn series_are_the_totals_spread_over_time(on: Kind) {
    let mut world = World::new(on, 8_192).await;
    let at = |hours| begin() + TimeDelta::hours(hours);
    let entries = [0, 0, 5, 25, 71, 72].map(|it| entry(customer(1), "api.calls", at(it), "2"));
    world.history.event(tenant(1), Stream::Usage, recorded(entries.to_vec()));
    let models = world.read().await;
    let own = member(tenant(1));
    let hours = usage::series(&models, &own, &question(None), Step::Hour).await.unwrap();
    let flat = |it: &UsageSeries| -> Vec<(i64, String)> {
        let hour = |it: &UsageBucket| ((it.start - begin()).num_hours(), it.sum.clone());
        it.buckets.iter().map(hour).collect()
    };
    let expected = [(0, "4"), (5, "2"), (25, "2"), (71, "2")].map(|(at, it)| (at, it.to_owned()));
    assert_eq!(flat(&hours.rows[0]), expected);
    let days = usage::series(&models, &own, &question(Some(1)), Step::Day).await.unwrap();
    let expected = [(0, "6"), (24, "2"), (48, "2")].map(|(at, it)| (at, it.to_owned()));
    assert_eq!(flat(&days.rows[0]), expected);

    let narrowed = UsageQuery { customers: vec![customer(2)], ..question(None) };
    assert!(usage::totals(&models, &own, &narrowed).await.unwrap().rows.is_empty());
    let narrowed = UsageQuery { meters: vec![key("api.calls")], ..question(None) };
    assert_eq!(usage::totals(&models, &own, &narrowed).await.unwrap().rows.len(), 1);
    let crowd = |count| UsageQuery { customers: vec![customer(1); count], ..question(None) };
    let most = usage::CUSTOMERS_MAX;
    assert_eq!(usage::totals(&models, &own, &crowd(most)).await.unwrap().rows.len(), 1);
    let refused = usage::totals(&models, &own, &crowd(most + 1)).await.unwrap_err();
    assert_eq!(refused.to_string(), "expected at most 1000 customers, got 1001");
    let meters = vec![key("api.calls"); usage::METERS_MAX + 1];
    let crowd = UsageQuery { meters, ..question(None) };
    let refused = usage::totals(&models, &own, &crowd).await.unwrap_err();
    assert_eq!(refused.to_string(), "expected at most 1000 meters, got 1001");
    let crooked = UsageQuery { from: begin() + TimeDelta::minutes(30), ..question(None) };
    assert!(matches!(usage::totals(&models, &own, &crooked).await, Err(ReadError::Invalid(_))));
    let empty = UsageQuery { to: begin(), ..question(None) };
    assert!(matches!(usage::totals(&models, &own, &empty).await, Err(ReadError::Invalid(_))));
    world.projections.stop().await;
}

async fn a_report_says_when_it_would_be_too_long(on: Kind) {
    let mut world = World::new(on, 8_192).await;
    let most = i64::try_from(usage::SPANS_MAX).unwrap();
    let hour = |it| entry(customer(1), "api.calls", begin() + TimeDelta::hours(it), "1");
    for first in (0..most).step_by(1_000) {
        let entries = (first..first + 1_000).map(hour).collect();
        world.history.event(tenant(1), Stream::Usage, recorded(entries));
    }
    world.history.event(tenant(1), Stream::Usage, recorded(vec![hour(most)]));
    let models = world.read().await;
    let own = member(tenant(1));
    let until = |hours| {
        let to = begin() + TimeDelta::hours(hours);
        UsageQuery { customers: vec![customer(1)], to, ..question(None) }
    };
    let fits = usage::series(&models, &own, &until(most), Step::Hour).await.unwrap();
    assert_eq!(fits.rows[0].buckets.len(), usage::SPANS_MAX);
    let refused = usage::series(&models, &own, &until(most + 1), Step::Hour).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "expected a report of at most 10000 spans, got more for 1 `customers` and all `meters` \
         `from` 2026-01-01 00:00:00 UTC `to` 2027-02-21 17:00:00 UTC; name fewer of them, a \
         shorter time, or a longer `step`"
    );
    // What it rests on may have any number of hours.
    let total = usage::totals(&models, &own, &until(most + 1)).await.unwrap();
    assert_eq!(total.rows[0].count, 10_001);
    let days = usage::series(&models, &own, &until(most + 1), Step::Day).await.unwrap();
    assert_eq!(days.rows[0].buckets.len(), 417);
    world.projections.stop().await;
}

async fn a_read_that_takes_too_long_says_so(on: Kind) {
    let mut world = World::set(on, |it| it.read_time_max = std::time::Duration::ZERO).await;
    let hour = |it| entry(customer(1), "api.calls", begin() + TimeDelta::hours(it), "1");
    world.history.event(tenant(1), Stream::Usage, recorded((0..1_000).map(hour).collect()));
    let models = world.read().await;
    let own = member(tenant(1));
    let all = UsageQuery { to: begin() + TimeDelta::hours(1_000), ..question(None) };
    let stopped = usage::totals(&models, &own, &all).await;
    assert!(matches!(stopped, Err(ReadError::TooLong { model: Model::Billing })), "{stopped:?}");
    world.projections.stop().await;
}

async fn personal(history: &History, text: &str) -> (SubjectId, domain::personal::Personal) {
    let keys = history.keyring.tenant(tenant(1)).await.unwrap();
    let subject = keys.subject_id("customer");
    let sealing = history.keyring.ensure_subjects(tenant(1), &[subject]).await.unwrap();
    let mut personal = keys.personal(subject, text);
    sealing.seal(&mut personal).unwrap();
    (subject, personal)
}

async fn customers_show_their_names_until_they_are_erased(on: Kind) {
    let mut world = World::new(on, 2).await;
    let (subject, name) = personal(&world.history, "Ada Ltd").await;
    let (_, contact) = personal(&world.history, "ada@example.com").await;
    let opened = customer::Event::Opened {
        role: Role::Customer,
        name: name.clone(),
        contact: Some(contact),
        currency: "EUR".parse().unwrap(),
        time_zone: chrono_tz::Europe::Berlin,
    };
    let stream = Stream::Customer(customer(1));
    world.history.event(tenant(1), stream, Event::Customer(opened.clone()));
    let models = world.read().await;
    let own = member(tenant(1));
    let found = customers::find_many(&models, &own, &[customer(1), customer(2)]).await.unwrap();
    let it = found[0].as_ref().unwrap();
    assert_eq!(
        (it.name.as_deref(), it.contact.as_deref()),
        (Some("Ada Ltd"), Some("ada@example.com"))
    );
    assert_eq!((found[1].as_ref(), customers::count(&models, &own).await.unwrap()), (None, 1));
    let foreign = member(tenant(2));
    assert_eq!(customers::find_many(&models, &foreign, &[customer(1)]).await.unwrap(), [None]);
    assert_eq!(customers::count(&models, &foreign).await.unwrap(), 0);

    let changed = customer::Event::Changed {
        name: personal(&world.history, "Ada AG").await.1,
        contact: None,
    };
    world.history.event(tenant(1), stream, Event::Customer(changed));
    world.history.event(tenant(1), stream, Event::Customer(customer::Event::Closed {}));
    let models = world.read().await;
    let page = customers::list(&models, &own, &Window::first(5)).await.unwrap();
    let it = page.into_nodes().next().unwrap();
    assert_eq!((it.name.as_deref(), it.contact, it.revision), (Some("Ada AG"), None, 3));
    assert!(it.closed_at.is_some());

    world.history.keyring.destroy_subject(tenant(1), subject).await.unwrap();
    world.projections.rebuild(Model::Billing).await.unwrap();
    let models = world.projections.models();
    let found = customers::find_many(&models, &own, &[customer(1)]).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().name, None);
    world.projections.stop().await;
}

async fn plans_and_subscriptions_keep_what_happened(on: Kind) {
    let mut world = World::new(on, 1).await;
    let (plan, id) = (PlanId(Uuid::from_u128(1)), SubscriptionId(Uuid::from_u128(2)));
    for (version, name) in [(1, "Basic"), (2, "Basic 2")] {
        let event = plan::Event::VersionPublished { version, terms: terms(name) };
        world.history.event(tenant(1), Stream::Plan(plan), Event::Plan(event));
    }
    let sold = |version, name| Sold { plan, version, terms: terms(name) };
    let at = begin();
    let events = [
        subscription::Event::Started {
            customer: customer(1),
            sold: sold(1, "Basic"),
            time_zone: chrono_tz::UTC,
            anchor: at,
            trial_end: None,
            period_end: at + TimeDelta::days(30),
            at,
        },
        subscription::Event::PlanChanged { sold: sold(2, "Basic 2"), at },
        subscription::Event::CancellationScheduled { at },
        subscription::Event::CancellationUndone {},
        subscription::Event::Renewed { period: 1, start: at, end: at + TimeDelta::days(31) },
        subscription::Event::Cancelled { at, reason: subscription::CancelReason::Requested },
    ];
    let stream = Stream::Subscription(id);
    let (mut states, mut periods) = (Vec::new(), Vec::new());
    let own = member(tenant(1));
    for event in &events {
        world.history.event(tenant(1), stream, Event::Subscription(event.clone()));
        let models = world.read().await;
        let found = subscriptions::find_many(&models, &own, &[id]).await.unwrap().remove(0);
        let found = found.unwrap();
        periods.push((found.period.end - found.period.start).num_days());
        states.push(found.state);
    }
    assert_eq!(periods, [30, 30, 30, 30, 31, 31]);
    use SubscriptionState::{Active, Cancelled, Ending};
    assert_eq!(states, [Active, Active, Ending(at), Active, Active, Cancelled(at)]);

    let retired = Event::Plan(plan::Event::Retired {});
    world.history.event(tenant(1), Stream::Plan(plan), retired);
    let models = world.read().await;
    let plans = plans::list(&models, &own, Seller::Itself, &Window::first(5)).await.unwrap();
    let it = plans.into_nodes().next().unwrap();
    assert_eq!((it.name.as_str(), it.retired, it.versions.len()), ("Basic 2", true, 2));
    assert_eq!(plans::count(&models, &own, Seller::Operator).await.unwrap(), 0);
    assert_eq!(plans::count(&models, &member(tenant(2)), Seller::Itself).await.unwrap(), 0);

    let steps = subscriptions::history_of_many(&models, &own, &[id]).await.unwrap().remove(0);
    let changes: Vec<_> = steps.into_iter().map(|it| it.change).collect();
    assert_eq!(changes, events);
    let of =
        subscriptions::of_customers(&models, &own, &[customer(1), customer(2)], 5).await.unwrap();
    assert_eq!((of[0].edges.len(), of[1].edges.len()), (1, 0));
    let running = SubscriptionFilter { cancelled: Some(false), ..SubscriptionFilter::default() };
    assert_eq!(subscriptions::count(&models, &own, &running).await.unwrap(), 0);
    let of_plan = SubscriptionFilter { plan: Some(plan), ..SubscriptionFilter::default() };
    assert_eq!(subscriptions::count(&models, &own, &of_plan).await.unwrap(), 1);
    let foreign = member(tenant(2));
    assert_eq!(subscriptions::find_many(&models, &foreign, &[id]).await.unwrap(), [None]);
    assert!(subscriptions::history_of_many(&models, &foreign, &[id]).await.unwrap()[0].is_empty());
    world.projections.stop().await;
}

async fn meters_are_found_by_key(on: Kind) {
    let mut world = World::new(on, 8_192).await;
    let id = MeterId(Uuid::from_u128(3));
    let defined = meter::Event::Defined {
        key: key("api.calls"),
        name: "API calls".to_owned(),
        unit: "call".to_owned(),
        aggregation: Aggregation::Sum,
    };
    world.history.event(tenant(1), Stream::Meter(id), Event::Meter(defined));
    world.history.event(tenant(1), Stream::Meter(id), Event::Meter(meter::Event::Archived {}));
    let models = world.read().await;
    let keys = [key("none"), key("api.calls")];
    let found = meters::find_many(&models, &member(tenant(1)), &keys).await.unwrap();
    assert!(found[0].is_none() && found[1].as_ref().unwrap().archived);
    let foreign = meters::list(&models, &member(tenant(2)), &Window::first(5)).await.unwrap();
    assert!(foreign.edges.is_empty());
    world.projections.stop().await;
}

mod entities;
