//! Mutable operational state that is neither fact nor view: keys, blobs, cursors, records.
//!
//! What is here is backed up, never rebuilt from the log, and may be destroyed: destroying a
//! key is how personal data and whole tenants are erased from a log that never forgets. It does
//! **not** know events, commands or read models, and decides nothing about who may ask.
//!
//! Start at [`Keyring`], which the write and the read side use to name, seal and unseal;
//! [`port`] is the contract every adapter keeps ([`sqlite`], [`postgres`], [`memory`]), with `conformance` as
//! the contract's test suite; [`Root`] is the one secret outside, under which all others are
//! stored.

pub mod audit_key;
pub mod blob_store;
pub mod contents;
pub mod issuer;
pub mod keyring;
pub mod memory;
pub mod opaque;
pub mod port;
pub mod postgres;
pub mod record_store;
pub mod root;
pub mod sqlite;
pub mod subject_keys;
#[cfg(any(test, feature = "temporary"))]
pub mod temporary;
pub mod tenant_keys;

mod cache;
mod cipher;
#[cfg(test)]
mod conformance;
mod maker;
mod slots;
mod statements;

pub use audit_key::{AUDIT_KEYS_MAX, AuditKey};
pub use blob_store::{BLOB_BYTES_MAX, BlobError, BlobStore};
pub use cipher::random_bytes;
pub use contents::{Contents, Row};
pub use issuer::Issuer;
pub use keyring::{Keyring, KeyringError};
pub use memory::MemoryVault;
pub use opaque::NotOurs;
pub use port::{
    BlobName, Blobs, Committed, CursorName, Cursors, Hold, Keys, RecordKind, Records, VaultError,
    Version,
};
pub use postgres::PostgresVault;
pub use record_store::{Changes, Known, RECORD_BYTES_MAX, RecordError, RecordStore};
pub use root::{Root, RootError};
pub use sqlite::SqliteVault;
pub use subject_keys::{SealError, SubjectKeys};
pub use tenant_keys::TenantKeys;
