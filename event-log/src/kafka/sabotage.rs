//! Leaving out the fence between writers, for the fault tests of a cluster: they have to notice.
//!
//! Only what is built with the feature `sabotage` has this, and that is never shipped.

use std::sync::atomic::{AtomicBool, Ordering};

static WITHOUT_FENCES: AtomicBool = AtomicBool::new(false);

/// From now on the producers of this process are fenced by no other process, and fence none.
pub fn leave_out_fences() {
    WITHOUT_FENCES.store(true, Ordering::Relaxed);
}

/// The transactional id, of this process alone if fences are left out.
pub(super) fn of_this_process(transactional_id: String) -> String {
    if WITHOUT_FENCES.load(Ordering::Relaxed) {
        return format!("{transactional_id}-{}", std::process::id());
    }
    transactional_id
}
