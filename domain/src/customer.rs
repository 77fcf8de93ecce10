//! A billing account: who buys. The first of a tenant is the tenant itself, buying from the
//! operator; others are its own customers or cost centres.

use serde::{Deserialize, Serialize};

use crate::personal::Personal;
use crate::quantity::Currency;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The account exists.
    #[serde(rename = "customer.opened.v1")]
    Opened {
        /// What it is to the tenant.
        role: Role,
        /// What it is called.
        name: Personal,
        /// Where invoices go: an e-mail address.
        contact: Option<Personal>,
        /// The currency it is billed in.
        currency: Currency,
        /// The zone of its billing periods, an IANA name.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
