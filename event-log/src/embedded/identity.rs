//! The file that says who a log is.

use std::io;
use std::path::Path;

use super::files::{self, Files, failed};
use super::segment::damaged;
use crate::identity::random_hex;
use crate::port::LogError;

/// The first line of the file: the format of everything in the folder.
const FORMAT: &str = "callboard-log-v1";

/// Who a log is. Made once, never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// See [`crate::EventLog::incarnation`].
    pub(super) incarnation: String,
    /// A secret under every checksum, so that nobody can make bytes that look like a frame.
    pub(super) salt: String,
    pub(super) partitions: u32,
}

impl Identity {
    /// Reads the identity of the log in `folder`, or makes one if there is no log.
    pub(super) fn open_or_create(
        files: &dyn Files,
        folder: &Path,
        partitions: u32,
    ) -> Result<Self, LogError> {
        let path = folder.join("identity");
        match files.open(&path) {
            Ok(file) => {
                let bytes = files::read_whole(&*file).map_err(failed("reading", &path))?;
                let text = String::from_utf8_lossy(&bytes);
                Self::parse(&text).ok_or_else(|| damaged(&path, 0, "no identity of a log"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let names = files.list(folder).map_err(failed("reading", folder))?;
                if names.iter().any(|it| it.parse::<u32>().is_ok()) {
                    return Err(damaged(&path, 0, "the identity is missing, the records are not"));
                }
                let (incarnation, salt) = (random_hex(), random_hex());
                let this = Self { incarnation, salt, partitions };
                files::write_whole(files, &path, this.to_text().as_bytes())?;
                Ok(this)
            }
            Err(error) => Err(failed("opening", &path)(error)),
        }
    }

    fn to_text(&self) -> String {
        let Self { incarnation, salt, partitions } = self;
        let fields = format!("{FORMAT}\n{incarnation}\n{salt}\n{partitions}\n");
        let sum = crc32c::crc32c(fields.as_bytes());
        format!("{fields}{sum:08x}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(1);
        let this = Self {
            incarnation: lines.next()?.to_owned(),
            salt: lines.next()?.to_owned(),
            partitions: lines.next()?.parse().ok()?,
        };
        (this.to_text() == text).then_some(this)
    }
}
