//! The terms of a plan as they are read back; [`crate::schema::mutation::terms`] takes them.

use async_graphql::{Description, Object, SimpleObject, Union};
use domain::plan;

use crate::schema::mutation::terms::{IntervalUnit, QuotaEnforcement};

/// What was or can be sold.
#[derive(Clone, Debug, Description)]
pub struct Terms(pub plan::Terms);

#[Object(use_type_description)]
impl Terms {
    /// What the plan is called.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The currency of every price in it.
    async fn currency(&self) -> &str {
        self.0.currency.code()
    }

    /// How long a billing period is.
    async fn interval(&self) -> Interval {
        Interval { unit: self.0.interval.unit.into(), count: self.0.interval.count.into() }
    }

    /// What is charged for.
    async fn items(&self) -> Vec<Item> {
        self.0.items.iter().map(Item::from).collect()
    }

    /// What is limited.
    async fn quotas(&self) -> Vec<Quota> {
        self.0.quotas.iter().map(Quota::from).collect()
    }

    /// Days before anything is billed.
    async fn trial_days(&self) -> u32 {
        self.0.trial_days.into()
    }
}

/// How long a billing period is.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub struct Interval {
    /// The unit.
    pub unit: IntervalUnit,
    /// How many of it.
    pub count: u32,
}

/// One thing a plan charges for.
#[derive(Clone, Debug, SimpleObject)]
pub struct Item {
    /// Names the item within the plan, across versions.
    pub key: String,
    /// What the invoice line says.
    pub description: String,
    /// How it is priced.
    pub price: Price,
}

impl From<&plan::Item> for Item {
    fn from(item: &plan::Item) -> Self {
        let (key, description) = (item.key.clone(), item.description.clone());
        Self { key, description, price: (&item.price).into() }
    }
}

/// How an item is priced. Amounts are decimal texts in major units.
#[derive(Clone, Debug, Union)]
pub enum Price {
    /// A fixed amount per period, in advance.
    Flat(FlatPrice),
    /// An amount per unit used.
    PerUnit(PerUnitPrice),
    /// Each unit at the price of its tier.
    Graduated(GraduatedPrice),
    /// All units at the price of the tier that contains the quantity.
    Volume(VolumePrice),
    /// An amount per started package.
    Package(PackagePrice),
}

/// A fixed amount per period, in advance.
#[derive(Clone, Debug, SimpleObject)]
pub struct FlatPrice {
    /// Per unit.
    pub unit: String,
    /// How many.
    pub quantity: String,
}

/// An amount per unit used.
#[derive(Clone, Debug, SimpleObject)]
pub struct PerUnitPrice {
    /// What is counted, by key.
    pub meter: String,
    /// Per unit.
    pub unit: String,
}

/// Each unit at the price of its tier.
#[derive(Clone, Debug, SimpleObject)]
pub struct GraduatedPrice {
    /// What is counted, by key.
    pub meter: String,
    /// In order; only the last has no end.
    pub tiers: Vec<Tier>,
}

/// All units at the price of the tier that contains the quantity.
#[derive(Clone, Debug, SimpleObject)]
pub struct VolumePrice {
    /// What is counted, by key.
    pub meter: String,
    /// In order; only the last has no end.
    pub tiers: Vec<Tier>,
}

/// An amount per started package.
#[derive(Clone, Debug, SimpleObject)]
pub struct PackagePrice {
    /// What is counted, by key.
    pub meter: String,
    /// Units in a package.
    pub size: String,
    /// Units that cost nothing.
    pub free: String,
    /// Per package.
    pub unit: String,
}

/// One tier of a price.
#[derive(Clone, Debug, SimpleObject)]
pub struct Tier {
    /// The last unit in it, inclusive; none for the last tier.
    pub up_to: Option<String>,
    /// Per unit.
    pub unit: String,
    /// Once, when the tier is reached.
    pub flat: String,
}

impl From<&plan::Tier> for Tier {
    fn from(tier: &plan::Tier) -> Self {
        Self {
            up_to: tier.up_to.map(|it| it.to_string()),
            unit: tier.unit.to_string(),
            flat: tier.flat.to_string(),
        }
    }
}

impl From<&plan::Price> for Price {
    fn from(price: &plan::Price) -> Self {
        let text = |meter: &domain::meter::MeterKey| meter.as_str().to_owned();
        let all = |tiers: &[plan::Tier]| tiers.iter().map(Tier::from).collect();
        match price {
            plan::Price::Flat { unit, quantity } => {
                Self::Flat(FlatPrice { unit: unit.to_string(), quantity: quantity.to_string() })
            }
            plan::Price::PerUnit { meter, unit } => {
                Self::PerUnit(PerUnitPrice { meter: text(meter), unit: unit.to_string() })
            }
            plan::Price::Graduated { meter, tiers } => {
                Self::Graduated(GraduatedPrice { meter: text(meter), tiers: all(tiers) })
            }
            plan::Price::Volume { meter, tiers } => {
                Self::Volume(VolumePrice { meter: text(meter), tiers: all(tiers) })
            }
            plan::Price::Package { meter, size, free, unit } => Self::Package(PackagePrice {
                meter: text(meter),
                size: size.to_string(),
                free: free.to_string(),
                unit: unit.to_string(),
            }),
        }
    }
}

/// A limit that a plan sets.
#[derive(Clone, Debug, SimpleObject)]
pub struct Quota {
    /// The meter whose usage in a period is limited; the number of entities if none.
    pub meter: Option<String>,
    /// The most there may be.
    pub limit: String,
    /// What happens at the limit.
    pub enforcement: QuotaEnforcement,
}

impl From<&plan::Quota> for Quota {
    fn from(quota: &plan::Quota) -> Self {
        let meter = match &quota.of {
            plan::QuotaOf::Usage { meter } => Some(meter.as_str().to_owned()),
            plan::QuotaOf::Entities => None,
        };
        let limit = quota.limit.to_string();
        Self { meter, limit, enforcement: quota.enforcement.into() }
    }
}
