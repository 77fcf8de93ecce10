//! Everything that can be done to an export of 100,000 events, at random places, and where it is found.
//!
//! What precedes the checkpoint before such a place is verified once and not every time: only what
//! follows can find anything. A change is found at its very event where the chain shows it, and between
//! two checkpoints where somebody has made the chain anew.

use std::io::Read;
use std::ops::Range;

use super::*;

/// How many events the export has.
const EVENTS: u64 = 100_000;

/// How often each of ten classes of change is tried: so that all are seen, 1,500 times together, and ten
/// times that.
fn count() -> u64 {
    match std::env::var("CALLBOARD_TEST_PROFILE").as_deref() {
        Ok("ci") => 150,
        Ok("full") => 1_500,
        _ => 12,
    }
}

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// `bytes` of which one bit is another, not in front of `from`.
    fn changed(&mut self, bytes: &[u8], from: usize) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        changed[from + self.index(bytes.len() - from)] ^= 1 << self.below(8);
        changed
    }
}

/// An export, where each part of it lies, and verifications that have got to each checkpoint.
struct File {
    records: Vec<Record>,
    bytes: Vec<u8>,
    events: Vec<Range<usize>>,
    /// The checkpoints after the events that have as many before them.
    checkpoints: Vec<(u64, Range<usize>)>,
    end: Range<usize>,
    begun: Vec<(usize, Verifier)>,
}

impl File {
    fn new() -> Self {
        let records = history(EVENTS);
        let bytes = export(&records, 1, |_| true, 0);
        let (mut events, mut checkpoints, mut end) = (Vec::new(), Vec::new(), 0..0);
        let mut frames = Frames::open(&*bytes).unwrap();
        let keys = [signer(ORIGIN, 1).key().clone()];
        let mut verifier = Verifier::new(frames.read().unwrap(), &keys, None).unwrap();
        let mut start = usize::try_from(frames.reached()).unwrap();
        let mut begun = vec![(start, verifier.clone())];
        while let Some(frame) = frames.read().unwrap() {
            verifier.take(frame).unwrap();
            let (is_event, is_end) =
                (matches!(frame, Frame::Event { .. }), matches!(frame, Frame::End(_)));
            let range = start..usize::try_from(frames.reached()).unwrap();
            start = range.end;
            if is_event {
                events.push(range);
            } else if is_end {
                end = range;
            } else {
                begun.push((range.end, verifier.clone()));
                checkpoints.push((verifier.reached(), range));
            }
        }
        Self { records, bytes, events, checkpoints, end, begun }
    }

    fn event(&self, sequence: u64) -> Range<usize> {
        self.events[usize::try_from(sequence - 1).unwrap()].clone()
    }

    /// What is found where the bytes of `range` are others.
    fn replaced(&self, range: &Range<usize>, by: &[u8]) -> Fault {
        let index = self.begun.partition_point(|(at, _)| *at <= range.start) - 1;
        let (from, verifier) = &self.begun[index];
        let rest = self.bytes[*from..range.start].chain(by).chain(&self.bytes[range.end..]);
        let mut verifier = verifier.clone();
        let mut frames = Frames::within(rest);
        loop {
            let place = verifier.due();
            match frames.read() {
                Ok(Some(frame)) => match verifier.take(frame) {
                    Ok(()) => {}
                    Err(fault) => return fault,
                },
                Ok(None) => return verifier.finish().expect_err("something was changed"),
                Err(_) => return Fault { place, what: What::Misplaced },
            }
        }
    }

    /// Which checkpoint is the first after an event.
    fn next_checkpoint(&self, sequence: u64) -> usize {
        self.checkpoints.partition_point(|(size, _)| *size < sequence)
    }

    /// From one checkpoint to the next, around an event.
    fn around(&self, sequence: u64) -> Place {
        let next = self.next_checkpoint(sequence);
        let before = next.checked_sub(1).map_or(0, |it| self.checkpoints[it].0);
        Place::Between(before + 1, self.checkpoints[next].0)
    }

    /// The leaf of an event instead of it, what is between it and the next one, and that.
    fn without(&self, sequence: u64, between: &[u8]) -> Vec<u8> {
        let at = usize::try_from(sequence - 1).unwrap();
        let [this, next] = [&self.records[at], &self.records[at + 1]];
        let (leaf, mut bytes) = (Node::leaf(this.canonical()), Vec::new());
        Frame::LeftOut(&leaf.0).write(&mut bytes);
        bytes.extend_from_slice(between);
        let (previous, link, canonical) = (this.link(), next.link(), &**next.canonical());
        Frame::EventAfterGap { previous, link, canonical }.write(&mut bytes);
        bytes
    }

    /// An event with another value, and those that follow it up to the next checkpoint, chained to it.
    fn forged(&self, sequence: u64) -> (Range<usize>, Vec<u8>) {
        let last = self.checkpoints[self.next_checkpoint(sequence)].0;
        let at = usize::try_from(sequence - 1).unwrap();
        let mut link = at.checked_sub(1).map_or(Link::GENESIS, |it| self.records[it].link());
        let changed = seal(TENANT, &sequence.to_string(), "1/1", b"{}", link);
        let following = &self.records[at + 1..usize::try_from(last).unwrap()];
        let mut forged = Vec::new();
        for record in std::iter::once(&changed).chain(following) {
            link = link.then(record.canonical());
            Frame::Event { link, canonical: record.canonical() }.write(&mut forged);
        }
        (self.event(sequence).start..self.event(last).end, forged)
    }
}

