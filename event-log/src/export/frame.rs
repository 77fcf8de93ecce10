//! The frames of an export: how they are written, and read within bounds.

use std::io::{self, ErrorKind, Read};

use super::MAGIC;
use crate::chain::Link;
use crate::note::NOTE_BYTES_MAX;
use crate::record::CANONICAL_BYTES_MAX;
use crate::tree::Node;

/// How long a hash is. In bytes.
const HASH: usize = 32;

/// How many events one frame leaves out at most: 1,024, so 32 KiB.
pub(super) const LEFT_OUT_MAX: usize = 1_024;

/// What is in front of every frame: its kind and its length.
const HEAD: usize = 5;

/// A part of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// What the file says of itself, a note. The first frame and no other.
    Header(&'a [u8]),
    /// An event that comes right after the one before it.
    Event {
        /// The link of the chain that ends with it.
        link: Link,
        /// Its bytes, as they are stored.
        canonical: &'a [u8],
    },
    /// An event before which others were left out.
    EventAfterGap {
        /// The link before it.
        previous: Link,
        /// The link of the chain that ends with it.
        link: Link,
        /// Its bytes, as they are stored.
        canonical: &'a [u8],
    },
    /// The leaves of events that are left out, one after the other.
    LeftOut(&'a [u8]),
    /// A checkpoint over everything up to here, a note.
    Checkpoint(&'a [u8]),
    /// The statement that nothing follows, a note.
    End(&'a [u8]),
}

impl<'a> Frame<'a> {
    /// Adds it to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (kind, parts): (u8, [&[u8]; 3]) = match self {
            Self::Header(note) => (b'H', [note, &[], &[]]),
            Self::Event { link, canonical } => (b'E', [&link.0, canonical, &[]]),
            Self::EventAfterGap { previous, link, canonical } => {
                (b'G', [&previous.0, &link.0, canonical])
            }
            Self::LeftOut(leaves) => (b'L', [leaves, &[], &[]]),
            Self::Checkpoint(note) => (b'C', [note, &[], &[]]),
            Self::End(note) => (b'Z', [note, &[], &[]]),
        };
        let length: usize = parts.iter().map(|it| it.len()).sum();
        out.push(kind);
        let length = u32::try_from(length).expect("parts of frames are bounded");
        out.extend_from_slice(&length.to_be_bytes());
        parts.iter().for_each(|it| out.extend_from_slice(it));
    }

    /// The frame of this `kind` with these bytes; none if there is no such one.
    fn of(kind: u8, bytes: &'a [u8]) -> Option<Self> {
        let link =
            |bytes: &'a [u8]| bytes.split_first_chunk::<HASH>().map(|(it, of)| (Link(*it), of));
        match kind {
            b'H' => Some(Self::Header(bytes)),
            b'E' => link(bytes).map(|(link, canonical)| Self::Event { link, canonical }),
            b'G' => {
                let (previous, rest) = link(bytes)?;
                let (link, canonical) = link(rest)?;
                Some(Self::EventAfterGap { previous, link, canonical })
            }
            b'L' if !bytes.is_empty() && bytes.len().is_multiple_of(HASH) => {
                Some(Self::LeftOut(bytes))
            }
            b'C' => Some(Self::Checkpoint(bytes)),
            b'Z' => Some(Self::End(bytes)),
            _ => None,
        }
    }
}

/// The longest frame of this kind; none if there is no such kind.
fn length_max(kind: u8) -> Option<usize> {
    match kind {
        b'H' | b'C' | b'Z' => Some(NOTE_BYTES_MAX),
        b'E' | b'G' => Some(2 * HASH + CANONICAL_BYTES_MAX),
        b'L' => Some(HASH * LEFT_OUT_MAX),
        _ => None,
    }
}

/// The hashes in `leaves`.
pub(super) fn nodes(leaves: &[u8]) -> impl Iterator<Item = Node> {
    leaves.chunks_exact(HASH).map(|it| Node(it.try_into().expect("chunks have that length")))
}

/// Why there is no further frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// What is there is no frame.
    #[error("what is there is no part of an export")]
    Malformed,
    /// The file ends within a frame.
    #[error("the file breaks off")]
    Truncated,
    /// It cannot be read.
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
}

/// Reads frames one after the other, within bounds. Give it a reader that is buffered.
#[derive(Debug)]
pub struct Frames<R> {
    from: R,
    bytes: Vec<u8>,
    /// How many bytes were read, whole frames alone.
    reached: u64,
}

impl<R: Read> Frames<R> {
    /// Of a file from its beginning.
    ///
    /// # Errors
    ///
    /// [`FrameError`], if it is not an export.
    pub fn open(mut from: R) -> Result<Self, FrameError> {
        let mut magic = [0; MAGIC.len()];
        fill(&mut from, &mut magic)?;
        if magic != MAGIC {
            return Err(FrameError::Malformed);
        }
        Ok(Self { from, bytes: Vec::new(), reached: MAGIC.len() as u64 })
    }

    /// Of what follows a frame.
    #[cfg(test)]
    pub(super) fn within(from: R) -> Self {
        Self { from, bytes: Vec::new(), reached: 0 }
    }

    /// How many bytes the file has up to the end of the last frame that was read.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.reached
    }

    /// The next frame; none at the end of the file.
    ///
    /// # Errors
    ///
    /// [`FrameError`].
    pub fn read(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let mut kind = [0];
        match fill(&mut self.from, &mut kind) {
            Err(FrameError::Truncated) => return Ok(None),
            filled => filled?,
        }
        let most = length_max(kind[0]).ok_or(FrameError::Malformed)?;
        let mut length = [0; HEAD - 1];
        fill(&mut self.from, &mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > most {
            return Err(FrameError::Malformed);
        }
        self.bytes.resize(length, 0);
        fill(&mut self.from, &mut self.bytes)?;
        self.reached += (HEAD + length) as u64;
        Frame::of(kind[0], &self.bytes).map(Some).ok_or(FrameError::Malformed)
    }
}

fn fill(from: &mut impl Read, bytes: &mut [u8]) -> Result<(), FrameError> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => FrameError::Truncated,
        _ => FrameError::Io(error),
    })
}
