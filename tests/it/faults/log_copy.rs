//! Reading the log of a server that was killed, from a copy, so that the server itself has to
//! cope with what the kill left behind.

use std::fs;
use std::path::Path;

use event_log::embedded::{Depth, EmbeddedLog, Settings, Verified};
use event_log::{Attribute, EventLog, Partition, Position};
use tempfile::TempDir;

/// The only partition of the logs of these tests.
const PARTITION: Partition = Partition(0);

/// A copy of a log. Its files go when it is dropped.
pub(crate) struct LogCopy {
    pub(crate) folder: TempDir,
}

impl LogCopy {
    /// Copies the log in `from`, which nobody has open.
    pub(crate) fn of(from: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        copy(from, folder.path());
        Self { folder }
    }

    pub(crate) fn open(&self) -> EmbeddedLog {
        let opened = EmbeddedLog::open(self.folder.path(), Settings::default());
        opened.unwrap_or_else(|it| panic!("the log does not open after a crash: {it}"))
    }

    /// Checks every record, frames and chains.
    pub(crate) fn verify(&self) -> Verified {
        self.open().verify(PARTITION, Depth::Chains).expect("the log can be read")
    }

    /// Spoils the last batch, so that it is cut off when the log is opened: what is left is the
    /// log of a server that answered before it wrote.
    pub(crate) async fn cut_last_batch(&self) {
        let log = self.open();
        let end = log.end(PARTITION).await.expect("the log has an end");
        let last = Position(end.0 - 1);
        let mut reader = log.read(PARTITION, last).await.expect("the log can be read");
        let last = reader.next(1).await.expect("the log can be read").remove(0).record;
        drop((reader, log));
        let event = last.attribute(Attribute::Id).as_bytes();
        for entry in fs::read_dir(self.folder.path().join("0")).expect("the log has a partition") {
            let path = entry.expect("it can be listed").path();
            let mut bytes = fs::read(&path).expect("a file of the log can be read");
            let at = bytes.windows(event.len()).position(|it| it == event);
            if let Some(at) = at.filter(|_| path.extension().is_some_and(|it| it == "segment")) {
                bytes[at] ^= 1;
                return fs::write(path, bytes).expect("a segment can be written");
            }
        }
        panic!("the last record is in no segment");
    }
}

/// Archives never change, so a link does; everything else is copied.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the log is there") {
        let (path, name) = entry.map(|it| (it.path(), it.file_name())).expect("it can be listed");
        let to = to.join(name);
        if path.is_dir() {
            fs::create_dir(&to).expect("a folder can be made");
            copy(&path, &to);
        } else if path.extension().is_some_and(|it| it == "archive") {
            let linked = fs::hard_link(&path, &to).or_else(|_| fs::copy(&path, &to).map(drop));
            linked.expect("an archive can be copied");
        } else {
            fs::copy(&path, &to).expect("a file can be copied");
        }
    }
}
