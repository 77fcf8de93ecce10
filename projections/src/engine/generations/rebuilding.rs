//! How a rebuilt generation takes the place of the live one, in this process or in all that share
//! the tables.

use std::sync::Arc;
use std::time::Duration;

use event_log::{EventLog, Partition, Position};

use super::Generations;
use crate::engine::EngineError;
use crate::engine::checkpoint::Stage;
use crate::engine::crew::Workers;
use crate::engine::table_set::{Halt, Progress, TableSet, set_name};
use crate::engine::teller::after;
use crate::engine::worker::Tools;
use crate::model::Model;
use crate::store;

/// How long the writers of a set wait for the one that takes its place. In seconds: 10; then they go
/// on, and it is tried again later.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(10);

/// How long to wait before another generation is tried again that could not be gone over to. In
/// seconds: 5.
const ADOPTION_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait before a step of a rebuild is tried again, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The attempts of one step of a rebuild.
struct Attempts {
    model: Model,
    pause: Duration,
}

impl Attempts {
    fn of(model: Model) -> Self {
        Self { model, pause: PAUSE_MIN }
    }

    /// Waits until the step may be tried again that ended with `error`, which is the answer if
    /// trying again cannot help.
    async fn again(&mut self, error: EngineError) -> Result<(), EngineError> {
        if !error.is_passing() {
            return Err(error);
        }
        tracing::warn!(
            projection.model = %self.model,
            error = &error as &dyn std::error::Error,
            "tables cannot take the place of others yet; trying again"
        );
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

impl Generations {
    /// Fills the next generation of `model` and exchanges it for the live one.
    ///
    /// Where several processes share the tables, this one fills all partitions; if another is
    /// rebuilding the same model, both do. What may be better later is tried again until then.
    pub(crate) async fn rebuild(&self, model: Model, tools: &Tools) -> Result<(), EngineError> {
        let _turn = self.rebuilding.lock().await;
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            done = self.rebuild_in_turn(model, tools) => done,
            _ = stopping.wait_for(|it| *it) => Err(EngineError::Stopping { model }),
        }
    }

    async fn rebuild_in_turn(&self, model: Model, tools: &Tools) -> Result<(), EngineError> {
        let mut attempts = Attempts::of(model);
        let next = loop {
            match self.begin_next(model, tools).await {
                Ok(begun) => break begun,
                Err(error) => attempts.again(error).await?,
            }
        };
        let filling = tools.for_all_partitions();
        let exchanged = self.exchange(&next, Goal::WholeLog, &filling, tools).await;
        // What may have been chosen in spite of an error stays.
        if exchanged.is_err()
            && self.live.generation(model).await.is_ok_and(|it| it != Some(next.generation))
        {
            next.retire();
        }
        exchanged
    }

    /// Makes the tables of the next generation.
    async fn begin_next(&self, model: Model, tools: &Tools) -> Result<Arc<TableSet>, EngineError> {
        let old = self.read_models().set(model).clone();
        let failed = |it| EngineError::storage(model, it);
        let chosen = self.live.generation(model).await.map_err(failed)?;
        let generation = chosen.unwrap_or(0).max(old.generation) + 1;
        let left = self.database.place(set_name(model, generation));
        left.remove_unused().await.map_err(failed)?;
        self.open_next(model, generation, tools).await
    }

    /// Goes over to a generation that another process has chosen.
    pub(crate) async fn adopt(&self, model: Model, generation: u64, tools: &Tools) {
        let Ok(_turn) = self.adopting.try_lock() else { return };
        if self.read_models().set(model).generation >= generation {
            return;
        }
        let adopted = async {
            let next = self.open_next(model, generation, tools).await?;
            self.exchange(&next, Goal::WhatOthersShow, tools, tools).await
        };
        if let Err(error) = adopted.await {
            tracing::error!(
                projection.model = %model,
                projection.generation = generation,
                error = &error as &dyn std::error::Error,
                "cannot go over to the tables that another process has rebuilt; trying again"
            );
            tokio::time::sleep(ADOPTION_PAUSE).await;
        }
    }

    async fn open_next(
        &self,
        model: Model,
        generation: u64,
        tools: &Tools,
    ) -> Result<Arc<TableSet>, EngineError> {
        let log = tools.log.as_ref();
        let next = TableSet::open(&self.database, model, generation, log, self.readers);
        Ok(Arc::new(next.await?))
    }

    /// Puts `next` in the place of the live one, once `filling` has brought it to its goal.
    async fn exchange(
        &self,
        next: &Arc<TableSet>,
        goal: Goal,
        filling: &Tools,
        tools: &Tools,
    ) -> Result<(), EngineError> {
        self.state().building.push(next.clone());
        let filling = Workers::start(next, filling);
        let mut attempts = Attempts::of(next.model);
        let exchanged = loop {
            let Err(error) = self.try_exchange(next, goal, tools).await else { break Ok(()) };
            if let Err(error) = attempts.again(error).await {
                break Err(error);
            }
        };
        self.state().building.retain(|it| !Arc::ptr_eq(it, next));
        filling.stop().await;
        exchanged
    }

    /// Nobody who follows the log waits for anything before `next` is all but there; what the log
    /// has to be asked for is asked before.
    async fn try_exchange(
        &self,
        next: &Arc<TableSet>,
        goal: Goal,
        tools: &Tools,
    ) -> Result<(), EngineError> {
        reach(next, &[]).await?;
        replay_all(next).await?;
        if goal == Goal::WholeLog {
            reach(next, &ends_of(tools.log.as_ref()).await?).await?;
        }
        let _turn = self.exchanging.lock().await;
        let old = self.read_models().set(next.model).clone();
        // Another process was first, and it has been gone over to already.
        if old.generation >= next.generation {
            return Ok(());
        }
        let attainable = attainable(&old, tools.log.as_ref()).await?;
        self.take_over(&old, next, &attainable, tools).await?;
        next.make_live();
        let mut state = self.state();
        state.read_models = state.read_models.with(next.clone());
        state.workers.insert(next.model, Workers::start(next, tools));
        drop(state);
        old.retire();
        if Tools::is_told(next) {
            tools.told.seen_in(next);
        }
        Ok(())
    }

    /// Waits until `next` has all that `old` ever showed and is attainable, then chooses it for
    /// ever.
    async fn take_over(
        &self,
        old: &Arc<TableSet>,
        next: &TableSet,
        attainable: &[Position],
        tools: &Tools,
    ) -> Result<(), EngineError> {
        // The old workers stop, so that no reader sees a state that is older than the one before.
        let workers = self.state().workers.remove(&old.model);
        if let Some(workers) = workers {
            workers.stop().await;
        }
        let chosen = match self.database.is_shared() {
            true => self.choose_for_all(old, next, attainable).await,
            false => self.choose_here(old, next, attainable).await,
        };
        if chosen.is_err() {
            self.state().workers.insert(old.model, Workers::start(old, tools));
        }
        chosen
    }

    async fn choose_here(
        &self,
        old: &TableSet,
        next: &TableSet,
        attainable: &[Position],
    ) -> Result<(), EngineError> {
        reach_shown(next, &old.known(), attainable).await?;
        let chosen = self.live.choose(next.model, next.generation).await;
        chosen.map_err(|it| EngineError::storage(next.model, it))
    }

    /// In one transaction no process moves `old` any more, `next` gets what it has, and is chosen.
    async fn choose_for_all(
        &self,
        old: &TableSet,
        next: &TableSet,
        attainable: &[Position],
    ) -> Result<(), EngineError> {
        let failed = |it| EngineError::storage(next.model, it);
        let mut writer = old.writer().await;
        let mut transaction = store::begin(&mut writer).await.map_err(failed)?;
        let shown = old.close(&mut transaction).await.map_err(failed)?;
        reach_shown(next, &shown, attainable).await?;
        let (model, generation) = (next.model, next.generation);
        let chosen = self.live.choose_within(&mut transaction, &self.database, model, generation);
        chosen.await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }
}

/// How far tables have to get before it is tried to put them in the place of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// As far as the log goes.
    WholeLog,
    /// As far as those are that requests are answered from: another process has chosen already.
    WhatOthersShow,
}

