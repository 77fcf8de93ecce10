//! The folder with real-world samples that lies beside the repository where we develop it.
//!
//! A clone has no such folder, and everything must pass without it: our own samples cover the same
//! cases. A test that reads it lives in a module called `shared_data`, so that `cargo xtask test`
//! can count it, and returns at once where [`folder`] is `None`.

use std::path::{Path, PathBuf};

/// The folder, if it is there: `$CALLBOARD_SHARED`, or `../shared` beside the workspace.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("CALLBOARD_SHARED")
        .map_or(Some(beside), |it| Some(it.into()))
        .filter(|it| it.is_dir())
}

#[test]
fn the_folder_holds_what_tests_read_from_it() {
    let Some(folder) = folder() else { return };
    assert!(folder.join("data").is_dir(), "{} holds no samples", folder.display());
}
