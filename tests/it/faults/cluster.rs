//! Breaking a cluster on purpose: two processes on Kafka and PostgreSQL, under clients that write
//! down what they ask and are told, while a process, a broker, a network or a database fails.
//!
//! Start at [`arena`], which all tests have in common; the faults are in [`on_kafka`]. Clients
//! ([`client`], [`requests`]) repeat themselves throughout, and wait for answers that come late. What
//! they were told is judged one by one ([`answers`]) and against the log
//! ([`History`](super::history)); the read models are compared with a rebuild ([`tables`]). One
//! command tries as hard as we ever do, and prints a line for each fault; `docs/reliability.md` has
//! its last result:
//!
//! ```sh
//! CALLBOARD_TEST_PROFILE=full cargo test --workspace --test it -- faults::cluster --nocapture
//! ```

mod answers;
mod arena;
mod client;
mod figures;
mod on_kafka;
mod proxy;
mod requests;
mod tenant;

/// Says something in the output of a test.
#[expect(clippy::print_stdout, reason = "figures are what such a test is run for")]
fn print(line: &str) {
    println!("{line}");
}
