//! A bit of everything, so that a comparison of states compares something.

use chrono::TimeDelta;
use domain::calendar::{Interval, Unit};
use domain::customer::Role;
use domain::id::{CustomerId, PlanId, SubscriptionId};
use domain::location::LocationKind;
use domain::meter::Aggregation;
use domain::operation::{CancelWhen, EntityChange, ExpectedRevision, Operation, UsageEntry};
use domain::plan::{Enforcement, Item, Price, Quota, QuotaOf, Terms};
use domain::principal::Principal;
use serde_json::json;
use uuid::Uuid;

use super::installation::{Installation, change, operator, remove};
use crate::request::{IdempotencyKey, Request};
use crate::state::State;

/// A plan that counts calls and limits calls and entities.
pub(crate) fn terms(entities_max: u32, calls_max: u32) -> Terms {
    let quota = |of, limit: u32| Quota { of, limit: limit.into(), enforcement: Enforcement::Hard };
    Terms {
        name: "Team".to_owned(),
        currency: "EUR".parse().unwrap(),
        interval: Interval { unit: Unit::Month, count: 1 },
        items: vec![Item {
            key: "base".to_owned(),
            description: "Base fee".to_owned(),
            price: Price::Flat { unit: 49.into(), quantity: 1.into() },
        }],
        quotas: vec![
            quota(QuotaOf::Entities, entities_max),
            quota(QuotaOf::Usage { meter: "api.calls".parse().unwrap() }, calls_max),
        ],
        trial_days: 0,
    }
}

pub(crate) fn calls(id: &str, value: u32) -> UsageEntry {
    UsageEntry {
        source: "gateway".to_owned(),
        id: id.to_owned(),
        meter: "api.calls".parse().unwrap(),
        customer: None,
        at: None,
        value: value.into(),
        dimensions: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn define_calls() -> Operation {
    Operation::DefineMeter {
        key: "api.calls".parse().unwrap(),
        name: "Calls".to_owned(),
        unit: "call".to_owned(),
        aggregation: Aggregation::Sum,
    }
}

/// Sells the tenant itself a plan of the operator's with these limits.
pub(crate) async fn sell(
    installation: &Installation,
    to: &Principal,
    entities_max: u32,
    calls_max: u32,
) -> SubscriptionId {
    let plan = PlanId(Uuid::now_v7());
    let terms = terms(entities_max, calls_max);
    let publish = Operation::PublishPlanVersion { plan, is_new: true, terms };
    installation.submit(&operator(), publish).await.unwrap();
    let subscription = SubscriptionId(Uuid::now_v7());
    let customer = CustomerId::of_tenant(to.tenant());
    let start = Operation::StartSubscription { subscription, customer, plan, version: None };
    installation.submit(to, start).await.unwrap();
    subscription
}

/// Plays it.
pub(crate) async fn play(installation: &Installation) {
    let acme = installation.tenant("acme").await;
    let umbrella = installation.tenant("umbrella").await;
    let subscription = sell(installation, &acme, 100, 1_000).await;
    installation.submit(&acme, define_calls()).await.unwrap();
    let register = Operation::RegisterLocation {
        kind: LocationKind::Url,
        target: "https://example.com/catalog-info.yaml".to_owned(),
    };
    installation.submit(&acme, register).await.unwrap();
    for number in 0..30 {
        let changes = vec![change(&format!("web-{number}"), "one of many"), user(number)];
        installation.submit(&acme, Operation::ApplyEntities { changes }).await.unwrap();
        let entries = vec![calls(&format!("call-{number}"), 3), calls("call-0", 3)];
        let key: IdempotencyKey = format!("request-{number}").parse().unwrap();
        let operation = Operation::RecordUsage { entries };
        let request = Request { idempotency_key: Some(key), ..Request::new(operation) };
        installation.ask(&acme, request).await.unwrap();
    }
    installation.submit(&acme, remove("web-7")).await.unwrap();
    let open = Operation::OpenCustomer {
        customer: CustomerId(Uuid::now_v7()),
        role: Role::Customer,
        name: "Ada Lovelace".to_owned(),
        contact: Some("ada@example.com".to_owned()),
        currency: None,
        time_zone: None,
    };
    installation.submit(&umbrella, open).await.unwrap();
    installation.clock.advance(TimeDelta::days(40));
    let cancel = Operation::CancelSubscription { subscription, when: CancelWhen::PeriodEnd };
    installation.submit(&acme, cancel).await.unwrap();
}

fn user(number: usize) -> EntityChange {
    let descriptor = json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "User",
        "metadata": { "name": format!("person-{number}") },
        "spec": { "profile": { "displayName": "Grace Hopper" }, "memberOf": [] },
    });
    EntityChange::Put { descriptor, location: None, expected: ExpectedRevision::Any }
}

/// Compares everything that answers depend on.
#[track_caller]
pub(crate) fn assert_same(one: &State, other: &State) {
    assert_eq!(one.recorded, other.recorded);
    assert_eq!(one.next, other.next);
    assert_eq!(one.timers, other.timers);
    assert_eq!(one.outcomes.all(one.recorded), other.outcomes.all(one.recorded));
    assert_eq!(one.tenants.len(), other.tenants.len());
    for (tenant, state) in &one.tenants {
        let same = &other.tenants[tenant];
        assert_eq!(state.tally, same.tally, "{tenant}");
        assert_eq!(state.streams.len(), same.streams.len(), "{tenant}");
        for (stream, slot) in state.streams.iter() {
            assert_eq!(Some(slot), same.streams.get(stream), "{tenant} {stream}");
        }
    }
}
