//! Tells listeners what became visible, each change once, whoever made it so.
//!
//! A worker knows what its own transactions did, and tells it at once. What another process
//! applied, or what happened while another generation took the place of the live one, is read
//! from the log again: up to where the tables are, so that nothing is told before it can be seen.
//! While nobody listens nothing is read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use domain::id::TenantId;
use event_log::{EventLog, Partition, Position, Reader, Recorded};
use tokio::sync::{Notify, broadcast, watch};

use crate::catalog;
use crate::engine::batch;
use crate::engine::change::Change;
use crate::engine::checkpoint::{Place, Stage};
use crate::engine::fact::Fact;
use crate::engine::fold::Trouble;
use crate::engine::generations::Generations;
use crate::engine::table_set::TableSet;
use crate::engine::worker::Tools;
use crate::model::Model;
use crate::store::{Sql, StoreError};

/// How long it waits after it could not go on, and looks after tenants that are parked. In
/// seconds: 1.
const PAUSE: Duration = Duration::from_secs(1);

/// What was told, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    changes: broadcast::Sender<Change>,
    /// By partition, the place up to which everything was told.
    upto: Arc<Mutex<Vec<Position>>>,
    more: Arc<Notify>,
}

impl Told {
    /// Nothing yet of so many partitions.
    pub(crate) fn nothing(partitions: u32, changes_max: usize) -> Self {
        let upto = vec![Position::START; partitions as usize];
        let changes = broadcast::Sender::new(changes_max);
        Self { changes, upto: Arc::new(Mutex::new(upto)), more: Arc::default() }
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    pub(crate) fn somebody_listens(&self) -> bool {
        self.changes.receiver_count() > 0
    }

    /// Tells of `changes`, whatever was told before.
    pub(crate) fn tell(&self, changes: Vec<Change>) {
        for change in changes {
            // Nobody listening is not an error.
            let _ = self.changes.send(change);
        }
    }

    /// Tells what was applied to the live set from one place to another, unless something before
    /// it was not told yet: then all of that is read again.
    pub(crate) fn applied(
        &self,
        partition: Partition,
        from: Position,
        upto: Position,
        changes: Vec<Change>,
    ) {
        let mut told = self.upto();
        let Some(place) = told.get_mut(partition.0 as usize) else { return };
        if *place == from {
            *place = upto;
            self.tell(changes);
        } else if *place < upto {
            drop(told);
            self.seen(partition, upto);
        }
    }

    /// Has what is visible up to `upto`, and was not told yet, read from the log.
    pub(crate) fn seen(&self, partition: Partition, upto: Position) {
        if self.place(partition) >= upto {
            return;
        }
        if self.somebody_listens() {
            self.more.notify_one();
        } else {
            self.pass(partition, upto);
        }
    }

    /// Leaves out what is visible up to `upto` if nobody listens: said before anybody here hears
    /// that it is visible, so that who begins to listen then is not told of it.
    pub(crate) fn visible(&self, partition: Partition, upto: Position) {
        if !self.somebody_listens() {
            self.pass(partition, upto);
        }
    }

    /// The same as [`Told::seen`] for all that `set` shows.
    pub(crate) fn seen_in(&self, set: &TableSet) {
        for (partition, it) in (0..).map(Partition).zip(set.progress().borrow().iter()) {
            self.seen(partition, after(it.applied.as_ref()));
        }
    }

    /// Leaves out all that `set` shows, before its workers begin.
    pub(crate) fn begin(&self, set: &TableSet) {
        for (partition, it) in (0..).map(Partition).zip(set.progress().borrow().iter()) {
            self.pass(partition, after(it.applied.as_ref()));
        }
    }

    /// Leaves out what could be seen before anybody listened.
    fn pass(&self, partition: Partition, upto: Position) {
        if let Some(place) = self.upto().get_mut(partition.0 as usize) {
            *place = (*place).max(upto);
        }
    }

    fn place(&self, partition: Partition) -> Position {
        self.upto().get(partition.0 as usize).copied().unwrap_or_default()
    }

    fn upto(&self) -> MutexGuard<'_, Vec<Position>> {
        // Nothing panics while it is held.
        self.upto.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads again what was not told by whoever applied it.
pub(crate) struct Teller {
    generations: Weak<Generations>,
    tools: Tools,
    tails: BTreeMap<Partition, Tail>,
    /// Since when the events of parked tenants are not told, by tenant.
    parked: BTreeMap<TenantId, (Partition, Position)>,
}

impl Teller {
    pub(crate) fn new(generations: &Arc<Generations>, tools: Tools) -> Self {
        let generations = Arc::downgrade(generations);
        Self { generations, tools, tails: BTreeMap::new(), parked: BTreeMap::new() }
    }

    /// Tells until told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.go_on() => (),
            _ = stop.wait_for(|it| *it) => (),
        }
    }

