//! The first account of an installation: whoever reads its console makes it, once.
//!
//! Until anybody has an account in the system tenant each start prints a token, of which the vault
//! has a digest. The member whom it makes is named before, so that whoever repeats what was
//! interrupted adds nobody twice.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{ActorId, TenantId};
use domain::personal::Digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vault::{Changes, Committed, Keyring, KeyringError, Known, RecordKind, TenantKeys, Version};

use super::{AccountFault, Accounts, Unset, read, written};

/// What every setup token begins with.
const PREFIX: &str = "cbs_";

/// How long one is good. In minutes: 30.
pub const SETUP_LASTS: TimeDelta = TimeDelta::minutes(30);

/// The one record of its kind.
const NAME: (RecordKind, &str) = (RecordKind::Setup, "first-account");

/// How far the first account is, as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
enum Stored {
    /// Whoever has the token makes it.
    Open {
        /// The member whose account it will be.
        member: ActorId,
        /// The keyed digest of the token.
        token: Digest,
        /// When the token ends.
        ends_at: DateTime<Utc>,
    },
    /// Somebody has an account.
    Done,
}

/// A token that is good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// The member whom it makes.
    pub(crate) member: ActorId,
    /// The state in which it is.
    pub(crate) version: Version,
}

/// Whoever holds the root key, as the command line or at the console, acts as this.
///
/// # Errors
///
/// If the keys cannot be read, or if there are none: the first start of an installation makes them, and
/// nobody else.
pub async fn console(keyring: &Keyring) -> Result<ActorId, KeyringError> {
    Ok(keyring.existing(TenantId::SYSTEM).await?.actor_id("callboard", "command-line"))
}

/// A new setup token for the console, if nobody has an account in the system tenant; no other one is
/// good any more. None, too, if another process has made one at this moment.
///
/// # Errors
///
/// A fault of the vault.
pub async fn offer_setup(keyring: &Keyring) -> Result<Option<String>, AccountFault> {
    let (keys, now) = (keyring.existing(TenantId::SYSTEM).await?, Utc::now());
    let known = keyring.records().get(&keys, NAME, now).await?;
    let member = match known.as_ref().map(read).transpose()? {
        Some(Stored::Done) => return Ok(None),
        Some(Stored::Open { member, .. }) => member,
        None => ActorId(Uuid::now_v7()),
    };
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(vault::random_bytes::<32>()));
    let open = Stored::Open { member, token: digest(&keys, &text), ends_at: now + SETUP_LASTS };
    let before = known.map(|it| it.version);
    let changes = Changes::of(&keys).put(NAME, before, &written(&open), None);
    match keyring.records().commit(&changes, now).await? {
        Committed::Whole => Ok(Some(text)),
        Committed::Conflict => Ok(None),
    }
}

fn digest(keys: &TenantKeys, text: &str) -> Digest {
    keys.digest("setup-token", text)
}

impl Accounts {
    /// What a setup token opens; none if it is none, or not good any more.
    ///
    /// # Errors
    ///
    /// A fault of the vault.
    pub(crate) async fn opening(&self, text: &str) -> Result<Option<Opening>, AccountFault> {
        let keys = self.keyring.existing(TenantId::SYSTEM).await?;
        let Some((Stored::Open { member, token, ends_at }, known)) = self.setup(&keys).await?
        else {
            return Ok(None);
        };
        // Who cannot make the digest learns nothing from how long it is compared.
        let is_good = token == digest(&keys, text) && self.clock.now() < ends_at;
        Ok(is_good.then_some(Opening { member, version: known.version }))
    }

    /// And no setup token is good any more: if `expected` is given, only if the record is in that
    /// state.
    pub(super) async fn close_setup(
        &self,
        changes: Changes,
        keys: &TenantKeys,
        expected: Option<Version>,
    ) -> Result<Changes, Unset> {
        let known = self.setup(keys).await?;
        let version = known.as_ref().map(|it| it.1.version);
        if expected.is_some() && expected != version {
            return Err(Unset::Used);
        }
        match known {
            Some((Stored::Done, _)) => Ok(changes),
            Some((Stored::Open { .. }, _)) | None => {
                Ok(changes.put(NAME, version, &written(&Stored::Done), None))
            }
        }
    }

    async fn setup(&self, keys: &TenantKeys) -> Result<Option<(Stored, Known)>, AccountFault> {
        let known = self.get(keys, NAME).await?;
        known.map(|it| Ok((read(&it)?, it))).transpose()
    }
}
