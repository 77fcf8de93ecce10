//! The tamper-evident chain: one hash per record, each over the one before.
//!
//! `chain[n] = SHA-256(chain[n−1] ‖ canonical[n])`, one chain per tenant, starting from 32 zero
//! bytes. Offsets, trace context and the link itself are not covered. Test vectors are in
//! `schemas/chain-vectors.json`.

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use crate::record::{Attribute, Record};

#[cfg(test)]
mod tests;

/// One link of a tenant's chain: 32 bytes that stand for its whole history up to a record.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Link(pub [u8; 32]);

impl Link {
    /// What the first record of a tenant is chained to.
    pub const GENESIS: Self = Self([0; 32]);

    /// The link of the record with these `canonical` bytes, coming right after `self`.
    #[must_use]
    pub fn then(self, canonical: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(canonical);
        let digest = context.finish();
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|it| write!(f, "{it:02x}"))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

/// Checks records, in the order of the log, against the chains of their tenants.
#[derive(Clone, Debug, Default)]
pub struct Chains(HashMap<Box<str>, (u64, Link)>);

/// Where a tenant's chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A record is missing, doubled or out of place.
    #[error("tenant {tenant} has sequence `{found}` where {expected} is due")]
    Sequence {
        /// Whose chain it is.
        tenant: String,
        /// The sequence that is due.
        expected: u64,
        /// What the record says.
        found: String,
    },
    /// A record, or one before it, is not what was chained.
    #[error(
        "the link of tenant {tenant} at sequence {sequence} does not follow from the one before"
    )]
    Link {
        /// Whose chain it is.
        tenant: String,
        /// Which of its records.
        sequence: u64,
    },
}

impl Chains {
    /// Takes the next record of the log.
    ///
    /// # Errors
    ///
    /// [`Broken`] if it does not follow the record of its tenant that was taken before it, or,
    /// as the first of its tenant, does not begin a chain.
    pub fn follow(&mut self, record: &Record) -> Result<(), Broken> {
        let tenant = record.attribute(Attribute::Tenant);
        let (before, link) = self.0.get(tenant).copied().unwrap_or_default();
        let sequence = before + 1;
        let found = record.attribute(Attribute::Sequence);
        if found.parse() != Ok(sequence) {
            let (tenant, found) = (tenant.to_owned(), found.to_owned());
            return Err(Broken::Sequence { tenant, expected: sequence, found });
        }
        if link.then(record.canonical()) != record.link() {
            return Err(Broken::Link { tenant: tenant.to_owned(), sequence });
        }
        match self.0.get_mut(tenant) {
            Some(last) => *last = (sequence, record.link()),
            None => drop(self.0.insert(tenant.into(), (sequence, record.link()))),
        }
        Ok(())
    }

    /// How many tenants were met.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.0.len()
    }
}
