//! Local accounts: a login name and a password that prove that somebody is a member.
//!
//! An account is a record of the vault, and so are the attempts at it that have failed. What the
//! member may do is *not* known here, nor whether it is one still: that is asked of the write side
//! by whoever lets somebody in. Start at `Accounts::prove`; how a password is set is in `setting`, how
//! the first one of an installation is in `setup`.

mod attempts;
mod beside;
mod delays;
mod former;
mod hashing;
mod identities;
mod login;
mod password;
mod recovery;
mod second_factor;
mod setting;
mod setup;
mod totp;

use std::sync::Arc;
use std::time::Duration;

use commands::Clock;
use domain::id::{ActorId, TenantId};
use domain::member::Term;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vault::{
    Changes, Committed, Keyring, KeyringError, Known, RecordError, RecordKind, TenantKeys,
};

use self::attempts::{Attempt, Delays, Ended};
pub(crate) use self::beside::{Beside, Code};
pub use self::former::forget_former;
use self::hashing::{Hashing, Verdict};
pub(crate) use self::identities::{Identity, Right, Unlinked};
pub(crate) use self::login::{LoginName, NoLoginName};
pub(crate) use self::password::{NoPassword, Password};
pub(crate) use self::second_factor::{SecondFactor, Unconfirmed};
pub(crate) use self::setting::{Grant, Once};
pub use self::setup::{SETUP_LASTS, console, offer_setup};
pub(crate) use self::totp::Enrolment;
use crate::doors::ClientAddress;

/// Whose accounts are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those of a tenant that lets its members in.
    Tenant(TenantId),
    /// Nobody's: this host selects no such tenant. Whatever is tried there is wrong, after as much
    /// work.
    Nobody(String),
}

impl Whose {
    /// A text that stands for it, among those whose passwords are being looked at. Whoever invents hosts
    /// has no more room for that.
    fn share(&self) -> String {
        match self {
            Self::Tenant(_) => self.name(),
            Self::Nobody(_) => "/".to_owned(),
        }
    }

    /// A text that stands for it.
    fn name(&self) -> String {
        match self {
            Self::Tenant(tenant) => tenant.to_string(),
            // No tenant has a name with this character.
            Self::Nobody(host) => format!("/{host}"),
        }
    }
}

/// Why nobody has proved anything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproved {
    /// There is no such account, or its password is another.
    #[error("the login name or the password is wrong")]
    Wrong,
    /// The password is right, but more is asked for beside it.
    #[error("expected the password that the app shows, or a recovery code")]
    CodeMissing,
    /// The password is right, but what was shown beside it is not.
    #[error("what was shown beside the password is wrong, or was used before")]
    CodeWrong,
    /// The password is right, but too many codes were wrong.
    #[error("no one-time password is taken any more")]
    CodesExhausted,
    /// Others have failed before; try again then.
    #[error("too many attempts have failed")]
    Later(Duration),
    /// Too many passwords are being looked at.
    #[error("too many passwords are being looked at")]
    Busy,
    /// For the operator.
    #[error(transparent)]
    Fault(#[from] AccountFault),
}

/// Why a password was not set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unset {
    /// What it was set with was used before.
    #[error("it was used before")]
    Used,
    /// Another member has this login name.
    #[error("another member has this login name")]
    Taken,
    /// The password is none that is taken.
    #[error(transparent)]
    Password(#[from] NoPassword),
    /// Too many passwords are being looked at.
    #[error("too many passwords are being looked at")]
    Busy,
    /// For the operator.
    #[error(transparent)]
    Fault(#[from] AccountFault),
}

/// What is stored cannot be read, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum AccountFault {
    /// There are no keys.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// There are no records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record says nothing that is understood.
    #[error("a stored record says what is not understood")]
    Meaning(#[source] serde_json::Error),
    /// A password could not be looked at.
    #[error("looking at a password failed")]
    Hashing,
}

/// An account, as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredAccount {
    member: ActorId,
    /// For which time they are a member: it is good for no other.
    term: Term,
    /// Which password it is: another one for each that is set.
    password: Uuid,
    hash: String,
}

/// Which account a member has, as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredName {
    login: String,
}

/// What somebody shows to prove who they are.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The password.
    pub(crate) password: Password,
    /// What they show beside it, if anything.
    pub(crate) code: Option<Code>,
}

/// What shows whose account it is, as long as nothing of it changes.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    /// Whose account it is.
    pub(crate) member: ActorId,
    /// For which time they are a member.
    pub(crate) term: Term,
    /// What was shown beside the password.
    pub(crate) beside: Beside,
    login: LoginName,
    /// Which password was shown.
    password: Uuid,
}

/// Somebody who has shown the password of an account, and what is asked for beside it.
#[derive(Debug)]
pub(crate) struct Proved {
    /// What they have shown.
    pub(crate) proof: Proof,
    attempt: Attempt,
}

/// The accounts of an installation. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    keyring: Keyring,
    clock: Arc<dyn Clock>,
    hashing: Hashing,
}

impl Accounts {
    pub(crate) fn new(keyring: Keyring, clock: Arc<dyn Clock>) -> Self {
        Self { keyring, clock, hashing: Hashing::new() }
    }

