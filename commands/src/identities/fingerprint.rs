//! What is kept of a usage entry: a keyed hash of its identity and one of its content.
//!
//! The identity's is SipHash-2-4 with 128 bits under a secret key from the vault. Two of 10¹⁰
//! identities share one with a probability below 10⁻¹⁸, less than that of a disk returning
//! wrong bytes with a right checksum; nobody without the key can look for such a pair. The
//! content's has 64 bits: it is compared only where the identity is the same, and a wrong
//! answer there (one in 10¹⁹) reports a conflict as a duplicate. Neither counts twice.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use domain::id::TenantId;
use siphasher::sip128::{Hasher128, SipHasher24};

/// What is kept of a usage entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// The keyed hash of (tenant, source, id).
    pub identity: u128,
    /// The keyed hash of everything else.
    pub content: u64,
}

/// Makes fingerprints under one key.
#[derive(Clone, Copy)]
pub struct Fingerprinter(SipHasher24);

impl std::fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprinter(…)")
    }
}

impl Fingerprinter {
    /// Under this key, from [`vault::Keyring::identity_key`].
    #[must_use]
    pub fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher24::new_with_key(key))
    }

    /// The fingerprint of an entry; `content` is everything that must be equal in a repetition.
    #[must_use]
    pub fn of(&self, tenant: TenantId, source: &str, id: &str, content: &[u8]) -> Fingerprint {
        let parts = [tenant.0.as_bytes().as_slice(), source.as_bytes(), id.as_bytes()];
        let identity = self.hash("identity", &parts);
        let (content, _) = self.hash("content", &[content]).as_u64();
        Fingerprint { identity: identity.as_u128(), content }
    }

    /// Tells this key from others without showing it.
    pub(super) fn check(&self) -> u64 {
        self.hash("key check", &[]).as_u64().0
    }

    fn hash(&self, purpose: &str, parts: &[&[u8]]) -> siphasher::sip128::Hash128 {
        let mut hasher = self.0;
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            hasher.write(&part.len().to_le_bytes());
            hasher.write(part);
        }
        hasher.finish128()
    }
}

/// Fingerprints in memory, content by identity.
pub(super) type Table = HashMap<u128, u64, BuildHasherDefault<Prehashed>>;

/// The bytes a table takes: a slot and a control byte for each bucket, of which 7 in 8 are used.
pub(super) fn table_bytes(table: &Table) -> u64 {
    let buckets = table.capacity() / 7 * 8;
    let bytes = buckets * (size_of::<(u128, u64)>() + 1);
    u64::try_from(bytes).expect("a size fits 64 bits")
}

/// Takes a keyed hash for its own hash.
#[derive(Debug, Default)]
pub(super) struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only identities are hashed, and they are one integer")
    }

    fn write_u128(&mut self, identity: u128) {
        self.0 = halves(identity).1;
    }
}

/// The upper and the lower 64 bits.
pub(super) fn halves(identity: u128) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, rest @ ..] = identity.to_be_bytes();
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes(rest))
}

#[cfg(test)]
mod tests;
