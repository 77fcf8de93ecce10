//! The tamper-evident chain: one hash per record, each over the one before.
//!
//! `chain[n] = SHA-256(chain[n−1] ‖ canonical[n])`, one chain per tenant, starting from 32 zero
//! bytes. Offsets, trace context and the link itself are not covered. Test vectors are in
//! `schemas/chain-vectors.json`.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

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
