//! A plan: what can be sold, in versions that never change once published.

use serde::{Deserialize, Serialize};

use crate::calendar::Interval;
use crate::meter::MeterKey;
use crate::quantity::{Currency, Quantity, UnitPrice};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A version can be sold.
    #[serde(rename = "plan.version-published.v1")]
    VersionPublished {
        /// Counts from 1 without gaps.
        version: u32,
        /// What it says.
        terms: Terms,
    },
    /// No version can be sold any more; those sold go on.
    #[serde(rename = "plan.retired.v1")]
    Retired {},
}

/// Everything a sale needs to know, embedded whole in the subscription's events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What the plan is called.
    pub name: String,
    /// The currency of every price in it.
    pub currency: Currency,
    /// How long a billing period is.
    pub interval: Interval,
    /// What is charged for.
    pub items: Vec<Item>,
    /// What is limited.
    pub quotas: Vec<Quota>,
    /// Days before anything is billed; 0 for no trial.
    pub trial_days: u16,
}

/// One thing a plan charges for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Names the item within the plan, across versions.
    pub key: String,
    /// What the invoice line says.
    pub description: String,
    /// How it is priced.
    pub price: Price,
}

/// How an item is priced; tiers and packages by `reference/billing-rules.md` R6 and R7.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "snake_case")]
pub enum Price {
    /// A fixed amount per period, in advance.
    Flat {
        /// Per unit of `quantity`.
        unit: UnitPrice,
        /// How many.
        quantity: Quantity,
    },
    /// An amount per unit used, in arrears.
    PerUnit {
        /// What is counted.
        meter: MeterKey,
        /// Per unit.
        unit: UnitPrice,
    },
    /// Each unit at the price of its tier.
    Graduated {
        /// What is counted.
        meter: MeterKey,
        /// In order of `up_to`.
        tiers: Vec<Tier>,
    },
    /// All units at the price of the tier that contains the quantity.
    Volume {
        /// What is counted.
        meter: MeterKey,
        /// In order of `up_to`.
        tiers: Vec<Tier>,
    },
    /// An amount per started package.
    Package {
        /// What is counted.
        meter: MeterKey,
        /// Units in a package.
        size: Quantity,
        /// Units that cost nothing.
        free: Quantity,
        /// Per package.
        unit: UnitPrice,
    },
}

/// One tier of a price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The last unit in it, inclusive; none for the last tier.
    pub up_to: Option<Quantity>,
    /// Per unit.
    pub unit: UnitPrice,
    /// Once, when the tier is reached.
    pub flat: UnitPrice,
}

/// A limit that a plan sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// What is limited.
    pub of: QuotaOf,
    /// The most there may be.
    pub limit: Quantity,
    /// What happens at the limit.
    pub enforcement: Enforcement,
}

/// What a quota limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum QuotaOf {
    /// Entities in the tenant's catalog at a time.
    Entities,
    /// Usage of a meter in a billing period of the subscription.
    Usage {
        /// What is counted.
        meter: MeterKey,
    },
}

/// What happens at a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// What would exceed it is refused, whole.
    Hard,
    /// It is only reported.
    Soft,
}
