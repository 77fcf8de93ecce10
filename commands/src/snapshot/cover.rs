//! How a tenant's rows lie in a snapshot: as they are or, where the values of records are stored
//! encrypted, under the same tenant's key. So destroying that key takes them away here too.
//!
//! What is not covered says nothing of what a tenant stored: how many records it has, the link of
//! the last one, and what became of requests, by identity and hash.

use domain::id::TenantId;
use event_log::Partition;
use vault::{Keyring, KeyringError, TenantKeys};

use crate::settings::Values;

/// The last byte of a piece says how it lies there.
const PLAIN: u8 = 0;
const SEALED: u8 = 1;
const ERASED: u8 = 2;

/// What the rows of one tenant are stored under.
#[derive(Clone, Debug)]
pub(crate) enum Cover {
    /// Nothing.
    Plain,
    /// The tenant's key.
    Sealed(TenantKeys),
    /// Its key was destroyed, so nothing is stored.
    Erased,
}

/// Where a piece belongs: it cannot be read as another one, or in another snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) partition: Partition,
    /// The version of the fold and the series.
    pub(crate) fold: u32,
    pub(crate) key: &'a str,
}

/// The rows of a piece.
#[derive(Debug)]
pub(crate) enum Rows {
    /// They were stored like this.
    Read(Values, Vec<u8>),
    /// The tenant's key was destroyed.
    Gone,
    /// The tenant's key is missing or damaged.
    Unread,
}

/// Why a piece gives no rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CoverError {
    #[error("it was not stored for this place")]
    Forged,
    #[error("the tenant's key cannot be had")]
    Keyring(#[from] KeyringError),
}

impl Cover {
    /// The key of `tenant`; none if it alone has lost it.
    pub(crate) async fn of(
        tenant: TenantId,
        keyring: &Keyring,
    ) -> Result<Option<Self>, KeyringError> {
        match keyring.existing(tenant).await {
            Ok(keys) => Ok(Some(Self::Sealed(keys))),
            Err(KeyringError::TenantErased(_)) => Ok(Some(Self::Erased)),
            Err(error) if error.is_of_one() && tenant != TenantId::SYSTEM => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The piece that holds `rows`.
    pub(crate) fn put(&self, place: Place<'_>, rows: Vec<u8>) -> Vec<u8> {
        let (mut piece, form) = match self {
            Self::Plain => (rows, PLAIN),
            Self::Sealed(keys) => (keys.seal_snapshot(&place.text(), &rows), SEALED),
            Self::Erased => (Vec::new(), ERASED),
        };
        piece.push(form);
        piece
    }
}

impl Place<'_> {
    fn text(self) -> String {
        let Self { partition: Partition(partition), fold, key } = self;
        format!("{partition} {fold} {key}")
    }

    /// Takes the rows of `tenant` out again.
    pub(crate) async fn take(
        self,
        tenant: TenantId,
        mut piece: Vec<u8>,
        keyring: &Keyring,
    ) -> Result<Rows, CoverError> {
        match piece.pop() {
            Some(PLAIN) => Ok(Rows::Read(Values::Plain, piece)),
            Some(ERASED) => Ok(Rows::Gone),
            Some(SEALED) => match keyring.existing(tenant).await {
                Ok(keys) => {
                    let rows = keys.open_snapshot(&self.text(), &piece);
                    Ok(Rows::Read(Values::Sealed, rows.ok_or(CoverError::Forged)?))
                }
                Err(KeyringError::TenantErased(_)) => Ok(Rows::Gone),
                Err(error) if error.is_of_one() && tenant != TenantId::SYSTEM => Ok(Rows::Unread),
                Err(error) => Err(error.into()),
            },
            Some(_) | None => Err(CoverError::Forged),
        }
    }
}
