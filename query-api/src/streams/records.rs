//! The records of one partition from any place on: old ones from the log, new ones from the
//! tail that all followers share.
//!
//! Both are taken by position, so there is neither gap nor repetition where one becomes the
//! other, in either direction: a follower that falls too far behind goes back to the log, and is
//! let into the tail again once it has caught up.

use std::fmt;
use std::sync::Arc;

use commands::{Lookup, Lookups};
use domain::id::TenantId;
use event_log::{LogError, Partition, Position, Reader};

use super::tail::{Found, Owned, RECORDS_MAX, Tail, Tails};

/// Reads one partition for a tenant, for as long as it is polled.
pub(super) struct Records {
    lookups: Lookups,
    tails: Tails,
    tenant: TenantId,
    partition: Partition,
    /// Everything before this place was handed out.
    reached: Position,
    /// Where the log ended when reading it began: before that nothing has to be waited for.
    end: Position,
    /// Held from the first time it might be of use, so that it goes on keeping what is new while
    /// the log is read up to where it begins.
    tail: Option<Arc<Tail>>,
    /// Whether the tail failed of which something was expected last.
    has_failed: bool,
    source: Source,
}

enum Source {
    Nowhere,
    Log(Box<dyn Reader>),
    Tail,
    /// Two tails failed in a row: from here on, whatever the log says.
    Alone(Box<dyn Reader>),
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} from {})", self.partition, self.reached.0)
    }
}

impl Records {
    /// Everything at or after `from`; from the end of the log on if there is none.
    pub(super) async fn open(
        lookups: Lookups,
        tails: Tails,
        (tenant, partition): (TenantId, Partition),
        from: Option<Position>,
    ) -> Result<Self, LogError> {
        let end = lookups.log().end(partition).await?;
        let reached = from.unwrap_or(end);
        let (tail, source) = (None, Source::Nowhere);
        let has_failed = false;
        Ok(Self { lookups, tails, tenant, partition, reached, end, tail, has_failed, source })
    }

    /// Everything before this place was handed out.
    pub(super) fn reached(&self) -> Position {
        self.reached
    }

    /// Where the log ends now.
    pub(super) fn end(&self) -> impl Future<Output = Result<Position, LogError>> + Send + use<> {
        let (log, partition) = (self.lookups.log().clone(), self.partition);
        async move { log.end(partition).await }
    }

    /// The next records, at least one; waits for it. Some of them may have been handed out
    /// before: those before [`Step::from`].
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Step, LogError> {
        loop {
            if let Some(records) = self.try_next().await? {
                let from = self.reached;
                self.has_failed = false;
                if let Some(last) = records.last() {
                    self.reached = last.recorded.position.next();
                }
                return Ok(Step { from, records });
            }
        }
    }

    /// One attempt: none if the source had to be changed, or something may be there now.
    async fn try_next(&mut self) -> Result<Option<Arc<[Owned]>>, LogError> {
        match (&mut self.source, &self.tail) {
            (Source::Tail, Some(tail)) => match tail.from(self.reached) {
                Found::Next(records) => return Ok(Some(records)),
                Found::NothingYet => {
                    tail.beyond(self.reached).await;
                    return Ok(None);
                }
                Found::Gone => self.source = Source::Nowhere,
                Found::Ended => {
                    self.tail = None;
                    self.source = match std::mem::replace(&mut self.has_failed, true) {
                        false => Source::Nowhere,
                        true => Source::Alone(self.read().await?),
                    };
                    return Ok(None);
                }
            },
            (Source::Log(reader), _) if self.reached < self.end => {
                return Ok(Some(Owned::all(reader.next(RECORDS_MAX).await?)));
            }
            (Source::Alone(reader), _) => {
                return Ok(Some(Owned::all(reader.next(RECORDS_MAX).await?)));
            }
            (Source::Log(_) | Source::Nowhere | Source::Tail, _) => {}
        }
        self.choose().await?;
        Ok(None)
    }

    /// Goes to the tail if that has what comes next, else to the log.
    async fn choose(&mut self) -> Result<(), LogError> {
        if self.reached >= self.end {
            let tail = match self.tail.take() {
                Some(tail) => tail,
                None => self.tails.of(self.lookups.log(), self.partition).await?,
            };
            // Also if it has just ended: that is found out in the next attempt.
            let has_it = !matches!(tail.from(self.reached), Found::Gone);
            self.tail = Some(tail);
            if has_it {
                self.source = Source::Tail;
                return Ok(());
            }
        }
        let end = self.lookups.log().end(self.partition).await?;
        if !matches!(self.source, Source::Log(_)) {
            self.source = Source::Log(self.read().await?);
        }
        self.end = end;
        Ok(())
    }

    /// A reader of its own, from where it has got to.
    fn read(&self) -> impl Future<Output = Result<Box<dyn Reader>, LogError>> + Send + use<> {
        let (lookups, tenant) = (self.lookups.clone(), self.tenant);
        let (partition, reached) = (self.partition, self.reached);
        async move { lookups.read(tenant, partition, reached, Lookup::Lasting).await }
    }
}

/// Records that come together.
pub(super) struct Step {
    from: Position,
    records: Arc<[Owned]>,
}

impl Step {
    /// Those that were not handed out before.
    pub(super) fn new_ones(&self) -> impl Iterator<Item = &Owned> {
        self.records.iter().filter(|it| it.recorded.position >= self.from)
    }
}

#[cfg(test)]
mod tests;
