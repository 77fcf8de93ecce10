//! Verifies an export, frame by frame, and says where the first thing is that is not as it was stored.
//!
//! The chain shows at which event something was changed. Whoever changes an event and makes the chain anew for
//! all that follow cannot sign the tree, so that shows at the next checkpoint, and lies between it and the one
//! before. Without a key nobody's word is taken for the checkpoints: then only what the file says of itself is
//! compared.

mod found;

use std::io::Read;
use std::sync::Arc;

pub use self::found::{Earlier, Fault, Place, Relation, Report, VerifyError, What};
use super::frame::nodes;
use super::gaps::Gaps;
use super::{CHECKPOINT_EVERY, End, Frame, FrameError, Frames, Header};
use crate::chain::Link;
use crate::checkpoint::Checkpoint;
use crate::note::{Note, NoteError, VerifierKey};
use crate::record::{Attribute, View};
use crate::tree::{Frontier, Node};

/// Verifies the whole of an export. `seen` is told how many bytes were read, now and then.
///
/// # Errors
///
/// [`VerifyError`].
pub fn verify(
    from: impl Read,
    keys: &[VerifierKey],
    earlier: Option<Earlier>,
    mut seen: impl FnMut(u64),
) -> Result<Report, VerifyError> {
    let broken = |error, place| match error {
        FrameError::Io(error) => VerifyError::Io(error),
        FrameError::Malformed => Fault { place, what: What::Misplaced }.into(),
        FrameError::Truncated => Fault { place, what: What::BrokenOff }.into(),
    };
    let mut frames = Frames::open(from).map_err(|it| broken(it, Place::Header))?;
    let first = frames.read().map_err(|it| broken(it, Place::Header))?;
    let mut verifier = Verifier::new(first, keys, earlier)?;
    while let Some(frame) = frames.read().map_err(|it| broken(it, verifier.due()))? {
        let is_checkpoint = matches!(frame, Frame::Checkpoint(_));
        verifier.take(frame)?;
        if is_checkpoint {
            seen(frames.reached());
        }
    }
    Ok(verifier.finish()?)
}

/// Where a verification has got to.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Arc<[VerifierKey]>,
    earlier: Option<Earlier>,
    text: Arc<str>,
    header: Arc<Header>,
    frontier: Frontier,
    link: Link,
    gaps: Gaps,
    /// Everything up to this sequence is as a checkpoint says.
    confirmed: u64,
    is_checkpointed: bool,
    /// When its end was signed, once that was there.
    ended_at: Option<String>,
    is_beginning: bool,
    shown: u64,
    left_out: u64,
    checkpoints: u64,
}

impl Verifier {
    /// Of the export that begins with this frame. Without `keys` no signature is verified.
    ///
    /// # Errors
    ///
    /// [`Fault`] if it is no header, or one that cannot be.
    pub fn new(
        first: Option<Frame<'_>>,
        keys: &[VerifierKey],
        earlier: Option<Earlier>,
    ) -> Result<Self, Fault> {
        let fault = |what| Fault { place: Place::Header, what };
        let Some(Frame::Header(note)) = first else {
            return Err(fault(first.map_or(What::BrokenOff, |_| What::Misplaced)));
        };
        let text = signed(note, keys).map_err(|it| fault(it.into()))?;
        let header: Header = serde_json::from_str(text).map_err(|_| fault(What::Header))?;
        let before = header.before().ok_or_else(|| fault(What::Header))?;
        // One key signs for many under names of their own, and others under theirs: what is signed under another
        // name proves nothing here.
        let own: Vec<_> = keys.iter().filter(|it| it.name() == header.origin).cloned().collect();
        let is_of_key = keys.is_empty() || !own.is_empty();
        let is_whole = super::line(&header) == text && header.origin.ends_with(&header.tenant);
        if !is_of_key || !is_whole || (header.first == 1 && before.1 != Link::GENESIS) {
            return Err(fault(What::Header));
        }
        signed(note, &own).map_err(|it| fault(it.into()))?;
        if earlier.as_ref().is_some_and(|it| it.origin != header.origin) {
            return Err(fault(What::NotEarlier));
        }
        let mut verifier = Self {
            keys: own.into(),
            earlier,
            text: text.into(),
            confirmed: header.first - 1,
            header: Arc::new(header),
            frontier: before.0,
            link: before.1,
            gaps: Gaps::default(),
            is_checkpointed: false,
            ended_at: None,
            is_beginning: false,
            shown: 0,
            left_out: 0,
            checkpoints: 0,
        };
        verifier.compare()?;
        Ok(verifier)
    }

