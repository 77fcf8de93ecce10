//! One symmetric key in memory and the two things done with it: seal and open.
//!
//! The key's schedule lives in memory that aws-lc clears when it is freed. Sealed bytes are
//! nonce (12), ciphertext, tag (16).

use aws_lc_rs::aead::{
    AES_256_GCM, AES_256_GCM_SIV, Aad, Algorithm, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce,
    UnboundKey,
};
use aws_lc_rs::{hkdf, rand};
use zeroize::Zeroizing;

/// The length of every symmetric key here. In bytes: 32, for AES-256 and HMAC-SHA-256.
pub(crate) const KEY_BYTES: usize = 32;

/// Key material; cleared when dropped.
pub(crate) type Secret = Zeroizing<[u8; KEY_BYTES]>;

/// A fresh random key.
pub(crate) fn random_secret() -> Secret {
    let mut secret = Secret::default();
    fill(secret.as_mut_slice());
    secret
}

/// A key for one use, derived from `secret` (HKDF-Expand of RFC 5869: the secret is uniform, so
/// nothing is to be extracted).
pub(crate) fn derive(secret: &Secret, usage: &str) -> Secret {
    let mut derived = Secret::default();
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret.as_slice())
        .expand(&[b"callboard-v1 ", usage.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|it| it.fill(derived.as_mut_slice()))
        .expect("one hash of output is within the limits of HKDF");
    derived
}

/// Bytes that nobody can guess, from the operating system.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

pub(crate) fn fill(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the operating system gives random bytes");
}

/// An authenticated cipher under one key.
pub(crate) struct Cipher(LessSafeKey);

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher(…)")
    }
}

impl Cipher {
    /// AES-256-GCM, for keys that seal far fewer than 2³² texts: nonces are random.
    pub(crate) fn gcm(secret: &Secret) -> Self {
        Self::new(&AES_256_GCM, secret)
    }

    /// AES-256-GCM-SIV (RFC 8452), for keys that seal without a limit: a repeated nonce would
    /// show that two texts are equal, and nothing else.
    pub(crate) fn gcm_siv(secret: &Secret) -> Self {
        Self::new(&AES_256_GCM_SIV, secret)
    }

    fn new(algorithm: &'static Algorithm, secret: &Secret) -> Self {
        let key = UnboundKey::new(algorithm, secret.as_slice());
        Self(LessSafeKey::new(key.expect("the key has the algorithm's length")))
    }

    /// Seals `plain` under a random nonce, bound to `context`.
    pub(crate) fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        fill(&mut nonce);
        self.seal_with(nonce, context, plain)
    }

    /// Seals `plain` under `nonce`, bound to `context`.
    pub(crate) fn seal_with(
        &self,
        nonce: [u8; NONCE_LEN],
        context: &[u8],
        plain: &[u8],
    ) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + MAX_TAG_LEN);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(context), &mut sealed[NONCE_LEN..])
            .expect("texts are far below the cipher's limit of 64 GiB");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what was sealed with the same key and context; none if it was not.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(context), &mut body).ok()?.len();
        body.truncate(length);
        Some(body)
    }
}
