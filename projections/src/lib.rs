//! The read side: tables that follow the log, and the readers that answer from them.
//!
//! A projection is a fold of the log with one writer per partition; its tables can be thrown
//! away and rebuilt at any time. Every reader takes the [`Principal`](domain::Principal), asks
//! it for its scope and folds that into its SQL. Nothing here decides anything, and nothing
//! here causes anything: replaying the past is harmless.
//!
//! Start at [`Projections`] for the engine that keeps the tables up to date, at [`ReadModels`]
//! for what one request reads, at [`page`] for how lists are cut, and at one model, say
//! [`organisation`], for how tables, writer and readers stand together.

mod allowance;
pub mod analytics;
pub mod audit;
pub mod billing;
pub mod catalog;
mod engine;
mod error;
mod large;
mod model;
pub mod organisation;
pub mod page;
mod read_models;
mod scope;
mod sealed;
mod store;
mod tables;
#[cfg(any(test, feature = "temporary"))]
pub mod temporary;
#[cfg(test)]
mod testing;

pub use engine::change::{Change, EntityChange, EntityFate};
pub use engine::status::{GenerationState, ModelStatus, ParkedTenant, PartitionStatus};
pub use engine::{EngineError, Projections, Settings};
pub use error::{Delay, NotYetVisible, ReadError};
pub use model::Model;
pub use read_models::ReadModels;
pub use tables::{PostgresTables, Tables};
