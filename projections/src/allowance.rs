//! How much one request may read: what its answers hold together is bounded, however they are cut.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::ReadError;

/// What one request may read. In bytes: 32 MiB, eight of the largest documents, so that a handful
/// of requests at a time fit into memory.
pub const READ_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a request has read of what it may read.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    spent: AtomicUsize,
}

impl Allowance {
    /// Takes `bytes` out of what is left.
    ///
    /// # Errors
    ///
    /// [`ReadError::TooMuch`] once nothing is; then the request is over.
    pub(crate) fn spend(&self, bytes: usize) -> Result<(), ReadError> {
        let before = self.spent.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > READ_BYTES_MAX { Err(ReadError::TooMuch) } else { Ok(()) }
    }
}