    /// Whose account has this login name and this password, and shows what is asked for beside it.
    /// Whoever is let in for that says so ([`Accounts::let_in`]); until then it counts as an attempt
    /// that has failed.
    ///
    /// # Errors
    ///
    /// [`Unproved`]; which of them, and after how much work, does not depend on whether there is such
    /// an account.
    pub(crate) async fn prove(
        &self,
        whose: &Whose,
        login: &LoginName,
        Shown { password, code }: Shown,
        from: ClientAddress,
    ) -> Result<Proved, Unproved> {
        // Before anything counts: whoever finds no place has not tried.
        let place = self.hashing.enter(&whose.share(), from).ok_or(Unproved::Busy)?;
        let attempt = Attempt::of(&whose.name(), login, from);
        let (keys, account) = (self.keys(whose).await?, self.account(whose, login).await?);
        let recovered = match &code {
            Some(Code::Recovery(code)) => {
                let whose = account.as_ref().map(|(it, _)| (it.member, it.term));
                self.use_recovery_code(&keys, whose, code).await?
            }
            Some(Code::App(_)) | None => None,
        };
        let delays = if recovered.is_some() { Delays::Spare } else { Delays::Hold };
        let paced = attempt.begin(self, delays).await?;
        let stored = account.as_ref().map(|it| it.0.hash.clone());
        let (Verdict::Right { anew }, Some((account, known))) =
            (place.verify(password, stored).await?, account)
        else {
            return Err(Unproved::Wrong);
        };
        if let Some(delay) = paced {
            attempt.end(self, Ended::Halfway).await?;
            return Err(Unproved::Later(delay));
        }
        let StoredAccount { member, term, password, .. } = account;
        let beside = match recovered {
            Some(factor) => Ok(Beside::RecoveryCode(factor)),
            None => self.beside_password(&keys, (member, term), code.as_ref()).await,
        };
        if matches!(beside, Err(Unproved::CodeMissing)) {
            attempt.end(self, Ended::Halfway).await?;
        }
        let beside = beside?;
        if let Some(hash) = anew {
            self.hash_anew(whose, login, (StoredAccount { hash, ..account }, known)).await?;
        }
        let proof = Proof { member, term, beside, login: login.clone(), password };
        Ok(Proved { proof, attempt })
    }

    /// Replaces the hash of a password by a stronger one of the same, unless the account is another by now.
    async fn hash_anew(
        &self,
        whose: &Whose,
        login: &LoginName,
        (account, known): (StoredAccount, Known),
    ) -> Result<(), AccountFault> {
        let keys = self.keys(whose).await?;
        let place = (RecordKind::Account, login.as_str());
        let account = written(&account);
        let changes = Changes::of(&keys).put(place, Some(known.version), &account, None);
        let (Committed::Whole | Committed::Conflict) = self.commit(&changes).await?;
        Ok(())
    }

    /// Whether what somebody has shown is what is asked for still.
    ///
    /// # Errors
    ///
    /// A fault of the vault.
    pub(crate) async fn holds(
        &self,
        tenant: TenantId,
        proof: &Proof,
    ) -> Result<bool, AccountFault> {
        let account = self.account(&Whose::Tenant(tenant), &proof.login).await?;
        if account.is_none_or(|(it, _)| it.password != proof.password) {
            return Ok(false);
        }
        let asked = self.asked_beside(tenant, proof.member, proof.term).await?;
        Ok(asked == proof.beside.factor())
    }

    /// The attempt has not failed.
    ///
    /// # Errors
    ///
    /// A fault of the vault; then it counts as if it had.
    pub(crate) async fn let_in(&self, proved: &Proved) -> Result<(), AccountFault> {
        proved.attempt.end(self, Ended::In).await
    }

    /// The login name of a member who has an account.
    ///
    /// # Errors
    ///
    /// A fault of the vault.
    pub(crate) async fn login_of(
        &self,
        tenant: TenantId,
        member: ActorId,
    ) -> Result<Option<LoginName>, AccountFault> {
        let keys = self.keys(&Whose::Tenant(tenant)).await?;
        let known = self.get(&keys, (RecordKind::AccountOf, &member.to_string())).await?;
        let Some(known) = known else { return Ok(None) };
        Ok(LoginName::new(&read::<StoredName>(&known)?.login).ok())
    }

    /// The account of this login name, and its record.
    async fn account(
        &self,
        whose: &Whose,
        login: &LoginName,
    ) -> Result<Option<(StoredAccount, Known)>, AccountFault> {
        let keys = self.keys(whose).await?;
        let known = match whose {
            Whose::Tenant(_) => self.get(&keys, (RecordKind::Account, login.as_str())).await?,
            // No login name has this character, so there is none of this name.
            Whose::Nobody(_) => {
                let name = format!("\n{}", login.as_str());
                self.get(&keys, (RecordKind::Account, &name)).await?
            }
        };
        known.map(|it| Ok((read(&it)?, it))).transpose()
    }

    async fn keys(&self, whose: &Whose) -> Result<TenantKeys, AccountFault> {
        let tenant = match whose {
            Whose::Tenant(tenant) => *tenant,
            Whose::Nobody(_) => TenantId::SYSTEM,
        };
        Ok(self.keyring.existing(tenant).await?)
    }

    async fn get(
        &self,
        keys: &TenantKeys,
        name: (RecordKind, &str),
    ) -> Result<Option<Known>, AccountFault> {
        Ok(self.keyring.records().get(keys, name, self.clock.now()).await?)
    }

    async fn commit(&self, changes: &Changes) -> Result<Committed, AccountFault> {
        Ok(self.keyring.records().commit(changes, self.clock.now()).await?)
    }
}

/// What a record says.
fn read<T: DeserializeOwned>(known: &Known) -> Result<T, AccountFault> {
    serde_json::from_slice(&known.value).map_err(AccountFault::Meaning)
}

fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it is plain data")
}

#[cfg(test)]
mod tests;
