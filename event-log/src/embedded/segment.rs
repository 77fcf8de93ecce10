//! One segment file: frames one after the other from its first byte, then an end mark.
//!
//! A segment has no header: its seed comes from its name and the log's identity, the position of
//! its first record from what lies before it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::files::{File, failed};
use super::frame::{self, HEADER_BYTES, Header, Seed};
use crate::port::LogError;

/// How much of a file is read at once when frames are smaller. In bytes: 256 KiB.
const WINDOW_BYTES: usize = 256 * 1024;

/// How far apart the entries of a sparse index are at least. In bytes: 64 KiB, a few
/// microseconds of walking.
const INDEX_STEP_BYTES: u64 = 64 * 1024;

/// A segment that can be read.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) sequence: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    pub(super) seed: Seed,
}

/// Where some of the frames of a segment begin.
#[derive(Clone, Debug, Default)]
pub(super) struct SparseIndex(Vec<(u64, u64)>);

impl SparseIndex {
    /// Notes that the frame at `offset` begins with position `first`, if the last entry is far
    /// enough away.
    pub(super) fn note(&mut self, first: u64, offset: u64) {
        if self.0.last().is_none_or(|(_, last)| offset - last >= INDEX_STEP_BYTES) {
            self.0.push((first, offset));
        }
    }

    /// A place from which walking forward reaches `position`: its first position and offset.
    pub(super) fn before(&self, position: u64) -> Option<(u64, u64)> {
        let after = self.0.partition_point(|(first, _)| *first <= position);
        after.checked_sub(1).map(|it| self.0[it])
    }
}

/// One whole frame.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) header: Header,
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

/// What stands where a frame was looked for.
#[derive(Debug)]
pub(super) enum Found {
    /// A whole frame, the one expected.
    Frame(Frame),
    /// The end mark, or the end of what may be read.
    End,
    /// Something else.
    Bad(&'static str),
}

/// Walks over the frames of a file.
#[derive(Debug)]
pub(super) struct Walk {
    /// Where more comes from when the window is used up; nothing if the window is everything.
    file: Option<Arc<dyn File>>,
    seed: Seed,
    /// Where the next frame begins.
    pub(super) offset: u64,
    /// Nothing is read from here on.
    pub(super) limit: u64,
    window: Bytes,
    window_offset: u64,
}

impl Walk {
    pub(super) fn new(segment: &Segment, offset: u64, limit: u64) -> Self {
        let file = Some(segment.file.clone());
        Self { file, seed: segment.seed, offset, limit, window: Bytes::new(), window_offset: 0 }
    }

    /// A walk over frames that were read already.
    pub(super) fn over(window: Bytes, seed: Seed) -> Self {
        let limit = window.len() as u64;
        Self { file: None, seed, offset: 0, limit, window, window_offset: 0 }
    }

    /// Looks at the next frame, which must begin with position `expected`, and steps over it.
    pub(super) fn next(&mut self, expected: u64) -> io::Result<Found> {
        let found = self.look()?;
        match found {
            Found::Frame(frame) if frame.header.first != expected => {
                Ok(Found::Bad("the frame has another position than the one due"))
            }
            Found::Frame(frame) => {
                self.offset += frame.bytes.len() as u64;
                Ok(Found::Frame(frame))
            }
            Found::End | Found::Bad(_) => Ok(found),
        }
    }

    /// Looks at the next frame, whatever its position.
    pub(super) fn look(&mut self) -> io::Result<Found> {
        let bytes = self.fill(HEADER_BYTES)?;
        if bytes.iter().all(|it| *it == 0) {
            return Ok(Found::End);
        }
        let Some(header) = Header::parse(&bytes) else {
            return Ok(Found::Bad("there is no frame"));
        };
        let bytes = self.fill(header.frame_bytes())?;
        if bytes.len() < header.frame_bytes() {
            return Ok(Found::Bad("the frame is cut short"));
        }
        if !frame::is_whole(self.seed, &bytes) {
            return Ok(Found::Bad("the checksum of the frame is wrong"));
        }
        Ok(Found::Frame(Frame { header, offset: self.offset, bytes }))
    }

