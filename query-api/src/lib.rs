//! query-api

pub mod limits;
pub mod transport;
