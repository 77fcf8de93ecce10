//! What one version of a plan says, and what it may say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::calendar::Interval;
use crate::meter::MeterKey;
use crate::quantity::{Currency, Quantity, UnitPrice};
use crate::violation::{Violation, Violations};

/// Everything a sale needs to know, embedded whole in the subscription's events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// Names the item within the plan, across versions.
    pub key: String,
    /// What the invoice line says.
    pub description: String,
    /// How it is priced.
    pub price: Price,
}

/// How an item is priced; tiers and packages by `docs/billing-rules.md` R6 and R7.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tier {
    /// The last unit in it, inclusive; none for the last tier.
    pub up_to: Option<Quantity>,
    /// Per unit.
    pub unit: UnitPrice,
    /// Once, when the tier is reached.
    pub flat: UnitPrice,
}

/// A limit that a plan sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quota {
    /// What is limited.
    pub of: QuotaOf,
    /// The most there may be.
    pub limit: Quantity,
    /// What happens at the limit.
    pub enforcement: Enforcement,
}

/// What a quota limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// What would exceed it is refused, whole.
    Hard,
    /// It is only reported.
    Soft,
}

/// The longest name of a plan, in characters: 120, as for everything that has one.
pub const NAME_MAX: usize = 120;

/// The most items of a plan: 100, so that a sale fits in one event with room to spare.
pub const ITEMS_MAX: usize = 100;

/// The longest key of an item, in characters: 64, as for meters.
pub const ITEM_KEY_MAX: usize = 64;

/// The longest description of an item, in characters: 200, one line of an invoice.
pub const DESCRIPTION_MAX: usize = 200;

/// The most tiers of a price: 50.
pub const TIERS_MAX: usize = 50;

/// The most quotas of a plan: 50.
pub const QUOTAS_MAX: usize = 50;

/// The longest trial, in days: 730, two years.
pub const TRIAL_DAYS_MAX: u16 = 730;

impl Terms {
    /// What is wrong with their shape.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut violations = Violations::default();
        violations.text("name", &self.name, NAME_MAX);
        if let Err(error) = Interval::new(self.interval.unit, self.interval.count) {
            violations.note("interval", error.to_string());
        }
        // What is beyond a limit is only counted: the rest compares each with those before it.
        violations.at_most("items", self.items.len(), ITEMS_MAX);
        for (place, item) in self.items.iter().enumerate().take(ITEMS_MAX) {
            let field = format!("items[{place}]");
            violations.part(&field, item.violations());
            if self.items[..place].iter().any(|it| it.key == item.key) {
                violations.note(format!("{field}.key"), format!("`{}` is there twice", item.key));
            }
        }
        violations.at_most("quotas", self.quotas.len(), QUOTAS_MAX);
        for (place, quota) in self.quotas.iter().enumerate().take(QUOTAS_MAX) {
            let field = format!("quotas[{place}]");
            violations.not_negative(format!("{field}.limit"), &quota.limit);
            if self.quotas[..place].iter().any(|it| it.of == quota.of) {
                violations.note(format!("{field}.meter"), "the same is limited twice");
            }
        }
        if self.trial_days > TRIAL_DAYS_MAX {
            let got = self.trial_days;
            violations
                .note("trialDays", format!("expected at most {TRIAL_DAYS_MAX} days, got {got}"));
        }
        violations.into_vec()
    }
}

impl Item {
    fn violations(&self) -> Vec<Violation> {
        let mut violations = Violations::default();
        violations.text("key", &self.key, ITEM_KEY_MAX);
        violations.text("description", &self.description, DESCRIPTION_MAX);
        violations.part(&format!("price.{}", self.price.model()), self.price.violations());
        violations.into_vec()
    }
}

impl Price {
    /// The field of a price that says it.
    const fn model(&self) -> &'static str {
        match self {
            Self::Flat { .. } => "flat",
            Self::PerUnit { .. } => "perUnit",
            Self::Graduated { .. } => "graduated",
            Self::Volume { .. } => "volume",
            Self::Package { .. } => "package",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        let mut violations = Violations::default();
        match self {
            Self::Flat { unit, quantity } => {
                violations.not_negative("unit", unit);
                violations.not_negative("quantity", quantity);
            }
            Self::PerUnit { meter: _, unit } => violations.not_negative("unit", unit),
            Self::Graduated { meter: _, tiers } | Self::Volume { meter: _, tiers } => {
                tiers_in_order(tiers, &mut violations);
            }
            Self::Package { meter: _, size, free, unit } => {
                if *size <= Quantity::ZERO {
                    violations.note("size", format!("expected more than 0, got {size}"));
                }
                violations.not_negative("free", free);
                violations.not_negative("unit", unit);
            }
        }
        violations.into_vec()
    }
}

/// Asks that the tiers cover every quantity once: each ends after the one before, the last is
/// open.
fn tiers_in_order(tiers: &[Tier], violations: &mut Violations) {
    violations.at_most("tiers", tiers.len(), TIERS_MAX);
    if tiers.len() > TIERS_MAX {
        return;
    }
    let Some((last, bounded)) = tiers.split_last() else {
        return violations.note("tiers", "expected at least one tier");
    };
    if let Some(up_to) = last.up_to {
        let field = format!("tiers[{}].upTo", bounded.len());
        violations.note(field, format!("expected the last tier to be open, got {up_to}"));
    }
    let mut lower = Quantity::ZERO;
    for (place, tier) in bounded.iter().enumerate() {
        match tier.up_to {
            Some(up_to) if up_to > lower => lower = up_to,
            Some(up_to) => violations.note(
                format!("tiers[{place}].upTo"),
                format!("expected more than {lower}, got {up_to}"),
            ),
            None => violations
                .note(format!("tiers[{place}].upTo"), "expected only the last tier to be open"),
        }
    }
    for (place, tier) in tiers.iter().enumerate() {
        violations.not_negative(format!("tiers[{place}].unit"), &tier.unit);
        violations.not_negative(format!("tiers[{place}].flat"), &tier.flat);
    }
}
