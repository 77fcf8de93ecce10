//! What leaves us and comes back: node ids, cursors, position tokens. Each is sealed and bound
//! to its tenant and purpose, so one that was made up, changed or taken elsewhere opens nothing.

use domain::id::TenantId;
use event_log::{Partition, Position};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault::Keyring;

/// A token that came in was not made here for this tenant and use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid token for this tenant and use")]
pub struct NotOurs(String);

fn not_ours(token: &str) -> NotOurs {
    NotOurs(token.chars().take(80).collect())
}

/// Seals `value` for `tenant` and `purpose`.
pub fn seal<T: Serialize>(keyring: &Keyring, tenant: TenantId, purpose: &str, value: &T) -> String {
    keyring.bind(purpose, tenant, &plain(value))
}

/// What [`seal`] seals of `value`.
pub fn plain<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("cursors and ids are plain data")
}

/// Opens what [`seal`] made for the same tenant and purpose.
///
/// # Errors
///
/// [`NotOurs`].
pub fn open<T: DeserializeOwned>(
    keyring: &Keyring,
    tenant: TenantId,
    purpose: &str,
    token: &str,
) -> Result<T, NotOurs> {
    let bytes = keyring.unbind(purpose, tenant, token).map_err(|_| not_ours(token))?;
    serde_json::from_slice(&bytes).map_err(|_| not_ours(token))
}

const POSITION: &str = "position";

/// A place in the log that a query can wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition.
    pub partition: Partition,
    /// The position.
    pub position: Position,
}

/// The position token for `place` in the log of this incarnation.
pub fn seal_position(
    keyring: &Keyring,
    tenant: TenantId,
    incarnation: &str,
    place: &Place,
) -> String {
    let value = (incarnation, place.partition.0, place.position.0);
    seal(keyring, tenant, POSITION, &value)
}

/// What a position token stands for, if it belongs to this tenant and incarnation.
///
/// # Errors
///
/// [`NotOurs`].
pub fn open_position(
    keyring: &Keyring,
    tenant: TenantId,
    incarnation: &str,
    token: &str,
) -> Result<Place, NotOurs> {
    let (of, partition, position): (String, u32, u64) = open(keyring, tenant, POSITION, token)?;
    if of != incarnation {
        return Err(not_ours(token));
    }
    Ok(Place { partition: Partition(partition), position: Position(position) })
}