/// Where each partition ends.
async fn ends_of(log: &dyn EventLog) -> Result<Vec<Position>, EngineError> {
    let mut ends = Vec::new();
    for partition in (0..log.partitions()).map(Partition) {
        ends.push(log.end(partition).await?);
    }
    Ok(ends)
}

/// How far any tables can get on each partition that take the place of `old`. Where those are
/// further than the log has been since, it has lost something, which counts for nothing; nor does
/// anything that was filled from another log.
async fn attainable(old: &TableSet, log: &dyn EventLog) -> Result<Vec<Position>, EngineError> {
    let known = old.known();
    let ends = ends_of(log).await?;
    let is_lost = |known: Position, end| known > end || old.is_foreign();
    let each = known.into_iter().zip(ends);
    Ok(each.map(|it| if is_lost(it.0, it.1) { it.1 } else { Position(u64::MAX) }).collect())
}

/// Waits until everybody is replayed who was taken out of `set`, unless nobody goes on with that.
async fn replay_all(set: &TableSet) -> Result<(), EngineError> {
    let failed = |it| EngineError::storage(set.model, it);
    while set.taken_out(None).await.map_err(failed)?.is_some() {
        tokio::time::sleep(PAUSE_MIN).await;
        reach(set, &[]).await?;
    }
    Ok(())
}

/// Waits until `set` has applied what was `shown`, as far as that is attainable: not for long, since
/// somebody waits for that.
async fn reach_shown(
    set: &TableSet,
    shown: &[Position],
    attainable: &[Position],
) -> Result<(), EngineError> {
    let ends: Vec<_> = shown.iter().zip(attainable).map(|it| *it.0.min(it.1)).collect();
    let reached = tokio::time::timeout(CLOSING_TIME_MAX, reach(set, &ends)).await;
    reached.map_err(|_| EngineError::Behind { model: set.model })?
}

/// Waits until `set` was filled once and has applied every partition up to `ends`.
async fn reach(set: &TableSet, ends: &[Position]) -> Result<(), EngineError> {
    let mut progress = set.progress();
    let reached = |it: &Progress, end: Position| after(it.applied.as_ref()) >= end;
    let ended = |it: &Progress| match &it.stopped {
        Some(Halt::ForGood(ended)) => Some(ended.clone()),
        Some(Halt::Passing(_)) | None => None,
    };
    let done = progress
        .wait_for(|all| {
            all.iter().any(|it| ended(it).is_some())
                || (set.stage() == Stage::Filled
                    && all.iter().zip(ends).all(|(it, end)| reached(it, *end)))
        })
        .await;
    let all = done.expect("the set holds the sender").clone();
    all.iter().find_map(ended).map_or(Ok(()), |it| Err(it.into_error(set.model)))
}
