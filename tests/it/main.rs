//! The one integration binary: harness, journeys, faults and architecture guards.

mod arrows;
mod deploy;
mod faults;
mod guards;
mod harness;
mod isolation;
mod journeys;
mod services;
mod shared_data;
