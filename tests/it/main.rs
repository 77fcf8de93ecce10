//! The one integration binary: harness, journeys, faults and architecture guards.
