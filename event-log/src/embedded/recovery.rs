//! What a partition's folder says after whatever happened to the process or the machine.
//!
//! Parts follow each other by position from 0. A segment that is not the last one must reach
//! the first position of the next exactly; frames behind that were never acknowledged. In the
//! last one only the last batch can be torn, since each is synced before the next is written:
//! a bad frame at the end is cut and reported, a bad frame with a good one behind it is damage.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use super::files::failed;
use super::frame::HEADER_BYTES;
use super::location::Location;
use super::partition::{Open, Part, Stored};
use super::segment::{Scan, Segment};
use crate::port::{LogError, Partition, Position};

/// A batch that was being written when the power or the process went, and that nobody was told
/// of. It was cut off when the log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where it was.
    pub partition: Partition,
    /// The file it began in.
    pub file: PathBuf,
    /// Where in the file. In bytes.
    pub offset: u64,
    /// The position its first record would have had: now the end of the partition.
    pub position: Position,
    /// What was wrong with it.
    pub reason: &'static str,
}

/// A partition as it was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) sealed: Vec<Part>,
    /// The segment to go on in; none if there was no segment.
    pub(super) open: Option<Open>,
    pub(super) end: u64,
    pub(super) next_sequence: u64,
    /// Segments without records.
    pub(super) spares: Vec<PathBuf>,
    pub(super) torn: Option<TornTail>,
}

/// One file of records.
#[derive(Debug)]
enum Found {
    Archive {
        sequence: u64,
        archive: Archive,
    },
    /// A segment, and its first position if it begins with a whole frame.
    Segment {
        segment: Arc<Segment>,
        first: Option<u64>,
    },
}

impl Found {
    fn sequence(&self) -> u64 {
        match self {
            Self::Archive { sequence, .. } => *sequence,
            Self::Segment { segment, .. } => segment.sequence,
        }
    }

    fn first(&self) -> Option<u64> {
        match self {
            Self::Archive { archive, .. } => Some(archive.first),
            Self::Segment { first, .. } => *first,
        }
    }
}

impl Location {
    /// Reads the folder, cuts a torn tail and makes what remains durable.
    pub(super) fn recover(&self) -> Result<Recovered, LogError> {
        let mut spares = Vec::new();
        let mut used = self.list(&mut spares)?;
        let next_sequence = used.last().map_or(0, |it| it.sequence() + 1);
        let used_count = used.iter().rposition(|it| it.first().is_some()).map_or(0, |it| it + 1);
        let unused = used.split_off(used_count);
        let mut recovered =
            Recovered { sealed: Vec::new(), open: None, end: 0, next_sequence, spares, torn: None };
        let firsts: Vec<_> = used.iter().map(Found::first).collect();
        for (index, found) in used.into_iter().enumerate() {
            match (found, firsts[index + 1..].iter().find_map(|it| *it)) {
                (Found::Archive { sequence, archive }, _) => {
                    recovered.take_archive(sequence, &archive)?;
                }
                (Found::Segment { segment, .. }, Some(until)) => {
                    self.take_sealed(&mut recovered, segment, until)?;
                }
                (Found::Segment { segment, .. }, None) => {
                    self.take_last(&mut recovered, segment)?;
                }
            }
        }
        for found in &unused {
            let Found::Segment { segment, .. } = found else { continue };
            self.take_unused(&mut recovered, segment)?;
        }
        // What was found may have been named just before the process was killed: only now is it
        // safe to write over what it replaces.
        self.sync()?;
        Ok(recovered)
    }

    /// The files of records in order of their sequence.
    fn list(&self, spares: &mut Vec<PathBuf>) -> Result<Vec<Found>, LogError> {
        let reading = || failed("reading", &self.folder);
        let mut archives = BTreeSet::new();
        let mut segments = BTreeSet::new();
        for name in self.files.list(&self.folder).map_err(reading())? {
            let path = self.folder.join(&name);
            let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
            match (extension, stem.parse::<u64>()) {
                ("archive", Ok(sequence)) => drop(archives.insert(sequence)),
                ("segment", Ok(sequence)) => drop(segments.insert(sequence)),
                ("spare", Ok(_)) => spares.push(path),
                ("temporary", _) => {
                    self.files.remove(&path).map_err(failed("removing", &path))?;
                }
                _ => (),
            }
        }
        for sequence in segments.intersection(&archives) {
            spares.push(self.set_aside(&self.segment_path(*sequence))?);
        }
        let sequences = archives.union(&segments);
        sequences.map(|sequence| self.open(*sequence, archives.contains(sequence))).collect()
    }