    /// What the file says of itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The sequence of the last event that was taken.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.frontier.size()
    }

    /// Whether the statement that it is the end was there.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    /// Where the next event is due.
    pub(super) fn due(&self) -> Place {
        Place::At(self.reached() + 1)
    }

    /// Takes the next frame.
    ///
    /// # Errors
    ///
    /// [`Fault`], and then nothing else may be taken.
    pub fn take(&mut self, frame: Frame<'_>) -> Result<(), Fault> {
        let after = Place::After(self.reached());
        if self.has_ended() {
            return Err(Fault { place: after, what: What::Misplaced });
        }
        if let Frame::Event { .. } | Frame::EventAfterGap { .. } | Frame::LeftOut(_) = frame
            && self.needs_checkpoint()
        {
            return Err(Fault { place: after, what: What::NoCheckpoint });
        }
        let may_leave_out = self.header.asked.is_filtered();
        match frame {
            // Where nothing was to be left out nothing is, though the tree would not show it.
            Frame::EventAfterGap { .. } | Frame::LeftOut(_) if !may_leave_out => {
                Err(Fault { place: self.due(), what: What::LeftOut })
            }
            Frame::Header(_) => Err(Fault { place: self.due(), what: What::Misplaced }),
            Frame::Event { link, canonical } => match self.gaps.open() {
                Some(_) => Err(Fault { place: self.due(), what: What::Misplaced }),
                None => self.event(link, canonical),
            },
            Frame::EventAfterGap { previous, link, canonical } => match self.gaps.open() {
                Some(_) => {
                    self.link = previous;
                    self.event(link, canonical)
                }
                None => Err(Fault { place: self.due(), what: What::Misplaced }),
            },
            Frame::LeftOut(leaves) => self.leave_out(leaves),
            Frame::Checkpoint(note) => self.checkpoint(note),
            Frame::End(note) => self.end(note).map_err(|(place, what)| Fault { place, what }),
        }
    }

    fn needs_checkpoint(&self) -> bool {
        let reached = self.reached();
        reached.is_multiple_of(CHECKPOINT_EVERY)
            && reached >= self.header.first
            && !self.is_checkpointed
    }

    fn event(&mut self, link: Link, canonical: &[u8]) -> Result<(), Fault> {
        let due = self.reached() + 1;
        let place = Place::At(due);
        let record = View::of(canonical).map_err(|it| Fault { place, what: it.into() })?;
        let sequence = record.attribute(Attribute::Sequence);
        if sequence.parse() != Ok(due) {
            let what = What::Sequence(sequence.chars().take(64).collect());
            let place = self.gaps.open().map_or(place, |first| Place::Between(first, due));
            return Err(Fault { place, what });
        }
        let tenant = record.attribute(Attribute::Tenant);
        if tenant != self.header.tenant {
            return Err(Fault { place, what: What::Tenant(tenant.chars().take(64).collect()) });
        }
        if self.link.then(canonical) != link {
            return Err(Fault { place, what: What::Chain });
        }
        self.link = link;
        self.gaps.show(due);
        self.shown += 1;
        self.push(Node::leaf(canonical))
    }

    fn leave_out(&mut self, leaves: &[u8]) -> Result<(), Fault> {
        for leaf in nodes(leaves) {
            if self.needs_checkpoint() {
                let place = Place::After(self.reached());
                return Err(Fault { place, what: What::NoCheckpoint });
            }
            self.gaps.leave_out(self.reached() + 1);
            self.left_out += 1;
            self.push(leaf)?;
        }
        Ok(())
    }

    fn push(&mut self, leaf: Node) -> Result<(), Fault> {
        self.frontier.push(leaf);
        self.is_checkpointed = false;
        self.compare()
    }

    /// Compares the tree with the earlier one, where that ended.
    fn compare(&mut self) -> Result<(), Fault> {
        let Some(earlier) = self.earlier.as_ref().filter(|it| it.last == self.reached()) else {
            return Ok(());
        };
        if earlier.root != self.frontier.root() {
            let place = Place::Between(1, self.reached());
            return Err(Fault { place, what: What::NotEarlier });
        }
        self.is_beginning = true;
        Ok(())
    }

    fn checkpoint(&mut self, note: &[u8]) -> Result<(), Fault> {
        let (reached, after) = (self.reached(), Place::After(self.reached()));
        let text =
            signed(note, &self.keys).map_err(|it| Fault { place: after, what: it.into() })?;
        let checkpoint = Checkpoint::parse(text).filter(|it| it.origin == self.header.origin);
        let checkpoint = checkpoint.ok_or(Fault { place: after, what: What::Checkpoint })?;
        if checkpoint.size != reached {
            let due = reached + 1;
            let missing =
                self.gaps.open().map_or(Place::At(due), |first| Place::Between(first, due));
            // If somebody stands for it, what is wrong is among the events.
            let place = if self.keys.is_empty() { after } else { missing };
            return Err(Fault { place, what: What::Checkpoint });
        }
        if checkpoint.root != self.frontier.root() {
            let place = Place::Between((self.confirmed + 1).min(reached), reached);
            return Err(Fault { place, what: What::Root });
        }
        (self.confirmed, self.is_checkpointed) = (reached, true);
        self.checkpoints += 1;
        Ok(())
    }

    fn end(&mut self, note: &[u8]) -> Result<(), (Place, What)> {
        let (last, after) = (self.reached(), Place::After(self.reached()));
        if !self.is_checkpointed {
            return Err((after, What::NoCheckpoint));
        }
        let text = signed(note, &self.keys).map_err(|it| (after, it.into()))?;
        let end: End = serde_json::from_str(text).map_err(|_| (after, What::End))?;
        let due = End::of(last, &self.text, self.gaps.clone(), end.at.clone());
        if (&end.header, end.last) != (&due.header, last) || super::line(&end) != text {
            return Err((after, What::End));
        }
        if end.left_out != due.left_out {
            return Err((Place::Between(self.header.first, last), What::LeftOut));
        }
        self.ended_at = Some(end.at);
        Ok(())
    }

    /// What was found, if that was all of the file.
    ///
    /// # Errors
    ///
    /// [`Fault`] if something is missing.
    pub fn finish(self) -> Result<Report, Fault> {
        let due = self.due();
        let ended_at = self.ended_at.ok_or(Fault { place: due, what: What::BrokenOff })?;
        let last = self.frontier.size();
        if self.earlier.as_ref().is_some_and(|it| it.last > last) {
            return Err(Fault { place: Place::After(last), what: What::EndsBeforeEarlier });
        }
        let relation = match (&self.earlier, self.is_beginning) {
            (None, _) => Relation::NotAsked,
            (Some(_), true) => Relation::Beginning,
            (Some(_), false) => Relation::Unknown,
        };
        Ok(Report {
            last,
            at: ended_at,
            root: self.frontier.root(),
            header: Arc::unwrap_or_clone(self.header),
            shown: self.shown,
            left_out: self.left_out,
            gaps: self.gaps.count(),
            checkpoints: self.checkpoints,
            is_signed: !self.keys.is_empty(),
            relation,
        })
    }
}

/// The text of a note that one of `keys` stands for, if there are any.
fn signed<'a>(note: &'a [u8], keys: &[VerifierKey]) -> Result<&'a str, NoteError> {
    let note = Note::parse(note)?;
    if !keys.is_empty() {
        note.verify(keys)?;
    }
    Ok(note.text())
}
