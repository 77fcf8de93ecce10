//! How much one operation may read and say: what its answer holds is bounded, however it is cut.
//! What is read counts when it is read, and a document again each time it is said.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::ReadError;

/// What an operation has used up of what it may read and say.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    spent: AtomicUsize,
}

impl Allowance {
    /// Uses up `bytes` of `bytes_max`.
    ///
    /// # Errors
    ///
    /// [`ReadError::TooMuch`] once there is nothing left; then the operation is over.
    pub(crate) fn spend(&self, bytes: usize, bytes_max: usize) -> Result<(), ReadError> {
        let before = self.spent.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > bytes_max {
            return Err(ReadError::TooMuch { bytes_max });
        }
        Ok(())
    }
}
