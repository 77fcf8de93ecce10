//! The thread that does what an append must not wait for: it makes segments ready ahead of their
//! use and packs sealed ones into archives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use super::archive;
use super::blocks::Blocks;
use super::partition::{Shared, Stored};
use super::segment::Segment;
use crate::port::LogError;

/// Something to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Make the segment with this sequence ready; the answer goes to the appender.
    Prepare { sequence: u64, bytes: u64 },
    /// Pack the sealed segments that are not packed yet.
    Archive,
    /// Stop, whatever else there is to do.
    Stop,
}

/// The state of the thread.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) blocks: Blocks,
    /// Where prepared segments go.
    pub(super) prepared: Sender<Result<Segment, LogError>>,
}

impl Keeper {
    /// Works until told to stop.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut waiting = VecDeque::new();
        loop {
            match jobs.try_recv() {
                // Somebody may already be waiting for a segment.
                Ok(job @ Job::Prepare { .. }) => waiting.push_front(job),
                Ok(Job::Stop) | Err(TryRecvError::Disconnected) => return,
                Ok(job) => waiting.push_back(job),
                Err(TryRecvError::Empty) => match waiting.pop_front() {
                    Some(job) => self.work(&job),
                    None => match jobs.recv() {
                        Ok(Job::Stop) | Err(_) => return,
                        Ok(job) => waiting.push_back(job),
                    },
                },
            }
        }
    }

    fn work(&mut self, job: &Job) {
        match *job {
            Job::Prepare { sequence, bytes } => {
                // Without a receiver the log is closing.
                drop(self.prepared.send(self.blocks.prepare(sequence, bytes)));
            }
            Job::Archive => self.archive(),
            Job::Stop => (),
        }
    }

    /// Packs every sealed segment, also those that could not be packed when they were sealed.
    fn archive(&mut self) {
        for part in self.shared.unarchived() {
            let Stored::Segment { segment, .. } = part.stored else { continue };
            let location = &self.shared.location;
            let path = location.archive_path(part.sequence);
            let files = &*location.files;
            if let Err(error) = archive::pack(files, &path, &segment, part.first, part.end) {
                // Nothing is lost: the segment stays, and the next job tries again.
                tracing::warn!(
                    log.partition = %location.partition,
                    file = %path.display(),
                    error = &error as &dyn std::error::Error,
                    "a sealed segment could not be archived"
                );
                return;
            }
            self.shared.archived(part.sequence);
            self.blocks.recycle(segment);
        }
    }
}
