//! What one tenant has written that is not shown yet, and how much that may be.
//!
//! Only counting: time arrives as an argument, and nobody waits in here.

use std::collections::VecDeque;
use std::time::Duration;

use event_log::{Partition, Position};
use tokio::time::Instant;

/// How far ahead of the read models a tenant may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lead {
    /// How long it takes to show as much.
    time: Duration,
    /// The fewest and the most events that may be, however fast they are shown.
    events: (usize, usize),
}

/// Where others write too: what is shown in 20 ms, a moment that nobody notices, and at least as
/// much as the read models apply without letting a crowd gather.
pub(super) const BESIDE_OTHERS: Lead =
    Lead { time: Duration::from_millis(20), events: (16, 4_096) };

/// Where nobody else writes: what is shown in half a second, so that the tenant itself sees what it
/// wrote before it wonders, and at least two of the largest requests.
pub(super) const ALONE: Lead = Lead { time: Duration::from_millis(500), events: (1_024, 65_536) };

/// The entries of a queue that are told apart: 1,024. Beyond that the last ones count as one.
const TOLD_APART_MAX: usize = 1_024;

/// Over which time the speed is measured; what lies further back counts half, and half again. In
/// milliseconds: 500.
const MEASURED_MAX: Duration = Duration::from_millis(500);

/// How long nothing was shown before anything is measured, so that it takes more than one moment to
/// be fast. In milliseconds: 50.
const MEASURED_MIN: Duration = Duration::from_millis(50);

/// The events of one tenant that are not shown.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Where it writes; none before its first write.
    partition: Option<Partition>,
    /// Where each write ends and how many events it has, the oldest first.
    written: Queue<Position>,
    /// What may have been written for callers that hung up, and until when that counts.
    abandoned: Queue<Instant>,
    /// All events that are not known to be shown: written, abandoned, or reserved.
    unseen: usize,
    /// Where the read models stand that somebody has waited for in vain.
    stalled_at: Option<Position>,
    /// When something of what is written was last seen to be shown, or when the first of it was.
    since: Option<Instant>,
    /// How fast its events are shown.
    speed: Speed,
}

impl Account {
    /// Where it writes.
    pub(super) fn partition(&self) -> Option<Partition> {
        self.partition
    }

    #[cfg(test)]
    pub(super) fn unseen(&self) -> usize {
        self.unseen
    }

    /// Where the oldest write ends that is not shown.
    pub(super) fn oldest(&self) -> Option<(Partition, Position)> {
        Some((self.partition?, self.written.oldest()?))
    }

    /// Reserves `events` if they are within `lead`, or nothing is unseen, or waiting is in vain.
    pub(super) fn admit(&mut self, events: usize, lead: &Lead) -> bool {
        let (min, max) = lead.events;
        let allowance = self.speed.events_in(lead.time).clamp(min, max);
        let is_admitted =
            self.unseen == 0 || self.unseen + events <= allowance || self.stalled_at.is_some();
        if is_admitted {
            self.reserve(events);
        }
        is_admitted
    }

    /// Counts `events` that a request may write.
    pub(super) fn reserve(&mut self, events: usize) {
        self.unseen += events;
    }

    /// Counts `events` of a request no more.
    pub(super) fn release(&mut self, events: usize) {
        self.unseen -= events;
    }

    /// Counts so many events that were written up to `position`.
    pub(super) fn wrote(
        &mut self,
        partition: Partition,
        position: Position,
        events: usize,
        now: Instant,
    ) {
        if self.partition != Some(partition) {
            self.unseen -= self.written.take(|_| true);
            (self.partition, self.stalled_at) = (Some(partition), None);
        }
        if self.written.oldest().is_none() {
            self.since = Some(now);
        }
        self.unseen += events;
        self.written.push(position, events);
    }

    /// Counts reserved `events` until then, since nobody will tell what became of them.
    pub(super) fn abandon(&mut self, events: usize, until: Instant) {
        self.abandoned.push(until, events);
    }

    /// Notes that everything before `upto` is shown; how many more events of the tenant that are.
    pub(super) fn see(&mut self, upto: Position, now: Instant) -> usize {
        if self.stalled_at.is_some_and(|it| it != upto) {
            self.stalled_at = None;
        }
        let seen = self.written.take(|it| it < upto);
        self.unseen -= seen + self.abandoned.take(|it| it <= now);
        if seen > 0 {
            let since = self.since.replace(now).unwrap_or(now);
            self.speed.note(seen, now.saturating_duration_since(since));
        }
        seen
    }

    /// Has nobody wait until something more than what is before `upto` is shown.
    pub(super) fn stalled_at(&mut self, upto: Position) {
        self.stalled_at = Some(upto);
    }
}

/// Numbers of events, each at a place, the first place first.
#[derive(Debug)]
struct Queue<P>(VecDeque<(P, usize)>);

impl<P> Default for Queue<P> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<P: Ord + Copy> Queue<P> {
    fn oldest(&self) -> Option<P> {
        self.0.front().map(|it| it.0)
    }

    fn push(&mut self, place: P, events: usize) {
        let is_full = self.0.len() >= TOLD_APART_MAX;
        match self.0.back_mut().filter(|_| is_full) {
            Some(last) => *last = (place.max(last.0), last.1 + events),
            None => self.0.push_back((place, events)),
        }
    }

    /// Takes those off whose turn it is; how many events that are.
    fn take(&mut self, is_due: impl Fn(P) -> bool) -> usize {
        let next = || self.0.pop_front_if(|it| is_due(it.0));
        std::iter::from_fn(next).map(|it| it.1).sum()
    }
}

/// How many events were shown in a time.
///
/// Who looks seldom takes them for slower than they are, which a tenant that is far ahead never
/// does.
#[derive(Debug)]
struct Speed {
    events: usize,
    time: Duration,
}

impl Default for Speed {
    fn default() -> Self {
        Self { events: 0, time: MEASURED_MIN }
    }
}

impl Speed {
    /// Notes that so many events were shown in that time.
    fn note(&mut self, events: usize, time: Duration) {
        self.events += events;
        self.time += time;
        while self.time > MEASURED_MAX {
            self.events /= 2;
            self.time /= 2;
        }
    }

    /// How many events are shown in `time`.
    fn events_in(&self, time: Duration) -> usize {
        let events = self.events as u128 * time.as_micros() / self.time.as_micros().max(1);
        usize::try_from(events).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests;
