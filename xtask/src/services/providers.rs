//! Real identity providers that speak OpenID Connect: two that share no code, since what one of them
//! takes for granted the other may not.
//!
//! They listen on loopback addresses, over plain HTTP, and know nothing of Callboard. [`keycloak`] takes
//! its time to start, so one of them serves all tests, each with a realm of its own;
//! [`oidc_provider`] starts within a second, so that every test has its own.

pub mod keycloak;
pub mod oidc_provider;

mod unit;
