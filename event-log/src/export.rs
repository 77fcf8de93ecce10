//! Exports: a part of a tenant's history as a file that proves itself, without a server.
//!
//! The file has the stored bytes of events and never anything made of them, so what is verified is what was
//! stored. What a filter leaves out is there as its leaf of the tree, so that nothing can be missing
//! unnoticed. In order:
//!
//! - the line [`MAGIC`];
//! - the [`Header`], and then frames, each a byte that says what it is, a length (u32, big-endian) and so many
//!   bytes ([`Frame`]);
//! - after every [`CHECKPOINT_EVERY`]th event of the tenant, and the last one, a signed checkpoint;
//! - at the end a signed statement that it is the end, of when, and of which events are left out: none, where no
//!   filter was asked for.
//!
//! [`Exporter`] writes one, [`Verifier`] reads one event by event and finds what was done to it. Why it is made so:
//! `docs/decisions/0016-audit-exports.md`.

mod frame;
mod gaps;
#[cfg(test)]
mod tests;
mod verifying;
mod writing;

use serde::{Deserialize, Serialize};

use self::gaps::Gaps;
use crate::chain::Link;
use crate::identity::hex;
use crate::tree::{Frontier, Node};

pub use frame::{Frame, FrameError, Frames};
pub use verifying::{Earlier, Fault, Place, Relation, Report, Verifier, VerifyError, What, verify};
pub use writing::Exporter;

/// The first line of every export: the format and its version.
pub const MAGIC: &[u8] = b"callboard-audit-export-v1\n";

/// After how many events there is a checkpoint at the latest: 4,096. What was done to events so well that
/// their chain does not show it is found between two of them.
pub const CHECKPOINT_EVERY: u64 = 4_096;

/// What an export says of itself, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Whose tree the checkpoints are of.
    pub origin: String,
    /// Whose events they are.
    pub tenant: String,
    /// The sequence of the first event.
    pub first: u64,
    /// The chain before that, in hex.
    pub chain: String,
    /// The peaks of the tree before that, in hex.
    pub frontier: Vec<String>,
    /// What was asked for.
    pub asked: Asked,
}

/// Which events were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// At or after this sequence or instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Up to this sequence, or before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Done by this actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Of these types or beginnings of types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

impl Asked {
    /// Whether events in between may be left out.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.actor.is_some() || !self.types.is_empty()
    }
}

impl Header {
    /// The tree and the chain before the first event; none if there can be none such.
    #[must_use]
    pub fn before(&self) -> Option<(Frontier, Link)> {
        let peaks = self.frontier.iter().map(|it| unhex(it).map(Node)).collect::<Option<_>>()?;
        // No tenant has more events than a database counts, and what is added to a sequence stays one.
        i64::try_from(self.first).ok()?;
        let frontier = Frontier::from_parts(self.first.checked_sub(1)?, peaks)?;
        Some((frontier, Link(unhex(&self.chain)?)))
    }
}

/// The statement at the end, signed: that nothing was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// The sequence of the last event.
    last: u64,
    /// The SHA-256 of the header's text, in hex.
    header: String,
    /// A hash over which events are left out, in hex ([`gaps`]).
    left_out: String,
    /// When it was signed, as RFC 3339 writes it.
    at: String,
}

impl End {
    /// The one of an export with this header.
    fn of(last: u64, header: &str, gaps: Gaps, at: String) -> Self {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, header.as_bytes());
        Self { last, header: hex(hash.as_ref()), left_out: gaps.text(last), at }
    }
}

/// `value` as JSON on a line of its own.
fn line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("it is plain data");
    json + "\n"
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
