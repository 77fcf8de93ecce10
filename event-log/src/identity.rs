//! What tells one log's history from every other one.

use std::fmt::Write as _;

/// A new identity: 16 random bytes in hex.
pub(crate) fn random_hex() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    hex(&bytes)
}

/// `bytes` in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, it| {
        write!(text, "{it:02x}").expect("writing to a string cannot fail");
        text
    })
}