    /// The next `length` bytes from the offset, fewer only at the limit or the end of the file.
    fn fill(&mut self, length: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.limit.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let length = length.min(left);
        let start = self.offset.checked_sub(self.window_offset).map(usize::try_from);
        if let Some(Ok(start)) = start
            && start + length <= self.window.len()
        {
            return Ok(self.window.slice(start..start + length));
        }
        let Some(file) = &self.file else { return Ok(Bytes::new()) };
        let mut window = BytesMut::zeroed(length.max(WINDOW_BYTES).min(left));
        let read = file.read_at(self.offset, &mut window)?;
        window.truncate(read);
        self.window = window.freeze();
        self.window_offset = self.offset;
        Ok(self.window.slice(..length.min(read)))
    }
}

/// What a walk over a whole segment found.
#[derive(Debug)]
pub(super) struct Scan {
    /// The position after the last whole frame.
    pub(super) end: u64,
    /// The offset after the last whole frame.
    pub(super) end_offset: u64,
    /// The last whole frame.
    pub(super) last: Option<Frame>,
    pub(super) index: SparseIndex,
    /// What is wrong at the end, if it is not the end mark.
    pub(super) bad: Option<&'static str>,
}

impl Segment {
    /// The first position in the segment, if it begins with a whole frame.
    pub(super) fn first(&self) -> Result<Option<u64>, LogError> {
        let found = Walk::new(self, 0, u64::MAX).look();
        match found.map_err(failed("reading", &self.path))? {
            Found::Frame(frame) => Ok(Some(frame.header.first)),
            Found::End | Found::Bad(_) => Ok(None),
        }
    }

    /// Walks from the position `from` over every whole frame that begins before `until`.
    pub(super) fn scan(&self, from: u64, until: u64) -> Result<Scan, LogError> {
        let mut walk = Walk::new(self, 0, u64::MAX);
        let mut index = SparseIndex::default();
        let mut last = None;
        let mut end = from;
        let mut bad = None;
        while end < until {
            match walk.next(end).map_err(failed("reading", &self.path))? {
                Found::Frame(frame) => {
                    index.note(end, frame.offset);
                    end = frame.header.end();
                    last = Some(frame);
                }
                Found::End => break,
                Found::Bad(reason) => {
                    bad = Some(reason);
                    break;
                }
            }
        }
        Ok(Scan { end, end_offset: walk.offset, last, index, bad })
    }

    /// Where a whole frame of this segment, with a position from `first` on, begins at or after
    /// `offset`, if there is one.
    pub(super) fn find_frame(&self, offset: u64, first: u64) -> Result<Option<u64>, LogError> {
        let read = |at: u64, length: usize| {
            let mut bytes = vec![0; length];
            let read = self.file.read_at(at, &mut bytes).map_err(failed("reading", &self.path))?;
            bytes.truncate(read);
            Ok::<_, LogError>(bytes)
        };
        let mut at = offset;
        loop {
            let window = read(at, WINDOW_BYTES)?;
            for hit in memchr::memmem::find_iter(&window, &frame::MAGIC) {
                let place = at + hit as u64;
                let header = Header::parse(&read(place, HEADER_BYTES)?);
                let Some(header) = header.filter(|it| it.first >= first) else { continue };
                let bytes = read(place, header.frame_bytes())?;
                if bytes.len() == header.frame_bytes() && frame::is_whole(self.seed, &bytes) {
                    return Ok(Some(place));
                }
            }
            if window.len() < WINDOW_BYTES {
                return Ok(None);
            }
            // A magic across the border of two windows is seen in the second.
            at += (WINDOW_BYTES - frame::MAGIC.len()) as u64;
        }
    }

    pub(super) fn damaged(&self, offset: u64, reason: &str) -> LogError {
        damaged(&self.path, offset, reason)
    }
}

/// Names a place that cannot be read back.
pub(super) fn damaged(path: &Path, offset: u64, reason: &str) -> LogError {
    LogError::Damaged {
        place: format!("{} at byte {offset}", path.display()),
        reason: reason.to_owned(),
    }
}
