//! API keys as they are written: `cbk_<tenant>_<sealed>`, where what is sealed is the actor that the
//! key is and a secret.
//!
//! Only this installation can have sealed it, which is told without looking anything up, so nobody
//! makes it look for keys that never were. Whether a key is still good for anything is known by
//! the write side, which knows a digest of its text. The prefix is for those who scan texts for
//! what should not be in them.

use domain::id::{ActorId, TenantId};
use uuid::Uuid;
use vault::Keyring;

/// What every key begins with.
pub(crate) const PREFIX: &str = "cbk_";

const PURPOSE: &str = "api-key";

/// A key that this installation has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// The actor that it is.
    pub actor: ActorId,
}

impl ApiKey {
    /// A new key of `tenant`, and its text for whom it is given to.
    #[must_use]
    pub fn draw(keyring: &Keyring, tenant: TenantId) -> (Self, String) {
        let actor = ActorId(Uuid::now_v7());
        // Not even who has the root key can guess it.
        let secret = vault::random_bytes::<32>();
        let content = [actor.0.as_bytes().as_slice(), &secret].concat();
        let sealed = keyring.bind(PURPOSE, tenant, &content);
        let text = format!("{PREFIX}{}_{sealed}", tenant.0.as_simple());
        (Self { tenant, actor }, text)
    }

    /// The key of this text; none if this installation has not made it.
    pub(crate) fn read(keyring: &Keyring, text: &str) -> Option<Self> {
        let (tenant, sealed) = text.strip_prefix(PREFIX)?.split_once('_')?;
        // One key has one spelling.
        let is_digit = |it| matches!(it, b'0'..=b'9' | b'a'..=b'f');
        let tenant = Some(tenant).filter(|it| it.len() == 32 && it.bytes().all(is_digit))?;
        let tenant = TenantId(Uuid::try_parse(tenant).ok()?);
        let content = keyring.unbind(PURPOSE, tenant, sealed).ok()?;
        let actor = ActorId(Uuid::from_bytes(*content.first_chunk()?));
        Some(Self { tenant, actor })
    }
}

#[cfg(test)]
mod tests;
