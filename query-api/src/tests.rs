//! The doors as a whole, over real sockets, with both real sides behind them.

mod access;
mod accounts;
mod api_keys;
mod audit_exports;
mod causes;
mod columns;
mod conditions;
mod contracts;
mod edges;
mod feeds;
mod inputs;
mod isolation;
mod key_uses;
mod live;
mod matrix;
mod mutations;
mod pace;
mod providers;
mod ready;
mod roles;
mod second_factor;
mod seeded;
mod sessions;
mod usage;
mod vault;
