//! The terms of a plan as a caller writes them.

use async_graphql::{Enum, InputObject, OneofObject};
use domain::calendar::{Interval, Unit};
use domain::plan::{Enforcement, Item, Price, Quota, QuotaOf, Terms, Tier};

/// What a plan version says.
#[derive(Clone, Debug, InputObject)]
pub struct TermsInput {
    /// What the plan is called.
    pub name: String,
    /// The currency of every price in it, an ISO 4217 code.
    pub currency: String,
    /// How long a billing period is.
    pub interval: IntervalInput,
    /// What is charged for.
    pub items: Vec<ItemInput>,
    /// What is limited.
    #[graphql(default)]
    pub quotas: Vec<QuotaInput>,
    /// Days before anything is billed.
    #[graphql(default)]
    pub trial_days: u32,
}

/// How long a billing period is.
#[derive(Clone, Debug, InputObject)]
pub struct IntervalInput {
    /// The unit.
    pub unit: IntervalUnit,
    /// How many of it.
    #[graphql(default = 1)]
    pub count: u32,
}

/// A unit of the civil calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Unit")]
pub enum IntervalUnit {
    /// A civil day.
    Day,
    /// Seven civil days.
    Week,
    /// A calendar month.
    Month,
    /// Twelve calendar months.
    Year,
}

/// One thing a plan charges for.
#[derive(Clone, Debug, InputObject)]
pub struct ItemInput {
    /// Names the item within the plan, across versions.
    pub key: String,
    /// What the invoice line says.
    pub description: String,
    /// How it is priced.
    pub price: PriceInput,
}

/// How an item is priced. Amounts are decimal texts in major units.
#[derive(Clone, Debug, OneofObject)]
pub enum PriceInput {
    /// A fixed amount per period, in advance.
    Flat(FlatInput),
    /// An amount per unit used.
    PerUnit(PerUnitInput),
    /// Each unit at the price of its tier.
    Graduated(TieredInput),
    /// All units at the price of the tier that contains the quantity.
    Volume(TieredInput),
    /// An amount per started package.
    Package(PackageInput),
}

/// A fixed amount per period.
#[derive(Clone, Debug, InputObject)]
pub struct FlatInput {
    /// Per unit.
    pub unit: String,
    /// How many.
    #[graphql(default_with = "\"1\".to_owned()")]
    pub quantity: String,
}

/// An amount per unit used.
#[derive(Clone, Debug, InputObject)]
pub struct PerUnitInput {
    /// What is counted, by key.
    pub meter: String,
    /// Per unit.
    pub unit: String,
}

/// Prices by tier.
#[derive(Clone, Debug, InputObject)]
pub struct TieredInput {
    /// What is counted, by key.
    pub meter: String,
    /// In order; only the last has no end.
    pub tiers: Vec<TierInput>,
}

/// One tier of a price.
#[derive(Clone, Debug, InputObject)]
pub struct TierInput {
    /// The last unit in it, inclusive; none for the last tier.
    pub up_to: Option<String>,
    /// Per unit.
    pub unit: String,
    /// Once, when the tier is reached.
    #[graphql(default_with = "\"0\".to_owned()")]
    pub flat: String,
}

/// An amount per started package.
#[derive(Clone, Debug, InputObject)]
pub struct PackageInput {
    /// What is counted, by key.
    pub meter: String,
    /// Units in a package.
    pub size: String,
    /// Units that cost nothing.
    #[graphql(default_with = "\"0\".to_owned()")]
    pub free: String,
    /// Per package.
    pub unit: String,
}

/// A limit that a plan sets.
#[derive(Clone, Debug, InputObject)]
pub struct QuotaInput {
    /// The meter whose usage in a period is limited; the number of entities if none.
    pub meter: Option<String>,
    /// The most there may be.
    pub limit: String,
    /// What happens at the limit.
    #[graphql(default_with = "QuotaEnforcement::Hard")]
    pub enforcement: QuotaEnforcement,
}

/// What happens at a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Enforcement")]
pub enum QuotaEnforcement {
    /// What would exceed it is refused, whole.
    Hard,
    /// It is only reported.
    Soft,
}

