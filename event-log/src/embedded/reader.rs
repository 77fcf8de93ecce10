//! Reads one partition, from memory where it can and from files where it must.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::archive::ArchiveWalk;
use super::files::failed;
use super::frame;
use super::partition::{End, Shared, StoredAt};
use super::segment::{Found, Frame, Segment, Walk};
use crate::port::{LogError, Position, Reader, Recorded};
use crate::record::whole_commands;

/// How much is read from files at a time, about. In bytes: 4 MiB.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A reader. What it has read but not handed out yet it keeps, so a dropped future costs nothing.
#[derive(Debug)]
pub(super) struct EmbeddedReader {
    shared: Arc<Shared>,
    end: watch::Receiver<End>,
    /// The position of the next record to hand out, or before it.
    from: u64,
    /// Whole commands that come next, from this index on.
    ready: (Vec<Recorded>, usize),
    cursor: Option<Cursor>,
}

impl EmbeddedReader {
    pub(super) fn new(shared: Arc<Shared>, from: Position) -> Self {
        let end = shared.follow();
        Self { shared, end, from: from.0, ready: (Vec::new(), 0), cursor: None }
    }

    /// Hands out some of what is ready.
    fn take_ready(&mut self, records_max: usize) -> Vec<Recorded> {
        let (records, start) = &mut self.ready;
        let count = whole_commands(&records[*start..], records_max);
        let taken = if *start == 0 && count == records.len() {
            std::mem::take(records)
        } else {
            let taken = records[*start..*start + count].to_vec();
            *start += count;
            taken
        };
        if self.ready.1 == self.ready.0.len() {
            self.ready = (Vec::new(), 0);
        }
        self.from = taken.last().map_or(self.from, |it| it.position.next().0);
        taken
    }

    /// Takes what memory has at `from`.
    fn recall(&mut self, records_max: usize) -> bool {
        let batches = self.shared.recent(self.from, records_max);
        let from = Position(self.from);
        let records = batches.iter().flat_map(|it| it.iter());
        let records = records.skip_while(|it| it.position < from);
        self.ready = (records.cloned().collect(), 0);
        !self.ready.0.is_empty()
    }
}

#[async_trait]
impl Reader for EmbeddedReader {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError> {
        loop {
            if !self.ready.0.is_empty() {
                return Ok(self.take_ready(records_max));
            }
            let end = *self.end.borrow_and_update();
            if end.closed {
                return Err(LogError::Closed);
            }
            if self.from >= end.position {
                // The sender is in `shared`.
                self.end.changed().await.map_err(|_| LogError::Closed)?;
                continue;
            }
            if self.recall(records_max) {
                self.cursor = None;
                continue;
            }
            let (shared, cursor) = (self.shared.clone(), self.cursor.take());
            let from = self.from;
            let read = tokio::task::spawn_blocking(move || {
                let mut cursor = match cursor {
                    Some(cursor) => cursor,
                    None => Cursor::open(&shared, from)?,
                };
                let records = cursor.read(from, records_max)?;
                Ok(((cursor.position < cursor.end).then_some(cursor), records))
            });
            let (cursor, records) = read.await.map_err(|_| LogError::Closed)??;
            self.cursor = cursor;
            self.ready = (records, 0);
        }
    }
}

/// A place in the files, between two frames.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) walk: FileWalk,
    /// The position of the next frame.
    pub(super) position: u64,
    /// The position after the last one that can be reached from here.
    pub(super) end: u64,
}

/// Keeps a segment from being recycled while it is read.
#[derive(Debug)]
pub(super) enum FileWalk {
    Segment(Arc<Segment>, Walk),
    Archive(ArchiveWalk),
}

impl Cursor {
    /// Goes to the frame that holds `from`, or to one before it.
    pub(super) fn open(shared: &Shared, from: u64) -> Result<Self, LogError> {
        let place = shared.place(from);
        let (walk, position) = match place.stored {
            StoredAt::Archive { sequence } => {
                let walk = shared.location.archive(sequence)?.seek(from);
                let position = walk.position();
                (FileWalk::Archive(walk), position)
            }
            StoredAt::Segment { segment, first, offset, limit } => {
                let walk = Walk::new(&segment, offset, limit);
                (FileWalk::Segment(segment, walk), first)
            }
        };
        Ok(Self { walk, position, end: place.end })
    }

    /// The records from `from` on: at least one, about `records_max`, in whole frames.
    pub(super) fn read(
        &mut self,
        from: u64,
        records_max: usize,
    ) -> Result<Vec<Recorded>, LogError> {
        let mut found: Vec<Recorded> = Vec::new();
        let mut bytes = 0;
        while self.position < self.end && found.len() < records_max.max(1) && bytes < READ_BYTES_MAX
        {
            let Some(frame) = self.walk.next(self.position)? else {
                return Err(self.walk.missing(self.position));
            };
            self.position = frame.header.end();
            if self.position <= from {
                continue;
            }
            bytes += frame.bytes.len();
            let records = frame::decode(frame.header, &frame.bytes);
            let records = records.map_err(|reason| self.walk.damaged(&frame, &reason))?;
            found.extend(records.into_iter().filter(|it| it.position.0 >= from));
        }
        Ok(found)
    }
}

impl FileWalk {
    fn next(&mut self, position: u64) -> Result<Option<Frame>, LogError> {
        match self {
            Self::Archive(walk) => walk.next(position),
            Self::Segment(segment, walk) => {
                match walk.next(position).map_err(failed("reading", &segment.path))? {
                    Found::Frame(frame) => Ok(Some(frame)),
                    Found::End => Ok(None),
                    Found::Bad(reason) => Err(segment.damaged(walk.offset, reason)),
                }
            }
        }
    }

    fn damaged(&self, frame: &Frame, reason: &str) -> LogError {
        match self {
            Self::Archive(walk) => walk.damaged(reason),
            Self::Segment(segment, _) => segment.damaged(frame.offset, reason),
        }
    }

    /// The file ends before a position that it should hold.
    fn missing(&self, position: u64) -> LogError {
        self.wrong(&format!("the record at position {position} is missing"))
    }

    /// Names the place the walk has reached.
    pub(super) fn wrong(&self, reason: &str) -> LogError {
        match self {
            Self::Archive(walk) => walk.damaged(reason),
            Self::Segment(segment, walk) => segment.damaged(walk.offset, reason),
        }
    }
}
