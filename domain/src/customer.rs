//! A billing account: who buys. The first of a tenant is the tenant itself, buying from the
//! operator; others are its own customers or cost centres.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::personal::{Digest, Personal};
use crate::quantity::Currency;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// The account exists.
    #[cfg_attr(not(feature = "next"), serde(rename = "customer.opened.v1"))]
    #[cfg_attr(feature = "next", serde(rename = "customer.opened.v2"))]
    Opened {
        /// What it is to the tenant.
        role: Role,
        /// What it is called.
        name: Personal,
        /// Where invoices go: an e-mail address.
        contact: Option<Personal>,
        /// The currency it is billed in.
        #[cfg_attr(feature = "next", serde(rename = "billed_in"))]
        currency: Currency,
        /// The zone of its billing periods, an IANA name.
        #[schemars(with = "String")]
        time_zone: chrono_tz::Tz,
    },
    /// Its name or contact changed.
    #[serde(rename = "customer.changed.v1")]
    Changed {
        /// The name from now on.
        name: Personal,
        /// The contact from now on.
        contact: Option<Personal>,
    },
    /// It can no longer buy.
    #[serde(rename = "customer.closed.v1")]
    Closed {},
}

/// What an account is to its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "CustomerRole")]
pub enum Role {
    /// The tenant itself, buying from the operator of the installation.
    Itself,
    /// A customer of the tenant.
    Customer,
    /// A part of the tenant that usage is shown back to.
    CostCentre,
}

impl Event {
    /// Every personal text in the event.
    pub fn personal_mut(&mut self) -> Vec<&mut Personal> {
        match self {
            Self::Opened { name, contact, .. } | Self::Changed { name, contact } => {
                std::iter::once(name).chain(contact).collect()
            }
            Self::Closed {} => Vec::new(),
        }
    }
}

/// What is true now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Customer {
    /// Nothing happened yet.
    #[default]
    NotOpened,
    /// It can buy.
    Open(Account),
    /// It can no longer buy.
    Closed(Account),
}

/// What a billing account is. Personal texts are known by their digests only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What it is to the tenant.
    pub role: Role,
    /// Stands for its name.
    pub name: Digest,
    /// Stands for its contact.
    pub contact: Option<Digest>,
    /// The currency it is billed in.
    pub currency: Currency,
    /// The zone of its billing periods.
    pub time_zone: chrono_tz::Tz,
}

/// Whether an account can buy, for the decisions of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// There is no such account.
    NotOpened,
    /// It can buy.
    Open,
    /// It can no longer buy.
    Closed,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Open the account.
    Open {
        /// What it is to the tenant.
        role: Role,
        /// What it is called.
        name: Personal,
        /// An e-mail address for invoices.
        contact: Option<Personal>,
        /// The currency it is billed in.
        currency: Currency,
        /// The zone of its billing periods.
        time_zone: chrono_tz::Tz,
    },
    /// Change its name and contact.
    Change {
        /// The name from now on.
        name: Personal,
        /// The contact from now on.
        contact: Option<Personal>,
    },
    /// Close it.
    Close {
        /// Fact: how many of its subscriptions are not over.
        running: usize,
    },
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such account.
    #[error("the billing account does not exist")]
    NotOpened,
    /// It was opened otherwise.
    #[error("the billing account is open already, with other data")]
    AlreadyOpened,
    /// It is closed.
    #[error("the billing account is closed")]
    Closed,
    /// It is the tenant itself, which has an account as long as it exists.
    #[error("the tenant's own billing account cannot be closed; close the tenant")]
    Itself,
    /// It still has subscriptions.
    #[error("the billing account has {0} running subscriptions; cancel them first")]
    Running(usize),
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOpened => "CUSTOMER_NOT_FOUND",
            Self::AlreadyOpened => "CUSTOMER_EXISTS",
            Self::Closed => "CUSTOMER_CLOSED",
            Self::Itself => "CUSTOMER_IS_TENANT",
            Self::Running(_) => "CUSTOMER_HAS_SUBSCRIPTIONS",
        }
    }
}

impl Customer {
    /// Whether it can buy.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            Self::NotOpened => Standing::NotOpened,
            Self::Open(_) => Standing::Open,
            Self::Closed(_) => Standing::Closed,
        }
    }

    /// What it is; none before it is opened.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::NotOpened => None,
            Self::Open(account) | Self::Closed(account) => Some(account),
        }
    }
}

impl Account {
    fn new(
        role: Role,
        name: &Personal,
        contact: Option<&Personal>,
        currency: Currency,
        time_zone: chrono_tz::Tz,
    ) -> Self {
        let contact = contact.map(|it| it.digest);
        Self { role, name: name.digest, contact, currency, time_zone }
    }
}

impl Aggregate for Customer {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        use Customer::{Closed, NotOpened, Open};

        match (self, command) {
            (NotOpened, Command::Open { role, name, contact, currency, time_zone }) => {
                Ok(vec![Event::Opened {
                    role: *role,
                    name: name.clone(),
                    contact: contact.clone(),
                    currency: *currency,
                    time_zone: *time_zone,
                }])
            }
            (NotOpened, Command::Change { .. } | Command::Close { .. }) => {
                Err(Rejection::NotOpened)
            }

            (Open(account), Command::Open { role, name, contact, currency, time_zone }) => {
                let asked = Account::new(*role, name, contact.as_ref(), *currency, *time_zone);
                if *account == asked { Ok(Vec::new()) } else { Err(Rejection::AlreadyOpened) }
            }
            (Open(account), Command::Change { name, contact }) => {
                let asked = (name.digest, contact.as_ref().map(|it| it.digest));
                if (account.name, account.contact) == asked {
                    Ok(Vec::new())
                } else {
                    Ok(vec![Event::Changed { name: name.clone(), contact: contact.clone() }])
                }
            }
            (Open(Account { role: Role::Itself, .. }), Command::Close { .. }) => {
                Err(Rejection::Itself)
            }
            (Open(_), Command::Close { running: 0 }) => Ok(vec![Event::Closed {}]),
            (Open(_), Command::Close { running }) => Err(Rejection::Running(*running)),

            (Closed(_), Command::Open { .. } | Command::Change { .. }) => Err(Rejection::Closed),
            (Closed(_), Command::Close { .. }) => Ok(Vec::new()),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Opened { role, name, contact, currency, time_zone } => {
                let contact = contact.as_ref();
                *self = Self::Open(Account::new(*role, name, contact, *currency, *time_zone));
            }
            Event::Changed { name, contact } => {
                if let Self::Open(account) | Self::Closed(account) = self {
                    account.name = name.digest;
                    account.contact = contact.as_ref().map(|it| it.digest);
                }
            }
            Event::Closed {} => {
                if let Self::Open(account) = self {
                    *self = Self::Closed(account.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
