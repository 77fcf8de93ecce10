//! The local issuer's signing key (Ed25519), which signs the installation's own tokens.
//!
//! It is kept in the vault, wrapped under the root key, and not as a file of its own: one
//! secret file to protect instead of two, and every process of an installation finds the same
//! key. The tokens themselves are made and verified where callers come in, not here.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// An Ed25519 key pair and the name verifiers know it by.
pub struct Issuer {
    key_id: String,
    pkcs8: Zeroizing<Vec<u8>>,
    public: [u8; 32],
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Issuer {
    /// A new key pair as PKCS#8, to be stored.
    pub(crate) fn generate() -> Zeroizing<Vec<u8>> {
        let pair = Ed25519KeyPair::generate().expect("the operating system gives random bytes");
        let pkcs8 = pair.to_pkcs8().expect("a generated key can be encoded");
        Zeroizing::new(pkcs8.as_ref().to_vec())
    }

    /// The key pair in `pkcs8`; none if there is no Ed25519 key in it.
    pub(crate) fn new(pkcs8: Zeroizing<Vec<u8>>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).ok()?;
        let public: [u8; 32] = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { key_id: thumbprint(&public), pkcs8, public })
    }

    /// The key's name, for a token's `kid`: its JWK thumbprint (RFC 7638, RFC 8037 §2).
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The private key as PKCS#8 DER, as `jsonwebtoken::EncodingKey::from_ed_der` takes it.
    #[must_use]
    pub fn private_key(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key, 32 bytes, as `jsonwebtoken::DecodingKey::from_ed_der` takes it.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public
    }
}

fn thumbprint(public: &[u8; 32]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes()))
}

#[cfg(test)]
mod tests;
