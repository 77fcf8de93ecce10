//! Follows one partition for one table set.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use event_log::{Attribute, EventLog, LogError, Partition, Position, Reader, Recorded, trace};
use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};
use vault::Keyring;

use crate::engine::EngineError;
use crate::engine::batch::{self, Guard, Outcome};
use crate::engine::change::Change;
use crate::engine::checkpoint::{Checkpoint, Place, Stage, is_left_at};
use crate::engine::fold::Trouble;
use crate::engine::live::Live;
use crate::engine::pauses::{Back, Pauses, Step};
use crate::engine::resume;
use crate::engine::share::Share;
use crate::engine::table_set::{Halt, TableSet};
use crate::engine::teller::{Told, after};
use crate::model::Model;

/// The longest that the events after a crowd gather before they are applied together. In
/// milliseconds: 20. Fewer, larger transactions are cheaper; nobody notices so short a wait.
const GATHER_TIME_MAX: Duration = Duration::from_millis(20);

/// How many events in one batch are a crowd: 16. What fewer do is shown at once.
const CROWD_MIN: usize = 16;

/// From how many events on a batch is large enough, however fast it came: 1,024. Whoever catches
/// up does not wait.
const CROWD_MAX: usize = 1_024;

/// How many batches are applied as one while a set is being filled: 4.
const FILLING_BATCHES_MAX: usize = 4;

/// From how many bytes of events on such a batch is large enough. In bytes: 16 MiB.
const FILLING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long whoever fills what is another's lets that one go first. In milliseconds: 50, longer than
/// an owner takes; so an owner that is there again is noticed by the next event.
const PRECEDENCE: Duration = Duration::from_millis(50);

/// What every worker needs.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub log: Arc<dyn EventLog>,
    pub keyring: Keyring,
    pub told: Told,
    pub live: Arc<Live>,
    pub batch_max: usize,
    pub share: Share,
    pub back: Back,
    pub guard: Guard,
}

impl Tools {
    /// The same for filling a set alone.
    pub(crate) fn for_all_partitions(&self) -> Self {
        Self { share: self.share.whole(), ..self.clone() }
    }

    /// Says what became visible, if requests are answered from `set`.
    pub(crate) fn tell(&self, set: &TableSet, changes: Vec<Change>) {
        if set.is_live() {
            self.told.tell(changes);
        }
    }

    /// Whether listeners are told of what happens to `set`.
    pub(crate) fn is_told(set: &TableSet) -> bool {
        set.is_live() && set.model == Model::Catalog
    }
}

/// How long the next events gather after a batch of so many that took so long: as long again, so
/// that a busy machine makes larger batches and an idle one has nobody wait for nothing.
fn gathering(count: usize, took: Duration) -> Duration {
    if (CROWD_MIN..CROWD_MAX).contains(&count) { took.min(GATHER_TIME_MAX) } else { Duration::ZERO }
}

/// What is applied together next to a set that is being filled up to `end`. It takes larger
/// steps: whatever is touched again and again is then written less often.
async fn fill(
    reader: &mut dyn Reader,
    batch_max: usize,
    end: Position,
) -> Result<Vec<Recorded>, LogError> {
    let bytes = |of: &[Recorded]| of.iter().map(|it| it.record.value().len()).sum::<usize>();
    let mut records = reader.next(batch_max).await?;
    let mut filled = bytes(&records);
    while records.len() < batch_max * FILLING_BATCHES_MAX
        && filled < FILLING_BYTES_MAX
        && records.last().is_some_and(|it| it.position.next() < end)
    {
        let more = reader.next(batch_max).await?;
        filled += bytes(&more);
        records.extend(more);
    }
    Ok(records)
}

/// What following comes to; a panic is a trouble like another, since nothing of a batch that was
/// not committed is kept.
async fn caught<T>(following: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    AssertUnwindSafe(following).catch_unwind().await.unwrap_or(Err(Trouble::Panicked))
}

