use std::sync::Arc;

use super::{EmbeddedLog, Settings};

/// Small enough for a test to fill several.
const SMALL: Settings = Settings { partitions: 2, segment_bytes_max: 64 * 1024 };

crate::conformance_tests!({
    let folder = tempfile::tempdir().unwrap();
    (Arc::new(EmbeddedLog::open(folder.path(), SMALL).unwrap()), folder)
});

mod power;
mod reopening;