    async fn go_on(&mut self) {
        let more = self.tools.told.more.clone();
        loop {
            tokio::select! {
                () = more.notified() => (),
                () = tokio::time::sleep(PAUSE), if !self.parked.is_empty() => (),
            }
            let Some(generations) = self.generations.upgrade() else { return };
            let set = generations.read_models().set(Model::Catalog).clone();
            drop(generations);
            if let Err(error) = self.tell_all(&set).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot tell what became visible; trying again"
                );
                self.tails.clear();
                tokio::time::sleep(PAUSE).await;
                more.notify_one();
            }
        }
    }

    async fn tell_all(&mut self, set: &TableSet) -> Result<(), Trouble> {
        let visible = set.progress().borrow().clone();
        // Whoever begins to listen now sees all of that.
        let nobody = !self.tools.told.somebody_listens();
        if nobody {
            self.tails.clear();
            self.parked.clear();
        }
        for (partition, it) in (0..).map(Partition).zip(visible) {
            let upto = after(it.applied.as_ref());
            // Nothing is read from tables that are being filled.
            if nobody || set.stage() == Stage::Filling {
                self.tools.told.pass(partition, upto);
            }
            while self.tools.told.place(partition) < upto {
                self.tell_more(set, partition, upto).await?;
            }
        }
        self.tell_resumed(set).await
    }

    /// Tells the next part of what is visible up to `upto`.
    async fn tell_more(
        &mut self,
        set: &TableSet,
        partition: Partition,
        upto: Position,
    ) -> Result<(), Trouble> {
        let from = self.tools.told.place(partition);
        let (facts, reached) = self.read(partition, from, upto).await?;
        let changes = self.changes(set, partition, facts).await?;
        self.tools.told.applied(partition, from, reached, changes);
        Ok(())
    }

    /// The next facts before `upto`, and how far they go.
    async fn read(
        &mut self,
        partition: Partition,
        from: Position,
        upto: Position,
    ) -> Result<(Vec<Fact>, Position), Trouble> {
        let mut tail = match self.tails.remove(&partition) {
            Some(tail) if tail.from == from => tail,
            _ => Tail::open(self.tools.log.as_ref(), partition, from).await?,
        };
        let records = tail.before(upto, self.tools.batch_max).await?;
        let reached = tail.from;
        self.tails.insert(partition, tail);
        let keyring = &self.tools.keyring;
        let prepared = batch::prepare(Model::Catalog, partition, records, keyring).await?;
        Ok((prepared.facts, reached))
    }

    /// What `facts` changed; those of parked tenants are not applied.
    async fn changes(
        &mut self,
        set: &TableSet,
        partition: Partition,
        mut facts: Vec<Fact>,
    ) -> Result<Vec<Change>, Trouble> {
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        let mut writer = set.writer().await;
        let mut parked = BTreeMap::new();
        for row in Sql::new("SELECT tenant, position FROM parked").fetch(&mut writer).await? {
            parked.insert(TenantId(row.uuid(0)?), Position(row.count(1)?));
        }
        facts.retain(|it| match parked.get(&it.tenant) {
            Some(at) if *at <= it.position => {
                self.parked.entry(it.tenant).or_insert((partition, it.position));
                false
            }
            _ => true,
        });
        Ok(catalog::changes_by(&self.tools.keyring, &mut writer, &facts).await?)
    }

    /// Tells what was applied of tenants that are parked no more.
    async fn tell_resumed(&mut self, set: &TableSet) -> Result<(), Trouble> {
        for (tenant, (partition, from)) in self.parked.clone() {
            if is_parked(set, tenant).await? {
                continue;
            }
            self.parked.remove(&tenant);
            let (upto, mut place) = (self.tools.told.place(partition), from);
            while place < upto {
                let (mut facts, reached) = self.read(partition, place, upto).await?;
                facts.retain(|it| it.tenant == tenant);
                let changes = self.changes(set, partition, facts).await?;
                self.tools.told.tell(changes);
                place = reached;
            }
        }
        Ok(())
    }
}

/// Reads a partition, as far as the tables are.
struct Tail {
    from: Position,
    reader: Box<dyn Reader>,
    /// What was read and lies beyond the tables.
    beyond: VecDeque<Recorded>,
}

impl Tail {
    async fn open(
        log: &dyn EventLog,
        partition: Partition,
        from: Position,
    ) -> Result<Self, Trouble> {
        let reader = log.read(partition, from).await?;
        Ok(Self { from, reader, beyond: VecDeque::new() })
    }

    /// The next records before `upto`, which is a place that the log has reached.
    async fn before(
        &mut self,
        upto: Position,
        records_max: usize,
    ) -> Result<Vec<Recorded>, Trouble> {
        if self.beyond.is_empty() {
            self.beyond.extend(self.reader.next(records_max).await?);
        }
        let count = self.beyond.partition_point(|it| it.position < upto);
        let records: Vec<_> = self.beyond.drain(..count).collect();
        self.from = records.last().map_or(upto, |it| it.position.next());
        Ok(records)
    }
}

async fn is_parked(set: &TableSet, tenant: TenantId) -> Result<bool, StoreError> {
    let mut sql = Sql::new("SELECT 1 FROM parked WHERE tenant = ");
    sql.bind(tenant.0);
    Ok(sql.fetch_optional(&mut *set.writer().await).await?.is_some())
}

/// The place after the last that was applied.
pub(crate) fn after(applied: Option<&Place>) -> Position {
    applied.map_or(Position::START, |it| it.position.next())
}