/// Why a worker is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// It was told to stop, or cannot go on.
    Ended,
    /// It has filled what is another's, who fills it again.
    GaveBack,
}

pub(crate) struct Worker {
    set: Arc<TableSet>,
    tools: Tools,
    partition: Partition,
    stop: watch::Receiver<bool>,
    /// Where it has left a partition that it fills for whoever owns it and does not.
    left_at: Option<Position>,
    /// What was said last of why it cannot go on, since when nothing was applied.
    said: Option<Halt>,
    pauses: Pauses,
    /// What it is at.
    step: Step,
}

impl Worker {
    pub(crate) fn new(
        set: Arc<TableSet>,
        tools: Tools,
        partition: Partition,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (pauses, step) = (Pauses::default(), Step::Tables);
        Self { set, tools, partition, stop, left_at: None, said: None, pauses, step }
    }

    /// The same for a partition that nobody has moved from `at`, for as long as others do not fill
    /// it and this process does not own it.
    pub(crate) fn standing_in(self, at: Position) -> Self {
        Self { left_at: Some(at), ..self }
    }

    /// Where it has left what it fills for somebody else, if it does.
    fn stands_in(&self) -> Option<Position> {
        self.left_at.filter(|_| !self.tools.share.has(self.partition))
    }

    /// Whether somebody else fills what it stands in for.
    async fn is_relieved(&self) -> Result<bool, Trouble> {
        let Some(at) = self.stands_in() else { return Ok(false) };
        Ok(!is_left_at(&mut *self.set.writer().await, self.partition, at).await?)
    }

    /// Has the owner of what it stands in for go first, and answers whether that one did.
    async fn gives_way(&self) -> Result<bool, Trouble> {
        if self.stands_in().is_some() {
            tokio::time::sleep(PRECEDENCE).await;
        }
        self.is_relieved().await
    }

    /// Follows until told to stop, until it cannot go on, or is not needed any more.
    pub(crate) async fn run(mut self) -> Parting {
        let back = self.tools.back.clone();
        while !*self.stop.borrow() {
            let heard = back.heard();
            let pause = match self.attempt().await {
                Ok(parting) => return parting,
                Err(pause) => pause,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => (),
                () = heard => (),
                _ = self.stop.wait_for(|it| *it) => (),
            }
        }
        Parting::Ended
    }

    /// The same until something fails, if only that may get better: then answers how long to pause.
    pub(crate) async fn attempt(&mut self) -> Result<Parting, Duration> {
        let trouble = match caught(self.follow()).await {
            Ok(parting) => return Ok(parting),
            Err(trouble) => trouble,
        };
        self.halt(&trouble);
        if trouble.is_damage() {
            self.forgo().await;
        }
        match trouble.halt() {
            Halt::ForGood(_) => Ok(Parting::Ended),
            Halt::Passing(_) => Err(self.pauses.failed(self.step)),
        }
    }

    /// The same, pausing so long at first.
    #[cfg(test)]
    pub(crate) fn pausing(self, pause: Duration) -> Self {
        Self { pauses: Pauses::beginning_at(pause), ..self }
    }

    /// Goes on with `step`, since what comes before went well.
    fn goes_on_with(&mut self, step: Step) {
        if self.pauses.went_well(self.step) {
            self.tools.back.tell();
        }
        self.step = step;
    }

    /// Shows that it cannot go on, and says so once for each reason.
    fn halt(&mut self, trouble: &Trouble) {
        let halt = trouble.halt();
        if self.said.as_ref() != Some(&halt) {
            tracing::error!(
                projection.model = %self.set.model,
                projection.generation = self.set.generation,
                log.partition = self.partition.0,
                error = trouble as &dyn std::error::Error,
                "a projection cannot go on"
            );
            self.said = Some(halt.clone());
        }
        self.set.stopped(self.partition, Some(halt));
    }

