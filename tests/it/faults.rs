//! Breaking the real process on purpose, and counting what is left.

mod cluster;
mod crowds;
mod dump;
mod following;
mod full;
mod history;
mod kills;
mod log_copy;
mod outage;
mod restarts;
mod tables;
mod writers;
