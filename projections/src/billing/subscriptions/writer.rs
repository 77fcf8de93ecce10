//! Folds the events of subscriptions into their rows.

use std::collections::{BTreeMap, BTreeSet};

use domain::calendar::Period;
use domain::id::{SubscriptionId, TenantId};
use domain::subscription::Event;
use domain::{Event as AnyEvent, Level, Stream};

use super::{COLUMNS, Subscription, SubscriptionState, read};
use crate::billing::json;
use crate::engine::fact::{Fact, Unfit};
use crate::engine::fold::ApplyError;
use crate::store::bulk::Rows;
use crate::store::{Connection, StoreError, Value};

type Key = (TenantId, SubscriptionId);

pub(in crate::billing) async fn apply(
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<(), ApplyError> {
    let mut touched = load(connection, events).await?;
    let mut steps = Rows::default();
    for (fact, event) in events {
        evolve(&mut touched, fact, event)?;
        steps.push(step(fact, event)?);
    }
    write(connection, touched).await?;
    let insert = "INSERT INTO subscription_steps
        (tenant, subscription, revision, name, event, sequence, recorded_at, actor)";
    Ok(steps.insert(connection, insert, "").await?)
}

async fn load(
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<BTreeMap<Key, Subscription>, ApplyError> {
    let mut keys = Rows::default();
    let mut seen = BTreeSet::new();
    for (fact, _) in events {
        let key = key(fact)?;
        if seen.insert(key) {
            keys.push([key.0.0.into(), key.1.0.into()]);
        }
    }
    let before = format!("SELECT {COLUMNS}, tenant FROM subscriptions");
    let mut touched = BTreeMap::new();
    for row in keys.fetch(connection, &before, ["tenant", "id"]).await? {
        let subscription = read(&row)?;
        touched.insert((TenantId(row.uuid(12)?), subscription.id), subscription);
    }
    Ok(touched)
}

fn key(fact: &Fact) -> Result<Key, Unfit> {
    match fact.stream {
        Stream::Subscription(id) => Ok((fact.tenant, id)),
        _ => Err(fact.unfit("it is not in the stream of a subscription")),
    }
}

fn evolve(
    touched: &mut BTreeMap<Key, Subscription>,
    fact: &Fact,
    event: &Event,
) -> Result<(), Unfit> {
    let key = key(fact)?;
    if let Event::Started { customer, sold, time_zone, anchor, trial_end, period_end, at } = event {
        let subscription = Subscription {
            id: key.1,
            customer: *customer,
            sold: sold.clone(),
            state: SubscriptionState::Active,
            time_zone: *time_zone,
            anchor: *anchor,
            trial_end: *trial_end,
            started_at: *at,
            period: Period { start: *at, end: *period_end },
            revision: fact.revision,
        };
        touched.insert(key, subscription);
        return Ok(());
    }
    let unknown = || fact.unfit("the subscription was never started");
    let subscription = touched.get_mut(&key).ok_or_else(unknown)?;
    subscription.revision = fact.revision;
    match event {
        Event::Started { .. } => (),
        Event::PlanChanged { sold, .. } => subscription.sold = sold.clone(),
        Event::CancellationScheduled { at } => subscription.state = SubscriptionState::Ending(*at),
        Event::CancellationUndone {} => subscription.state = SubscriptionState::Active,
        Event::Renewed { start, end, .. } => {
            subscription.period = Period { start: *start, end: *end };
        }
        Event::Cancelled { at, .. } => subscription.state = SubscriptionState::Cancelled(*at),
    }
    Ok(())
}

async fn write(
    connection: &mut Connection,
    touched: BTreeMap<Key, Subscription>,
) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    for ((tenant, id), it) in touched {
        let (ending, cancelled) = match it.state {
            SubscriptionState::Active => (None, None),
            SubscriptionState::Ending(at) => (Some(at), None),
            SubscriptionState::Cancelled(at) => (None, Some(at)),
        };
        let micros = |it: Option<chrono::DateTime<chrono::Utc>>| -> Value {
            it.map(|it| it.timestamp_micros()).into()
        };
        rows.push([
            tenant.0.into(),
            id.0.into(),
            it.customer.0.into(),
            it.sold.plan.0.into(),
            json(&it.sold),
            it.time_zone.name().into(),
            micros(Some(it.anchor)),
            micros(it.trial_end),
            micros(Some(it.started_at)),
            micros(ending),
            micros(cancelled),
            micros(Some(it.period.start)),
            micros(Some(it.period.end)),
            it.revision.into(),
        ]);
    }
    let insert = "INSERT INTO subscriptions (tenant, id, customer, plan, sold, time_zone, anchor,
        trial_end, started_at, ending_at, cancelled_at, period_start, period_end, revision)";
    let update = "ON CONFLICT (tenant, id) DO UPDATE SET plan = excluded.plan,
        sold = excluded.sold, ending_at = excluded.ending_at,
        cancelled_at = excluded.cancelled_at, period_start = excluded.period_start,
        period_end = excluded.period_end, revision = excluded.revision";
    rows.insert(connection, insert, update).await
}

fn step(fact: &Fact, event: &Event) -> Result<[Value; 8], Unfit> {
    let key = key(fact)?;
    // An older process that shares the table reads it too.
    let encoded = AnyEvent::Subscription(event.clone()).encode(Level::LOWEST);
    let encoded = encoded.map_err(|it| fact.unfit(it.to_string()))?;
    let text = String::from_utf8(encoded.value().to_vec()).expect("serde_json writes UTF-8");
    Ok([
        key.0.0.into(),
        key.1.0.into(),
        fact.revision.into(),
        encoded.name().into(),
        text.into(),
        fact.sequence.into(),
        fact.at.timestamp_micros().into(),
        fact.actor.0.into(),
    ])
}
