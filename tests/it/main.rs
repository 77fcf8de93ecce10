//! The one integration binary: harness, journeys, faults and architecture guards.

mod arrows;
mod guards;
mod shared_data;
