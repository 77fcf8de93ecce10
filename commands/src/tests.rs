//! The write side as a whole, on the log in memory: one file per promise it makes.

mod access;
mod api_keys;
mod basics;
mod closing;
mod cluster;
mod covered;
mod faults;
mod handover;
mod hearing;
pub(crate) mod installation;
mod keyless;
mod large;
mod leaving;
mod levels;
mod noting;
mod outage;
mod owners;
mod random;
mod reacting;
mod reading;
mod requests;
pub(crate) mod scenario;
mod sessions;
mod sizes;
mod snapshots;
mod wire;
mod wrapped;
