//! What the chores share with the integration tests: starting and stopping real services.
//!
//! The chores themselves are in `main.rs`. Start at [`services`].

pub mod services;

use std::path::{Path, PathBuf};

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask lies in the workspace").to_path_buf()
}
