//! Which events of an export are left out: a hash over the runs of them, which its end signs. Whoever leaves
//! out another one later, which the tree does not show, makes another hash.

use aws_lc_rs::digest::{SHA256, digest};

use crate::identity::hex;

/// The runs of events that are left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    /// The first of the run that has not ended.
    open: Option<u64>,
    hash: [u8; 32],
    count: u64,
}

impl Gaps {
    /// The first event of the run that has not ended.
    pub(super) fn open(&self) -> Option<u64> {
        self.open
    }

    /// How many runs there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The event with this sequence is left out.
    pub(super) fn leave_out(&mut self, sequence: u64) {
        if self.open.is_none() {
            (self.open, self.count) = (Some(sequence), self.count + 1);
        }
    }

    /// The event with this sequence is there, or would be the next one.
    pub(super) fn show(&mut self, sequence: u64) {
        if let Some(first) = self.open.take() {
            let last = sequence - 1;
            let parts = [&self.hash[..], &first.to_be_bytes(), &last.to_be_bytes()].concat();
            self.hash = digest(&SHA256, &parts).as_ref().try_into().expect("SHA-256 has 32 bytes");
        }
    }

    /// The hash over all runs up to this sequence, in hex: zeros if there are none.
    pub(super) fn text(mut self, last: u64) -> String {
        self.show(last + 1);
        hex(&self.hash)
    }
}