    /// Says that it goes on, if it was said that it could not.
    fn go_on(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(
                projection.model = %self.set.model,
                projection.generation = self.set.generation,
                log.partition = self.partition.0,
                "a projection goes on"
            );
        }
    }

    /// Leaves the set to the other partitions.
    async fn forgo(&self) {
        let Tools { log, live, .. } = &self.tools;
        let done = match self.set.forgo(self.partition, log.as_ref(), live).await {
            Ok(()) => self.replay_taken_out().await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            let error = &error as &dyn std::error::Error;
            tracing::error!(projection.model = %self.set.model, error, "tables stay unfinished");
        }
    }

    /// Applies batch after batch until told to stop, or not needed any more.
    async fn follow(&mut self) -> Result<Parting, Trouble> {
        let mut anew = self.set.anew();
        loop {
            anew.mark_unchanged();
            self.step = Step::Tables;
            if self.is_relieved().await? {
                return Ok(Parting::GaveBack);
            }
            let mut checkpoint = self.set.checkpoint(self.partition).await?;
            self.set.found(self.partition, checkpoint.place.as_ref());
            self.set.note_stage(checkpoint.stage);
            self.committed(checkpoint.place.as_ref()).await?;
            self.note_overtaken(&checkpoint);
            if checkpoint.closed {
                return Ok(Parting::Ended);
            }
            self.goes_on_with(Step::Log);
            let mut stop = self.stop.clone();
            let (mut reader, end) = tokio::select! {
                opened = self.open(&checkpoint) => opened?,
                // Somebody waits for its end, and the log may not answer.
                _ = stop.wait_for(|it| *it) => return Ok(Parting::Ended),
            };
            self.replay_taken_out().await?;
            self.goes_on_with(Step::Next);
            self.set.stopped(self.partition, None);
            if after(checkpoint.place.as_ref()) >= end {
                // Nothing waits to be applied, by which that would be seen.
                self.go_on();
            }
            let mut not_before = Instant::now();
            loop {
                let (batch_max, lacks) = (self.tools.batch_max, self.set.lacks(self.partition));
                let next = async {
                    tokio::time::sleep_until(not_before).await;
                    match lacks {
                        None => reader.next(batch_max).await,
                        Some(end) => fill(reader.as_mut(), batch_max, end).await,
                    }
                };
                let waiting = Instant::now();
                let records = tokio::select! {
                    records = next => records.inspect_err(|_| self.pauses.waited(waiting.elapsed()))?,
                    // What was applied may be lost, or taken out, and nothing need come by which
                    // that is seen.
                    _ = anew.changed() => break,
                    _ = self.stop.wait_for(|it| *it) => return Ok(Parting::Ended),
                };
                self.goes_on_with(Step::Apply);
                if self.gives_way().await? {
                    return Ok(Parting::GaveBack);
                }
                let (began, count) = (Instant::now(), records.len());
                let span = self.span(&records);
                match self.apply(&checkpoint, records).instrument(span).await? {
                    Some(place) => {
                        self.left_at = self.left_at.map(|_| place.position.next());
                        checkpoint.place = Some(place);
                        self.go_on();
                    }
                    // Another worker is ahead: go on from where it got to.
                    None => break,
                }
                self.goes_on_with(Step::Next);
                self.set.upkeep.wrote(count);
                let ended = Instant::now();
                not_before = ended + gathering(count, ended - began);
                metrics::counter!("projection_events_total", "model" => self.set.model.name())
                    .increment(count as u64);
            }
        }
    }

    /// The span of one batch, linked to the commands that caused its events.
    fn span(&self, records: &[Recorded]) -> Span {
        let model = self.set.model.name();
        let span = tracing::debug_span!(
            parent: None,
            "project",
            otel.name = format!("project {model}"),
            projection.model = model,
            projection.generation = self.set.generation,
            log.partition = self.partition.0,
            log.position = records.last().map(|it| it.position.0),
            batch.events = records.len(),
        );
        trace::link(&span, records.iter().filter_map(|it| it.record.traceparent()));
        span
    }

    async fn apply(
        &self,
        checkpoint: &Checkpoint,
        records: Vec<Recorded>,
    ) -> Result<Option<Place>, Trouble> {
        let Tools { keyring, guard, .. } = &self.tools;
        let prepared = batch::prepare(self.set.model, self.partition, records, keyring).await?;
        let applied =
            batch::apply(&self.set, keyring, self.partition, checkpoint, prepared, *guard).await?;
        let Outcome::Applied { place, changes: visible } = applied else { return Ok(None) };
        // Who waits for the last event sees tables that are filled.
        self.committed(Some(&place)).await?;
        self.set.reached(self.partition, place.clone());
        if Tools::is_told(&self.set) {
            let (from, upto) = (after(checkpoint.place.as_ref()), place.position.next());
            self.tools.told.applied(self.partition, from, upto, visible);
        }
        Ok(Some(place))
    }

    /// Settles the set if that was all it lacked.
    async fn committed(&self, place: Option<&Place>) -> Result<(), Trouble> {
        let upto = place.map_or(Position::START, |it| it.position.next());
        let mut stop = self.stop.clone();
        let Tools { log, live, .. } = &self.tools;
        let before = self.set.stage();
        tokio::select! {
            done = self.set.committed(self.partition, upto, log.as_ref(), live) => done?,
            // What is half settled is made again, so nobody waits for its end.
            _ = stop.wait_for(|it| *it) => return Ok(()),
        }
        if before == self.set.stage() { Ok(()) } else { self.replay_taken_out().await }
    }

    /// Replays the tenants that were taken out when the set was settled, whoever did that.
    async fn replay_taken_out(&self) -> Result<(), Trouble> {
        let mut stop = self.stop.clone();
        if self.set.stage() == Stage::Filling {
            return Ok(());
        }
        tokio::select! {
            done = resume::replay_taken_out(&self.set, &self.tools, self.partition) => done,
            // What is left stays marked, for whoever goes on.
            _ = stop.wait_for(|it| *it) => Ok(()),
        }
    }

    /// What another worker has applied is visible here too.
    fn note_overtaken(&self, checkpoint: &Checkpoint) {
        if let Some(place) = &checkpoint.place {
            let upto = place.position.next();
            if Tools::is_told(&self.set) {
                self.tools.told.visible(self.partition, upto);
            }
            self.set.reached(self.partition, place.clone());
            if Tools::is_told(&self.set) {
                self.tools.told.seen(self.partition, upto);
            }
        }
    }

    /// Reads on after `checkpoint`, once the log has shown that it is the one it was made from.
    /// Answers where the log ends too.
    async fn open(
        &self,
        checkpoint: &Checkpoint,
    ) -> Result<(Box<dyn Reader>, Position), EngineError> {
        let log = &self.tools.log;
        if checkpoint.incarnation != log.incarnation() {
            let (ours, theirs) = (&checkpoint.incarnation, log.incarnation());
            return Err(self.not_ours(format!(
                "it was filled from incarnation {ours}, the log is incarnation {theirs}"
            )));
        }
        let end = log.end(self.partition).await?;
        let Some(place) = &checkpoint.place else {
            return Ok((log.read(self.partition, Position::START).await?, end));
        };
        if place.position >= end {
            let position = place.position;
            return Err(self.not_ours(format!(
                "it has applied position {position}, but the log ends at {end}"
            )));
        }
        let mut reader = log.read(self.partition, place.position).await?;
        let first = reader.next(1).await?;
        let found = first.first().map(|it| (it.position, it.record.attribute(Attribute::Id)));
        if found != Some((place.position, place.event.as_str())) {
            let Place { position, event, .. } = place;
            return Err(self.not_ours(format!(
                "it has applied event {event} at position {position}, \
                 but the log holds another one there"
            )));
        }
        Ok((reader, end))
    }

    fn not_ours(&self, reason: String) -> EngineError {
        EngineError::NotOurLog { model: self.set.model, reason }
    }
}
