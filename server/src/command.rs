//! What each command of the command line does. Those that talk to a server do so through its
//! doors, like anybody else.

pub mod bench;
pub mod client;
pub mod doctor;
pub mod events;
pub mod import;
pub mod projections;
pub mod tenant;
pub mod token;
pub mod up;
pub mod usage;
