//! What stands for something of a member, as it is written: `cb?_<tenant>_<sealed>`, where what is sealed
//! is an actor and a secret. API keys (`cbk_`), sessions (`cbt_`) and invites (`cbi_`) look like this.
//!
//! Only this installation can have sealed it, which is told without looking anything up, so nobody
//! makes it look for what never was. Whether it is still good for anything is known by the write
//! side, which knows a digest of the text. The prefix is for those who scan texts for what should not
//! be in them.

use commands::SecretOf;
use domain::id::{ActorId, TenantId};
use uuid::Uuid;
use vault::Keyring;

/// Something that this installation has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Whose it is.
    pub tenant: TenantId,
    /// The actor that it is, if it is an API key; else the member whom it is about.
    pub actor: ActorId,
}

/// What every text of this kind begins with.
pub(crate) const fn prefix(of: SecretOf) -> &'static str {
    match of {
        SecretOf::ApiKey => "cbk_",
        SecretOf::Session => "cbt_",
        SecretOf::Invite => "cbi_",
    }
}

impl Secret {
    /// A new text, for whom it is given to.
    #[must_use]
    pub fn draw(keyring: &Keyring, of: SecretOf, tenant: TenantId, actor: ActorId) -> String {
        // Not even who has the root key can guess it.
        let secret = vault::random_bytes::<32>();
        let content = [actor.0.as_bytes().as_slice(), &secret].concat();
        let sealed = keyring.bind(of.name(), tenant, &content);
        format!("{}{}_{sealed}", prefix(of), tenant.0.as_simple())
    }

    /// What this text stands for; none if this installation has not made it, or not as `of`.
    #[must_use]
    pub fn read(keyring: &Keyring, of: SecretOf, text: &str) -> Option<Self> {
        let (tenant, sealed) = text.strip_prefix(prefix(of))?.split_once('_')?;
        // One has one spelling.
        let is_digit = |it| matches!(it, b'0'..=b'9' | b'a'..=b'f');
        let tenant = Some(tenant).filter(|it| it.len() == 32 && it.bytes().all(is_digit))?;
        let tenant = TenantId(Uuid::try_parse(tenant).ok()?);
        let content = keyring.unbind(of.name(), tenant, sealed).ok()?;
        let actor = ActorId(Uuid::from_bytes(*content.first_chunk()?));
        Some(Self { tenant, actor })
    }
}

#[cfg(test)]
mod tests;
