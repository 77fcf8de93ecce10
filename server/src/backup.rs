//! Backups: a copy of the log and of the vault, and the way back.
//!
//! ```text
//! <folder>/events-<partition>   the records of a partition in order, see `entries`
//! <folder>/vault                the rows of the vault
//! <folder>/backup.json          what there is; written last, so a copy without it is none
//! ```
//!
//! Read models, snapshots and indexes are not in it: they are made from the log. The root key is
//! not in it either, and nothing that is sealed under it can be read from it.
//!
//! # Why a copy that is made while others write is consistent
//!
//! Each partition is copied up to an end that is noted before anything is copied, and the vault
//! after that: so it has every key that a copied record is sealed with. The partition of the
//! directory is noted last. What another partition owes to the directory therefore has its cause
//! in the copy; and what the directory owes to a tenant's partition, that it closed, closes the
//! tenant again once it is served.

mod entries;
mod making;
mod manifest;
mod restoring;

pub(crate) use making::make;
pub(crate) use manifest::Manifest;
pub(crate) use restoring::restore;
