//! Writes an export, record by record: nothing is kept but a frontier, a link and what was not taken yet.

use super::frame::LEFT_OUT_MAX;
use super::gaps::Gaps;
use super::{Asked, CHECKPOINT_EVERY, End, Frame, Header, MAGIC, line};
use crate::chain::{Broken, Link};
use crate::checkpoint::Checkpoint;
use crate::note::Signer;
use crate::record::{Attribute, Record};
use crate::tree::{Frontier, Node};

/// An export in the making. It follows the records of one tenant from the first one on, whatever is asked for.
#[derive(Debug)]
pub struct Exporter {
    signer: Signer,
    tenant: String,
    asked: Asked,
    /// The caller has everything up to this sequence; zero if nothing.
    after: u64,
    frontier: Frontier,
    link: Link,
    /// The text of the header, once there is one.
    header: Option<String>,
    /// Leaves that are left out, not written yet.
    leaves: Vec<u8>,
    /// The link before the record that came last.
    previous: Link,
    gaps: Gaps,
    /// Whether a checkpoint was the last that was written.
    is_checkpointed: bool,
    out: Vec<u8>,
}

impl Exporter {
    /// Of the events of `tenant`, whose name the signer's ends with, that are `asked` for. Whoever has the same
    /// export up to its checkpoint `after` that sequence gets what follows; all of it, if that is zero.
    #[must_use]
    pub fn new(signer: Signer, tenant: &str, asked: Asked, after: u64) -> Self {
        Self {
            signer,
            tenant: tenant.to_owned(),
            asked,
            after,
            frontier: Frontier::default(),
            link: Link::GENESIS,
            header: None,
            leaves: Vec::new(),
            previous: Link::GENESIS,
            gaps: Gaps::default(),
            is_checkpointed: false,
            out: Vec::new(),
        }
    }

    /// The sequence of the last record that it was given.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.frontier.size()
    }

    /// Whether the first record that is asked for was reached.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.header.is_some()
    }

    /// Follows a record before the first one.
    ///
    /// # Errors
    ///
    /// [`Broken`] if it does not follow the one before it: nothing of that is signed.
    pub fn pass(&mut self, record: &Record) -> Result<(), Broken> {
        self.follow(record).map(|_| ())
    }

    /// The first record that is asked for is the next one.
    pub fn begin(&mut self) {
        let header = Header {
            origin: self.signer.key().name().to_owned(),
            tenant: self.tenant.clone(),
            first: self.frontier.size() + 1,
            chain: self.link.to_string(),
            frontier: self.frontier.peaks().iter().map(ToString::to_string).collect(),
            asked: self.asked.clone(),
        };
        let header = line(&header);
        self.out.extend_from_slice(MAGIC);
        Frame::Header(self.signer.note(&header).as_bytes()).write(&mut self.out);
        self.header = Some(header);
        self.leave_to_the_caller();
    }

    /// Takes the next record, all of it.
    ///
    /// # Errors
    ///
    /// As for [`Exporter::pass`].
    pub fn show(&mut self, record: &Record) -> Result<(), Broken> {
        self.follow(record)?;
        self.write_leaves();
        let (previous, link, canonical) = (self.previous, self.link, record.canonical());
        let frame = match self.gaps.open() {
            None => Frame::Event { link, canonical },
            Some(_) => Frame::EventAfterGap { previous, link, canonical },
        };
        frame.write(&mut self.out);
        self.gaps.show(self.reached());
        self.settle();
        Ok(())
    }

    /// Takes the next record, and shows no more of it than that it is there.
    ///
    /// # Errors
    ///
    /// As for [`Exporter::pass`].
    pub fn leave_out(&mut self, record: &Record) -> Result<(), Broken> {
        let leaf = self.follow(record)?;
        self.leaves.extend_from_slice(&leaf.0);
        if self.leaves.len() == leaf.0.len() * LEFT_OUT_MAX {
            self.write_leaves();
        }
        self.gaps.leave_out(self.reached());
        self.settle();
        Ok(())
    }

    /// Ends it with the last record that it was given, at this instant (RFC 3339). None if what the caller has goes further than that,
    /// or it never began.
    #[must_use]
    pub fn end(mut self, at: &str) -> Option<Vec<u8>> {
        self.write_leaves();
        if !self.is_checkpointed {
            self.checkpoint();
        }
        let (last, gaps) = (self.frontier.size(), self.gaps);
        let end = line(&End::of(last, self.header.as_deref()?, gaps, at.to_owned()));
        Frame::End(self.signer.note(&end).as_bytes()).write(&mut self.out);
        (self.frontier.size() >= self.after).then_some(self.out)
    }

    /// What was written since it was last taken, and the caller does not have.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        let written = std::mem::take(&mut self.out);
        if self.frontier.size() < self.after { Vec::new() } else { written }
    }

    fn follow(&mut self, record: &Record) -> Result<Node, Broken> {
        let (sequence, tenant) = (self.frontier.size() + 1, &self.tenant);
        let found = record.attribute(Attribute::Sequence);
        if found.parse() != Ok(sequence) || record.attribute(Attribute::Tenant) != tenant {
            let (tenant, found) = (tenant.clone(), found.to_owned());
            return Err(Broken::Sequence { tenant, expected: sequence, found });
        }
        let link = self.link.then(record.canonical());
        if link != record.link() {
            return Err(Broken::Link { tenant: tenant.clone(), sequence });
        }
        let leaf = Node::leaf(record.canonical());
        self.frontier.push(leaf);
        self.previous = std::mem::replace(&mut self.link, link);
        self.is_checkpointed = false;
        Ok(leaf)
    }

    fn settle(&mut self) {
        if self.frontier.size().is_multiple_of(CHECKPOINT_EVERY) {
            self.checkpoint();
        }
        self.leave_to_the_caller();
    }

    fn checkpoint(&mut self) {
        self.write_leaves();
        let (origin, size) = (self.signer.key().name().to_owned(), self.frontier.size());
        let checkpoint = Checkpoint { origin, size, root: self.frontier.root() };
        let note = self.signer.note(&checkpoint.text());
        Frame::Checkpoint(note.as_bytes()).write(&mut self.out);
        self.is_checkpointed = true;
    }

    fn write_leaves(&mut self) {
        if !self.leaves.is_empty() {
            Frame::LeftOut(&self.leaves).write(&mut self.out);
            self.leaves.clear();
        }
    }

    /// Forgets what the caller has, once that is all there is. It ends with a checkpoint.
    fn leave_to_the_caller(&mut self) {
        if self.after > 0 && self.frontier.size() == self.after {
            self.leaves.clear();
            self.out.clear();
            self.is_checkpointed = true;
        }
    }
}
