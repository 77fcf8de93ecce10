//! What a tenant has bought and sold ends when it is closed.

use chrono::{DateTime, TimeDelta, Utc};
use domain::Event;
use domain::id::CommandId;
use domain::operation::{CancelWhen, Operation};
use domain::reaction::Reaction;
use domain::subscription::{self, CancelReason};
use event_log::{Attribute, Partition, Recorded};
use uuid::Uuid;

use super::installation::{Installation, operator};
use super::reacting::{counts, until};
use super::scenario::sell;
use crate::commands::ask;
use crate::owner::envelope::Answer;
use crate::prepare::{Ask, Effect, React, internal};

/// How subscriptions ended: why and as of when, in the order of the latter.
async fn ends(installation: &Installation) -> Vec<(CancelReason, DateTime<Utc>)> {
    let mut ends = Vec::new();
    for partition in 0..2 {
        for Recorded { record, .. } in installation.records(Partition(partition)).await {
            let full_type = record.attribute(Attribute::Type);
            if full_type == "callboard.subscription.cancelled.v1" {
                match Event::decode(full_type, &record.value()).unwrap() {
                    Event::Subscription(subscription::Event::Cancelled { at, reason }) => {
                        ends.push((reason, at));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    ends.sort_by_key(|it| it.1);
    ends
}

#[tokio::test]
async fn a_closed_tenant_has_no_subscription_that_runs() {
    let mut installation = Installation::with(2, |_| ()).await;
    let (acme, other) = (installation.tenant("acme").await, installation.tenant("other").await);
    let early = sell(&installation, &acme, 100, 100).await;
    sell(&installation, &acme, 200, 100).await;
    sell(&installation, &other, 100, 100).await;
    let cancel = Operation::CancelSubscription { subscription: early, when: CancelWhen::Now };
    installation.submit(&acme, cancel).await.unwrap();
    installation.clock.advance(TimeDelta::days(3));
    let closed_at = installation.submit(&acme, Operation::CloseTenant).await.unwrap().at;
    // The last thing that follows.
    until(&installation, "directory.tenant-closed.v1", 1).await;
    let ends = ends(&installation).await;
    assert_eq!(
        ends.iter().map(|it| it.0).collect::<Vec<_>>(),
        [CancelReason::Requested, CancelReason::TenantClosed]
    );
    assert_eq!(ends[1].1, closed_at);

    // Only the other tenant's is renewed, also by somebody who starts from the log alone.
    installation.clock.advance(TimeDelta::days(62));
    until(&installation, "subscription.renewed.v1", 2).await;
    installation.forget_snapshots().await;
    installation.start_again().await;
    installation.clock.advance(TimeDelta::days(31));
    until(&installation, "subscription.renewed.v1", 3).await;
    let mut waiting = 0;
    for partition in 0..2 {
        waiting += installation.state(Partition(partition)).await.timers.len();
    }
    assert_eq!(waiting, 1);
}

#[tokio::test]
async fn hundreds_of_subscriptions_end_in_parts_and_each_once() {
    let installation = Installation::with(2, |_| ()).await;
    let acme = installation.tenant("acme").await;
    let plan = domain::id::PlanId(Uuid::now_v7());
    let publish =
        Operation::PublishPlanVersion { plan, is_new: true, terms: super::scenario::terms(9, 9) };
    installation.submit(&operator(), publish).await.unwrap();
    let customer = domain::id::CustomerId::of_tenant(acme.tenant());
    for _ in 0..2_400 {
        let subscription = domain::id::SubscriptionId(Uuid::now_v7());
        let start = Operation::StartSubscription { subscription, customer, plan, version: None };
        installation.submit(&acme, start).await.unwrap();
    }
    installation.submit(&acme, Operation::CloseTenant).await.unwrap();
    until(&installation, "directory.tenant-closed.v1", 1).await;
    assert_eq!(counts(&installation).await["subscription.cancelled.v1"], 2_400);
}

#[tokio::test]
async fn a_period_that_ends_before_anybody_followed_the_closing_is_not_renewed() {
    let installation = Installation::with(2, |_| ()).await;
    let acme = installation.tenant("acme").await;
    sell(&installation, &acme, 100, 100).await;
    installation.commands.stop_following().await;
    let closed_at = installation.submit(&acme, Operation::CloseTenant).await.unwrap().at;
    installation.clock.advance(TimeDelta::days(32));
    until(&installation, "subscription.cancelled.v1", 1).await;
    assert_eq!(ends(&installation).await, [(CancelReason::TenantClosed, closed_at)]);
    assert_eq!(counts(&installation).await.get("subscription.renewed.v1"), None);
}

#[tokio::test]
async fn who_stops_between_two_things_that_follow_from_one_event_does_the_second_later() {
    let mut installation = Installation::with(2, |_| ()).await;
    installation.tenant("other").await;
    let acme = installation.tenant("acme").await;
    sell(&installation, &acme, 100, 100).await;
    installation.commands.stop_following().await;
    let closed = installation.submit(&acme, Operation::CloseTenant).await.unwrap();
    let ask_for = Ask::React(React {
        reaction: Reaction::EndSubscriptions,
        source_tenant: acme.tenant(),
        source_sequence: closed.sequence,
        effect: Effect::EndSubscriptions { from: 0 },
    });
    let command = CommandId(Uuid::now_v7());
    let keys = installation.keyring.existing(acme.tenant()).await.unwrap();
    let prepared = internal(&installation.keyring, keys, command, None, ask_for).await;
    let owner = installation.commands.owner(closed.partition);
    let (answer, _) = ask(owner, prepared.unwrap()).await.unwrap();
    assert!(matches!(answer, Answer::Done(_)), "{answer:?}");
    installation.forget_snapshots().await;
    installation.start_again().await;
    until(&installation, "directory.tenant-closed.v1", 1).await;
    assert_eq!(counts(&installation).await["subscription.cancelled.v1"], 1);
}

#[tokio::test]
async fn a_suspended_tenant_goes_on_owing() {
    let installation = Installation::with(2, |_| ()).await;
    let acme = installation.tenant("acme").await;
    sell(&installation, &acme, 100, 100).await;
    let reason = domain::tenant::SuspensionReason::NonPayment;
    let suspend = Operation::SuspendTenant { tenant: acme.tenant(), reason };
    installation.submit(&operator(), suspend).await.unwrap();
    until(&installation, "tenant.suspended.v1", 1).await;
    installation.clock.advance(TimeDelta::days(62));
    until(&installation, "subscription.renewed.v1", 2).await;
}