    fn open(&self, sequence: u64, archived: bool) -> Result<Found, LogError> {
        if archived {
            return Ok(Found::Archive { sequence, archive: self.archive(sequence)? });
        }
        let segment = self.segment(sequence)?;
        let first = segment.first()?;
        Ok(Found::Segment { segment: Arc::new(segment), first })
    }

    /// A segment that others follow.
    fn take_sealed(
        &self,
        recovered: &mut Recovered,
        segment: Arc<Segment>,
        until: u64,
    ) -> Result<(), LogError> {
        let first = recovered.end;
        let scan = segment.scan(first, until)?;
        if scan.end != until {
            let reason = scan.bad.unwrap_or("the next file does not begin with the position due");
            return Err(segment.damaged(scan.end_offset, reason));
        }
        if scan.last.is_none() {
            // Its first batch was not durable and was written again to the next.
            recovered.spares.push(self.set_aside(&segment.path)?);
            return Ok(());
        }
        let sequence = segment.sequence;
        let index = Arc::new(scan.index);
        let stored = Stored::Segment { segment, index, end_offset: scan.end_offset };
        recovered.sealed.push(Part { sequence, first, end: until, stored });
        recovered.end = until;
        Ok(())
    }

    /// The last segment with records: its end is the end of the partition.
    fn take_last(&self, recovered: &mut Recovered, segment: Arc<Segment>) -> Result<(), LogError> {
        let first = recovered.end;
        let scan = segment.scan(first, u64::MAX)?;
        if let Some(good) = segment.find_frame(scan.end_offset, scan.end)? {
            let bad = scan.bad.unwrap_or("there is no frame");
            let reason = format!("{bad}, but there is a good one at byte {good}");
            return Err(segment.damaged(scan.end_offset, &reason));
        }
        if let Some(reason) = scan.bad {
            recovered.torn = Some(self.torn(&segment, scan.end_offset, scan.end, reason));
        }
        make_durable(&segment, &scan)?;
        recovered.end = scan.end;
        recovered.open =
            Some(Open { segment, first, index: scan.index, end_offset: scan.end_offset });
        Ok(())
    }

    /// A segment without a first frame, behind all others.
    fn take_unused(&self, recovered: &mut Recovered, segment: &Segment) -> Result<(), LogError> {
        let scan = segment.scan(recovered.end, u64::MAX)?;
        if let Some(good) = segment.find_frame(0, recovered.end)? {
            let reason = format!("there is no frame, but there is a good one at byte {good}");
            return Err(segment.damaged(0, &reason));
        }
        if let Some(reason) = scan.bad
            && recovered.torn.is_none()
        {
            recovered.torn = Some(self.torn(segment, 0, recovered.end, reason));
        }
        recovered.spares.push(self.set_aside(&segment.path)?);
        Ok(())
    }

    fn torn(&self, segment: &Segment, offset: u64, end: u64, reason: &'static str) -> TornTail {
        let (partition, position) = (self.partition, Position(end));
        TornTail { partition, file: segment.path.clone(), offset, position, reason }
    }

    /// Renames a segment so that it is not taken for one again.
    fn set_aside(&self, segment: &Path) -> Result<PathBuf, LogError> {
        let spare = segment.with_extension("spare");
        self.files.rename(segment, &spare).map_err(failed("renaming", segment))?;
        Ok(spare)
    }
}

impl Recovered {
    fn take_archive(&mut self, sequence: u64, archive: &Archive) -> Result<(), LogError> {
        let (first, end) = (archive.first, archive.end);
        if first != self.end {
            let reason = format!("it begins with position {first}, {} was due", self.end);
            return Err(archive.damaged_whole(&reason));
        }
        self.sealed.push(Part { sequence, first, end, stored: Stored::Archive });
        self.end = end;
        Ok(())
    }
}

/// Writes the last frame and the end mark again, and syncs.
///
/// The last frame may have been written without having been synced, or its sync may have failed:
/// then it can be read and would be lost all the same. Pages that are written anew are pages
/// whose sync can be believed.
fn make_durable(segment: &Segment, scan: &Scan) -> Result<(), LogError> {
    let mut bytes = scan.last.as_ref().map_or_else(Vec::new, |it| it.bytes.to_vec());
    let offset = scan.end_offset - bytes.len() as u64;
    bytes.resize(bytes.len() + HEADER_BYTES, 0);
    segment.file.write_at(offset, &bytes).map_err(failed("writing", &segment.path))?;
    segment.file.sync().map_err(failed("syncing", &segment.path))
}