#[test]
fn whatever_is_done_to_events_is_found_where_it_was_done() {
    let (file, mut random) = (File::new(), Random(0x0bad_5eed_0bad_5eed));
    for _ in 0..count() {
        let sequence = 1 + random.below(EVENTS - 1);
        let (event, next) = (file.event(sequence), file.event(sequence + 1));
        let bytes = &file.bytes[event.clone()];

        let changed = random.changed(bytes, 0);
        assert_eq!(file.replaced(&event, &changed).place, Place::At(sequence), "changed");

        assert_eq!(file.replaced(&event, &[]).place, Place::At(sequence), "dropped");

        let cut = event.start + random.index(event.len());
        let place = file.replaced(&(cut..file.bytes.len()), &[]).place;
        assert_eq!(place, Place::At(sequence), "truncated");

        // What follows a checkpoint does not follow without it.
        let is_last = sequence.is_multiple_of(CHECKPOINT_EVERY);
        let inserted = file.replaced(&event, &[bytes, bytes].concat()).place;
        let after = if is_last { Place::After(sequence) } else { Place::At(sequence + 1) };
        assert_eq!(inserted, after, "inserted");

        let between = &file.bytes[event.end..next.start];
        let swapped = [&file.bytes[next.clone()], between, bytes].concat();
        let place = file.replaced(&(event.start..next.end), &swapped).place;
        assert_eq!(place, Place::At(sequence), "swapped");

        // The tree is the same.
        let fault = file.replaced(&(event.start..next.end), &file.without(sequence, between));
        assert_eq!((fault.place, fault.what), (Place::At(sequence), What::LeftOut), "left out");

        let (range, forged) = file.forged(sequence);
        let fault = file.replaced(&range, &forged);
        assert_eq!((fault.place, fault.what), (file.around(sequence), What::Root), "forged");
    }
}

#[test]
fn another_checkpoint_end_or_header_is_found() {
    let (file, mut random) = (File::new(), Random(0x0dd_5eed));
    let other = export(&file.records[..10], 1, |_| true, 0);
    let mut frames = Frames::open(&*other).unwrap();
    let mut end_of_other = Vec::new();
    while let Some(frame) = frames.read().unwrap() {
        if let Frame::End(_) = frame {
            frame.write(&mut end_of_other);
        }
    }
    let fault = file.replaced(&file.end, &end_of_other);
    assert_eq!((fault.place, fault.what), (Place::After(EVENTS), What::End));
    for _ in 0..count() {
        let (size, range) = &file.checkpoints[random.index(file.checkpoints.len())];
        let changed = random.changed(&file.bytes[range.clone()], 5);
        assert_eq!(file.replaced(range, &changed).place, Place::After(*size), "checkpoint");

        let changed = random.changed(&file.bytes[file.end.clone()], 5);
        assert_eq!(file.replaced(&file.end, &changed).place, Place::After(EVENTS), "end");

        let changed = random.changed(&file.bytes[..file.begun[0].0], 0);
        assert_eq!(check(&changed).unwrap_err().place, Place::Header, "header");
    }
}

#[test]
fn what_is_done_to_events_that_are_left_out_is_found_between_two_checkpoints() {
    let file = export(&HISTORY, 1, |it| it.is_multiple_of(100), 0);
    for sequence in [1, 99, 101, 4_095, 4_097, 5_050, 9_998] {
        let leaf = Node::leaf(HISTORY[sequence - 1].canonical()).0;
        let at = file.windows(leaf.len()).position(|it| it == leaf).unwrap();
        let mut changed = file.clone();
        changed[at] ^= 1;
        let fault = check(&changed).unwrap_err();
        let Place::Between(first, last) = fault.place else { panic!("{fault}") };
        assert!((first..=last).contains(&(sequence as u64)), "{fault}");
        assert!(last - first < CHECKPOINT_EVERY, "{fault}");
    }
}

/// Where a filter has left out events, the tree does not show that one more was.
#[test]
fn an_event_that_a_filter_shows_is_not_left_out_later() {
    let shown = |it: u64| it % 10 < 5;
    let file = export(&HISTORY[..100], 1, shown, 0);
    assert!(check(&file).is_ok());
    for sequence in [22, 24, 43] {
        // As a file would be of which somebody has left it out, with the end that was signed.
        let less = export(&HISTORY[..100], 1, |it| shown(it) && it != sequence, 0);
        let end_of = |file: &[u8]| {
            let (mut frames, mut before) = (Frames::open(file).unwrap(), 0);
            while let Some(frame) = frames.read().unwrap() {
                if matches!(frame, Frame::End(_)) {
                    break;
                }
                before = usize::try_from(frames.reached()).unwrap();
            }
            before
        };
        let forged = [&less[..end_of(&less)], &file[end_of(&file)..]].concat();
        let fault = check(&forged).unwrap_err();
        assert_eq!((fault.place, fault.what), (Place::Between(1, 100), What::LeftOut));
    }
}
