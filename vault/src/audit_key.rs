//! The keys that sign what the trees of tenants are (Ed25519): an installation's word for its audit trails.
//!
//! They are never the issuer's, so nobody who can make tokens can rewrite history, and are replaced by their own
//! rule: a new one signs from then on, and those before stay, so that what they signed can still be
//! verified. What is signed, and how a signer is called, is said by whoever signs.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

/// How many there can be: 32, enough to replace it every year.
pub const AUDIT_KEYS_MAX: u32 = 32;

/// One of them.
pub struct AuditKey {
    generation: u32,
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl std::fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditKey").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl AuditKey {
    /// A new key pair as PKCS#8, to be stored.
    pub(crate) fn generate() -> Zeroizing<Vec<u8>> {
        let pair = Ed25519KeyPair::generate().expect("the operating system gives random bytes");
        let pkcs8 = pair.to_pkcs8().expect("a generated key can be encoded");
        Zeroizing::new(pkcs8.as_ref().to_vec())
    }

    /// The key pair in `pkcs8`; none if there is no Ed25519 key in it.
    pub(crate) fn new(generation: u32, pkcs8: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { generation, pair, public })
    }

    /// Which one it is, from 1.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }

    /// Its signature of `text`: the same for the same text.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.pair.sign(text).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}
