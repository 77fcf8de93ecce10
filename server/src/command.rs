//! What each command of the command line does. Those that talk to a server do so through its
//! doors, like anybody else.

pub(crate) mod api_key;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod import;
pub(crate) mod kafka;
pub(crate) mod member;
pub(crate) mod projections;
pub(crate) mod provider;
pub(crate) mod role;
pub(crate) mod tenant;
pub(crate) mod token;
pub(crate) mod up;
pub(crate) mod usage;
