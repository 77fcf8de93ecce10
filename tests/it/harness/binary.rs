//! The program under test, as cargo builds it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The binary `callboard`: `$CALLBOARD_BINARY`, else the one beside this very test, which is
/// brought up to date once a run. `cargo test` alone builds no binaries.
pub(crate) fn callboard() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let given = std::env::var_os("CALLBOARD_BINARY").map(PathBuf::from);
        let path = given.unwrap_or_else(|| {
            // What counts lines has built it with its counters already.
            if std::env::var_os("CARGO_LLVM_COV").is_none() {
                build();
            }
            beside_this_test()
        });
        assert!(path.is_file(), "there is no binary at {}", path.display());
        path
    })
}

/// The next version of the program, with which an upgrade is rehearsed: `$CALLBOARD_BINARY_NEXT`, else
/// the one beside this very test, which `cargo xtask next` and `cargo xtask test` build.
pub(crate) fn callboard_next() -> PathBuf {
    let given = std::env::var_os("CALLBOARD_BINARY_NEXT").map(PathBuf::from);
    let path = given.unwrap_or_else(|| beside_this_test().with_file_name("callboard-next"));
    assert!(path.is_file(), "there is no {}; `cargo xtask next` builds it", path.display());
    path
}

/// Builds what the integration step of `cargo xtask test` has built, with the same features, so
/// that after it this does nothing.
fn build() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built = Command::new(cargo)
        .args(["build", "--workspace", "--bins", "--quiet", "--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo starts");
    assert!(built.success(), "the binary cannot be built");
}

/// Tests are in `<target>/<profile>/deps`, binaries one level up.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("a running test knows where it is");
    let deps = test.parent().expect("it lies in a folder");
    deps.parent().expect("that lies in the folder of the profile").join("callboard")
}
