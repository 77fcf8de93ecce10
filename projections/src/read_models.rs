//! What one request reads.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use domain::id::TenantId;
use event_log::{Partition, Position};
use vault::Keyring;

use crate::allowance::Allowance;
use crate::engine::checkpoint::Stage;
use crate::engine::checkpoint::stored;
use crate::engine::share::Share;
use crate::engine::table_set::{Progress, TableSet};
use crate::error::{Delay, NotYetVisible, RETRY_AFTER, RETRY_AFTER_PARKED, ReadError};
use crate::model::Model;
use crate::scope::Scoped;
use crate::store::{Reader, Row, Sql, StoreError};

/// The table sets that were live when a request began. One that was never complete answers
/// nothing: its reader says how much it lacks. They stay readable for as long as this
/// is held, also when a rebuilt generation takes their place meanwhile. All that is read through
/// them, and through clones of them, counts towards what one operation may read and say.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReadModels {
    pinned: Arc<Inner>,
    allowance: Arc<Allowance>,
}

#[derive(Clone, Debug)]
struct Inner {
    /// In order of [`Model::ALL`].
    sets: Vec<Arc<TableSet>>,
    keyring: Keyring,
    incarnation: Arc<str>,
    /// What one operation may read and say.
    bytes_max: usize,
    share: Share,
}

impl ReadModels {
    pub(crate) fn new(
        sets: Vec<Arc<TableSet>>,
        keyring: &Keyring,
        incarnation: &str,
        bytes_max: usize,
        share: Share,
    ) -> Self {
        let keyring = keyring.clone();
        let pinned = Inner { sets, keyring, incarnation: incarnation.into(), bytes_max, share };
        Self { pinned: Arc::new(pinned), allowance: Arc::default() }
    }

    /// The same for a request that has read nothing yet.
    pub(crate) fn anew(&self) -> Self {
        Self { pinned: self.pinned.clone(), allowance: Arc::default() }
    }

    /// The same with another generation of one model.
    pub(crate) fn with(&self, set: Arc<TableSet>) -> Self {
        let mut inner = Inner::clone(&self.pinned);
        let model = set.model;
        inner.sets[model as usize] = set;
        Self { pinned: Arc::new(inner), allowance: Arc::default() }
    }

    pub(crate) fn set(&self, model: Model) -> &Arc<TableSet> {
        &self.pinned.sets[model as usize]
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.pinned.keyring
    }

    /// A connection to read `model` with, out of the share of `tenant`. For reads of several
    /// statements; say [`Reader::finish`] after the last.
    pub(crate) async fn reader(&self, model: Model, tenant: TenantId) -> Result<Reader, ReadError> {
        self.reader_of(model, tenant, tenant).await
    }

    /// The same to read what is another tenant's, `of`, out of the share of `tenant`.
    pub(crate) async fn reader_of(
        &self,
        model: Model,
        tenant: TenantId,
        of: TenantId,
    ) -> Result<Reader, ReadError> {
        if let Some(events_behind) = self.set(model).unfilled() {
            let (retry_after, delay) = (RETRY_AFTER, Delay::Following);
            return Err(NotYetVisible { model, events_behind, retry_after, delay }.into());
        }
        let reader = self.set(model).readers.acquire_of(tenant.0, of.0).await;
        reader.map_err(ReadError::fault(model))
    }

