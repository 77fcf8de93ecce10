//! What the demo sells, and 90 days of what was used of it.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate, TimeDelta, Utc};
use domain::calendar::{Interval, Unit};
use domain::id::PlanId;
use domain::meter::{Aggregation, MeterKey};
use domain::operation::{Operation, UsageEntry};
use domain::plan::{Enforcement, Item, Price, Quota, QuotaOf, Terms};
use domain::quantity::Quantity;

use super::organisation::{self, COMPONENTS};
use super::random::Random;

/// How far back the usage goes.
const DAYS: u64 = 90;

/// The regions usage is grouped by.
const REGIONS: [&str; 3] = ["eu-central", "us-east", "ap-south"];

/// The operator's plans: a name, the monthly fee, the included entities.
const PLANS: [(&str, u32, u32); 3] =
    [("Starter", 49, 500), ("Team", 199, 5_000), ("Enterprise", 899, 100_000)];

fn key(text: &str) -> MeterKey {
    text.parse().expect("the demo's meter keys are well formed")
}

/// What publishes the operator's plans under these identities.
pub(crate) fn catalogue(plans: &[PlanId]) -> Vec<Operation> {
    let sold = PLANS.iter().zip(plans);
    sold.map(|((name, fee, entities), plan)| Operation::PublishPlanVersion {
        plan: *plan,
        is_new: true,
        terms: terms(name, *fee, *entities),
    })
    .collect()
}

fn terms(name: &str, fee: u32, entities: u32) -> Terms {
    let price = |text: &str| text.parse().expect("the demo's prices are well formed");
    Terms {
        name: name.to_owned(),
        currency: "EUR".parse().expect("a currency code"),
        interval: Interval { unit: Unit::Month, count: 1 },
        items: vec![
            Item {
                key: "base".to_owned(),
                description: format!("{name} plan"),
                price: Price::Flat { unit: fee.into(), quantity: 1.into() },
            },
            Item {
                key: "calls".to_owned(),
                description: "API calls".to_owned(),
                price: Price::Package {
                    meter: key("api.calls"),
                    size: 1_000.into(),
                    free: 10_000.into(),
                    unit: price("0.15"),
                },
            },
            Item {
                key: "build".to_owned(),
                description: "Build minutes".to_owned(),
                price: Price::PerUnit { meter: key("ci.minutes"), unit: price("0.008") },
            },
        ],
        quotas: vec![Quota {
            of: QuotaOf::Entities,
            limit: entities.into(),
            enforcement: Enforcement::Hard,
        }],
        trial_days: 0,
    }
}

/// What defines the meters.
pub(crate) fn meters() -> Vec<Operation> {
    [("api.calls", "API calls", "call"), ("ci.minutes", "Build minutes", "minute")]
        .into_iter()
        .map(|(name, title, unit)| Operation::DefineMeter {
            key: key(name),
            name: title.to_owned(),
            unit: unit.to_owned(),
            aggregation: Aggregation::Sum,
        })
        .collect()
}

/// One request of usage a day, growing over time and quieter at weekends. Services are called,
/// everything is built.
pub(crate) fn history(slug: &str, today: NaiveDate, random: &mut Random) -> Vec<Operation> {
    let days = (1..=DAYS).rev().filter_map(|it| today.checked_sub_days(Days::new(it)));
    days.enumerate()
        .map(|(age, day)| Operation::RecordUsage { entries: entries(slug, age, day, random) })
        .collect()
}

fn entries(slug: &str, age: usize, day: NaiveDate, random: &mut Random) -> Vec<UsageEntry> {
    use chrono::Datelike;
    let quiet = if day.weekday().number_from_monday() > 5 { 4 } else { 1 };
    let midnight = day.and_time(chrono::NaiveTime::MIN).and_local_timezone(Utc).unwrap();
    let systems = organisation::systems(slug);
    let mut entries = Vec::new();
    for hour in 0..24 {
        for (meter, most) in [("api.calls", 400), ("ci.minutes", 30)] {
            let most = (most + most * age / 60) / quiet;
            let value = u32::try_from(random.below(most + 1)).unwrap_or(u32::MAX);
            let region = *random.pick(&REGIONS);
            let built = if meter == "ci.minutes" { &COMPONENTS[..] } else { &["service"] };
            let (system, component) = (*random.pick(&systems), *random.pick(built));
            let entity = organisation::reference(system, component);
            entries.push(UsageEntry {
                source: format!("{slug}/gateway"),
                id: format!("{day}T{hour:02}/{meter}"),
                meter: key(meter),
                customer: None,
                at: Some(midnight + TimeDelta::hours(hour)),
                value: Quantity::from(value),
                dimensions: BTreeMap::from([
                    ("entity".into(), entity.into()),
                    ("region".into(), region.into()),
                ]),
            });
        }
    }
    entries
}
