//! Records: small values that change by compare-and-set, several together or none.
//!
//! So what may be used once is used by one: whoever uses it writes that down together with what
//! follows from it, and of two who do so at the same time one is refused.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::id::TenantId;

use super::VaultError;

/// How many records that have ended are removed at a time: 1,000, which takes a database some
/// milliseconds.
pub const PURGED_MAX: usize = 1_000;

/// What a record is about. The names are stored: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// The account of this login name.
    Account,
    /// Which account a member has.
    AccountOf,
    /// Attempts to sign in that have failed.
    Attempts,
    /// An invite that was used.
    UsedInvite,
    /// What makes the first account of an installation.
    Setup,
    /// By what Callboard proves to a provider who it is.
    ProviderSecret,
    /// Which member somebody is of whom a provider speaks.
    Identity,
    /// As whom providers know a member.
    IdentitiesOf,
    /// A sign-in at a provider that has come back.
    UsedLogin,
    /// When the API keys of a member were used last.
    KeyUses,
    /// What a member shows beside a password.
    SecondFactor,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Account,
        Self::AccountOf,
        Self::Attempts,
        Self::UsedInvite,
        Self::Setup,
        Self::ProviderSecret,
        Self::Identity,
        Self::IdentitiesOf,
        Self::UsedLogin,
        Self::KeyUses,
        Self::SecondFactor,
    ];

    /// Its name as stored, and as bound to what is sealed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::AccountOf => "account-of",
            Self::Attempts => "attempts",
            Self::UsedInvite => "used-invite",
            Self::Setup => "setup",
            Self::ProviderSecret => "provider-secret",
            Self::Identity => "identity",
            Self::IdentitiesOf => "identities-of",
            Self::UsedLogin => "used-login",
            Self::KeyUses => "key-uses",
            Self::SecondFactor => "second-factor",
        }
    }
}

/// Names a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is about.
    pub kind: RecordKind,
    /// A keyed digest of what it is called.
    pub digest: [u8; 32],
}

/// One state of a record: drawn anew for each, so that it never means another one, not even of a
/// record that was removed and made again. Who does not know whether a change took place finds out by
/// looking for the version that it has drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub u64);

impl Version {
    /// One that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        Self(u64::from_be_bytes(crate::random_bytes()))
    }
}

/// What is stored under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which state it is in.
    pub version: Version,
    /// From when on it counts as absent; none if never.
    pub ends_at: Option<DateTime<Utc>>,
    /// Its value.
    pub sealed: Bytes,
}

/// What is to become of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is made. There must be none of that name, or one that has ended.
    Add(RecordName, Record),
    /// It becomes another one. It must be in this state.
    Replace(RecordName, Version, Record),
    /// It goes. It must be in this state.
    Remove(RecordName, Version),
}

impl Change {
    /// What it is about.
    #[must_use]
    pub fn name(&self) -> RecordName {
        match self {
            Self::Add(name, _) | Self::Replace(name, _, _) | Self::Remove(name, _) => *name,
        }
    }
}

/// How an attempt to change records ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Committed {
    /// Every change took place.
    Whole,
    /// One of the records was not as expected, and none was changed.
    Conflict,
}

/// Where records are kept. What has ended at the `now` of whoever asks counts as absent.
#[async_trait]
pub trait Records: std::fmt::Debug + Send + Sync {
    /// What is stored under `names`, in order, each as it was at some moment of the call.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails.
    async fn get(
        &self,
        names: &[RecordName],
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Record>>, VaultError>;

    /// Makes all of `changes`, each about another name, or none. Of two that expect the same of a
    /// record at the same time, one is whole.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then all of them may have been made, or none.
    async fn commit(&self, changes: &[Change], now: DateTime<Utc>)
    -> Result<Committed, VaultError>;

    /// Removes some records that have ended, at most [`PURGED_MAX`], and says how many. Nobody
    /// waits for it long, and it waits for nobody.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then ask again.
    async fn purge(&self, now: DateTime<Utc>) -> Result<usize, VaultError>;

    /// Removes all records of `tenant`.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then ask again.
    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError>;
}