    /// The rows that a statement answers, out of the share of its tenant.
    pub(crate) async fn rows<T>(
        &self,
        model: Model,
        Scoped { tenant, of, sql }: Scoped,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, ReadError> {
        let mut reader = self.reader_of(model, tenant, of).await?;
        let rows = self.rows_with(&mut reader, model, sql, read).await?;
        reader.finish();
        Ok(rows)
    }

    /// The rows that a statement answers, read with `reader`, which an error leaves unfinished.
    pub(crate) async fn rows_with<T>(
        &self,
        reader: &mut Reader,
        model: Model,
        sql: Sql,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, ReadError> {
        let (mut rows, mut spent) = (Vec::new(), Ok(()));
        let take = |row: &Row| {
            rows.push(read(row)?);
            spent = self.spend(row.copied());
            Ok(if spent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        sql.each(reader, take).await.map_err(ReadError::fault(model))?;
        spent.map(|()| rows)
    }

    /// Takes `bytes` out of what this request may still read. For whoever says again what was read
    /// once.
    ///
    /// # Errors
    ///
    /// [`ReadError::TooMuch`] if that is less.
    pub fn spend(&self, bytes: usize) -> Result<(), ReadError> {
        self.allowance.spend(bytes, self.pinned.bytes_max)
    }

    /// The number a `SELECT count(*)` answers, out of the share of its tenant.
    pub(crate) async fn count(&self, model: Model, sql: Scoped) -> Result<u64, ReadError> {
        let counted = self.rows(model, sql, |it| it.count(0)).await?;
        Ok(counted.into_iter().next().unwrap_or(0))
    }

    /// The incarnation of the log these models follow; positions of another one mean nothing.
    #[must_use]
    pub fn incarnation(&self) -> &str {
        &self.pinned.incarnation
    }

    /// The last position of `partition` that `model` has applied; none before the first.
    #[must_use]
    pub fn position(&self, model: Model, partition: Partition) -> Option<Position> {
        let progress = self.set(model).progress();
        let progress = progress.borrow();
        let applied = progress.get(partition.0 as usize)?.applied.as_ref();
        applied.map(|it| it.position)
    }

    /// Waits until each of `models` has applied everything of `partition` up to and including
    /// `position`, at most `patience`. The models' workers wake their waiters.
    ///
    /// # Errors
    ///
    /// [`NotYetVisible`] names the first model that is still behind then, and by how much.
    pub async fn wait_for(
        &self,
        models: &[Model],
        partition: Partition,
        position: Position,
        patience: Duration,
    ) -> Result<(), NotYetVisible> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut wait = None;
        for model in models {
            let set = self.set(*model);
            let mut progress = set.progress();
            let shows = |all: &Vec<Progress>| {
                let applied = all.get(partition.0 as usize).and_then(|it| it.applied.as_ref());
                applied.is_some_and(|it| it.position >= position) && set.stage() == Stage::Filled
            };
            if shows(&progress.borrow()) {
                continue;
            }
            wait = wait.or_else(|| self.pinned.share.wait(partition));
            let visible = progress.wait_for(shows);
            if tokio::time::timeout_at(deadline, visible).await.is_err() {
                let reached = self.position(*model, partition).map_or(0, |it| it.next().0);
                return Err(NotYetVisible {
                    model: *model,
                    events_behind: position.next().0.saturating_sub(reached),
                    retry_after: RETRY_AFTER,
                    delay: Delay::Following,
                });
            }
        }
        Ok(())
    }

    /// Says whether `model`, which has applied `position` of `partition`, shows `tenant` up to there
    /// too: it does not if the tenant is parked at or before it.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotYetVisible`] if so.
    pub async fn shows_tenant(
        &self,
        model: Model,
        tenant: TenantId,
        partition: Partition,
        position: Position,
    ) -> Result<(), ReadError> {
        let mut sql = Sql::new("SELECT position FROM parked WHERE tenant = ");
        sql.bind(tenant.0).push(" AND partition = ").bind(partition.0);
        sql.push(" AND position <= ").bind(stored(position));
        // Who is parked is shown to operators only.
        let sql = Scoped { tenant, of: TenantId::SYSTEM, sql };
        let parked = self.rows(model, sql, |it| it.count(0)).await?.into_iter().next();
        let Some(parked) = parked else { return Ok(()) };
        let events_behind = position.next().0.saturating_sub(parked);
        let (retry_after, delay) = (RETRY_AFTER_PARKED, Delay::Parked);
        Err(NotYetVisible { model, events_behind, retry_after, delay }.into())
    }

    /// Before which position every model shows everything of `partition`. One that has stopped
    /// there, is being filled or was replaced does not count.
    #[must_use]
    pub fn shown_upto(&self, partition: Partition) -> Position {
        let each =
            self.pinned.sets.iter().map(|set| followed(set, &set.progress().borrow(), partition));
        each.min().unwrap_or(Position::START)
    }

    /// The models that do not show `position` of `partition` yet, whether or not they have
    /// stopped there.
    #[must_use]
    pub fn behind(&self, partition: Partition, position: Position) -> Vec<Model> {
        let shows = |set: &&Arc<TableSet>| {
            let reached = self.position(set.model, partition);
            reached.is_some_and(|it| it >= position) && set.stage() == Stage::Filled
        };
        self.pinned.sets.iter().filter(|it| !shows(it)).map(|it| it.model).collect()
    }

    /// Waits until [`ReadModels::shown_upto`] is beyond `position` of `partition`, at most
    /// `patience`.
    pub async fn wait_for_followers(
        &self,
        partition: Partition,
        position: Position,
        patience: Duration,
    ) {
        let all_show = async {
            let mut wait = None;
            for set in &self.pinned.sets {
                let mut progress = set.progress();
                let shows = |all: &Vec<Progress>| followed(set, all, partition) > position;
                if !shows(&progress.borrow()) {
                    wait = wait.or_else(|| self.pinned.share.wait(partition));
                    // The set is pinned, so its sender is there.
                    let _ = progress.wait_for(shows).await;
                }
            }
        };
        // Who runs out of patience goes on as well.
        let _ = tokio::time::timeout(patience, all_show).await;
    }
}

/// Before which position `set` shows everything of `partition`; all of it if nobody is to wait for
/// it there.
fn followed(set: &TableSet, all: &[Progress], partition: Partition) -> Position {
    let Some(it) = all.get(partition.0 as usize) else { return Position(u64::MAX) };
    if it.stopped.is_some() || !set.is_live() || set.stage() == Stage::Filling {
        return Position(u64::MAX);
    }
    it.applied.as_ref().map_or(Position::START, |it| it.position.next())
}
