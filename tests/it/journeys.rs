//! What people do, from one end to the other: the real binary, its command line and its doors.

mod access;
mod apart;
mod at_providers;
mod audit;
mod backup;
mod cluster;
mod demo;
mod deploy;
mod differential;
mod folders;
mod imports;
mod kafka;
mod readme;
mod secured;
mod sign_in;
mod traces;
mod usage;
mod vaults;
mod wide;