/// Where the input is malformed, and how.
type Malformed = (String, String);

impl TermsInput {
    /// The terms, if every text in them can be read; whether they make sense is judged elsewhere.
    ///
    /// # Errors
    ///
    /// The path of the first text that cannot be read, and why.
    pub fn read(self) -> Result<Terms, Malformed> {
        let items = self.items.into_iter().enumerate();
        let quotas = self.quotas.into_iter().enumerate();
        Ok(Terms {
            name: self.name,
            currency: read("terms.currency", &self.currency)?,
            interval: Interval {
                unit: self.interval.unit.into(),
                count: small("terms.interval.count", self.interval.count)?,
            },
            items: items
                .map(|(index, it)| it.read(&format!("terms.items[{index}]")))
                .collect::<Result<_, _>>()?,
            quotas: quotas
                .map(|(index, it)| it.read(&format!("terms.quotas[{index}]")))
                .collect::<Result<_, _>>()?,
            trial_days: small("terms.trialDays", self.trial_days)?,
        })
    }
}

fn read<T>(path: &str, text: &str) -> Result<T, Malformed>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| (path.to_owned(), error.to_string()))
}

fn small(path: &str, number: u32) -> Result<u16, Malformed> {
    let wrong = |_| (path.to_owned(), format!("expected at most {}, got {number}", u16::MAX));
    number.try_into().map_err(wrong)
}

impl ItemInput {
    fn read(self, path: &str) -> Result<Item, Malformed> {
        let price = self.price.read(&format!("{path}.price"))?;
        Ok(Item { key: self.key, description: self.description, price })
    }
}

impl PriceInput {
    fn read(self, path: &str) -> Result<Price, Malformed> {
        Ok(match self {
            Self::Flat(it) => Price::Flat {
                unit: read(&format!("{path}.flat.unit"), &it.unit)?,
                quantity: read(&format!("{path}.flat.quantity"), &it.quantity)?,
            },
            Self::PerUnit(it) => Price::PerUnit {
                meter: read(&format!("{path}.perUnit.meter"), &it.meter)?,
                unit: read(&format!("{path}.perUnit.unit"), &it.unit)?,
            },
            Self::Graduated(it) => {
                let path = format!("{path}.graduated");
                Price::Graduated { meter: it.meter(&path)?, tiers: it.tiers(&path)? }
            }
            Self::Volume(it) => {
                let path = format!("{path}.volume");
                Price::Volume { meter: it.meter(&path)?, tiers: it.tiers(&path)? }
            }
            Self::Package(it) => Price::Package {
                meter: read(&format!("{path}.package.meter"), &it.meter)?,
                size: read(&format!("{path}.package.size"), &it.size)?,
                free: read(&format!("{path}.package.free"), &it.free)?,
                unit: read(&format!("{path}.package.unit"), &it.unit)?,
            },
        })
    }
}

impl TieredInput {
    fn meter(&self, path: &str) -> Result<domain::meter::MeterKey, Malformed> {
        read(&format!("{path}.meter"), &self.meter)
    }

    fn tiers(&self, path: &str) -> Result<Vec<Tier>, Malformed> {
        let tiers = self.tiers.iter().enumerate().map(|(index, it)| {
            let path = format!("{path}.tiers[{index}]");
            let up_to = it.up_to.as_deref().map(|it| read(&format!("{path}.upTo"), it));
            Ok(Tier {
                up_to: up_to.transpose()?,
                unit: read(&format!("{path}.unit"), &it.unit)?,
                flat: read(&format!("{path}.flat"), &it.flat)?,
            })
        });
        tiers.collect()
    }
}

impl QuotaInput {
    fn read(self, path: &str) -> Result<Quota, Malformed> {
        let of = match self.meter {
            Some(meter) => QuotaOf::Usage { meter: read(&format!("{path}.meter"), &meter)? },
            None => QuotaOf::Entities,
        };
        let limit = read(&format!("{path}.limit"), &self.limit)?;
        Ok(Quota { of, limit, enforcement: self.enforcement.into() })
    }
}
