//! Opaque tokens: bytes that leave us and come back, bound to a purpose and a tenant.
//!
//! Cursors and position tokens are made of them. A holder can neither read nor change one, nor
//! use it for another tenant or purpose. The same bytes give the same token, so an answer that
//! is repeated is repeated to the byte; equality is all a token shows.

use aws_lc_rs::aead::NONCE_LEN;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::TenantId;

use crate::cipher::{Cipher, Secret, derive};

/// The token was not issued by this installation for this purpose and tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token was not issued for this use")]
pub struct NotOurs;

/// The installation's keys for tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    nonces: hmac::Key,
    cipher: Cipher,
}

impl Tokens {
    pub(crate) fn new(master: &Secret) -> Self {
        let nonces = derive(master, "token nonce");
        Self {
            nonces: hmac::Key::new(hmac::HMAC_SHA256, nonces.as_slice()),
            cipher: Cipher::gcm_siv(&derive(master, "token")),
        }
    }

    pub(crate) fn bind(&self, purpose: &str, tenant: TenantId, bytes: &[u8]) -> String {
        let context = context(purpose, tenant);
        let mut mac = hmac::Context::with_key(&self.nonces);
        let length = u64::try_from(context.len()).expect("a length fits 64 bits");
        mac.update(&length.to_be_bytes());
        mac.update(&context);
        mac.update(bytes);
        let mac = mac.sign();
        let nonce = mac.as_ref().first_chunk::<NONCE_LEN>().expect("a digest has 32 bytes");
        URL_SAFE_NO_PAD.encode(self.cipher.seal_with(*nonce, &context, bytes))
    }

    pub(crate) fn unbind(
        &self,
        purpose: &str,
        tenant: TenantId,
        token: &str,
    ) -> Result<Vec<u8>, NotOurs> {
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| NotOurs)?;
        self.cipher.open(&context(purpose, tenant), &sealed).ok_or(NotOurs)
    }
}

fn context(purpose: &str, tenant: TenantId) -> Vec<u8> {
    [tenant.0.as_bytes(), purpose.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
