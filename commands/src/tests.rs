//! The write side as a whole, on the log in memory: one file per promise it makes.

mod basics;
pub(crate) mod installation;
