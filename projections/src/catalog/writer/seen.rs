//! What became visible by events that another process has applied to the tables.
//!
//! The log says what happened, in order, and only from it one knows what was there before; the
//! tables, which are that far at least, say what it is called. An entity that has gone again by
//! the time they are asked is told of when that is told.

use std::collections::{BTreeMap, HashMap};

use domain::catalog::{Descriptor, StoredDescriptor};
use domain::id::{EntityId, TenantId};
use domain::{Event, Stream, entity};
use vault::Keyring;

use super::{Key, changed_sources, load, told};
use crate::engine::change::{Change, EntityChange, EntityFate};
use crate::engine::checkpoint::Stage;
use crate::engine::fact::Fact;
use crate::engine::fold::ApplyError;
use crate::large::{self, LargeError};
use crate::sealed;
use crate::store::bulk::Rows;
use crate::store::{Connection, Row, StoreError};

/// What a run of events did to an entity.
struct Run<'a> {
    /// Whether it was in the catalog before.
    was_there: bool,
    is_there: bool,
    last: &'a Fact,
}

/// The changes by `facts`, which the tables show, all of them or more.
pub(crate) async fn changes_by(
    keyring: &Keyring,
    connection: &mut Connection,
    facts: &[Fact],
) -> Result<Vec<Change>, ApplyError> {
    let runs = runs(facts);
    let there = runs.iter().filter(|it| it.1.is_there).map(|it| *it.0);
    let mut names: HashMap<Key, String> = load::by_id(connection, there, Stage::Filling)
        .await?
        .into_iter()
        .map(|(key, it)| (key, it.reference))
        .collect();
    names.extend(names_of_gone(keyring, connection, &runs).await?);
    let mut entities: HashMap<TenantId, Vec<EntityChange>> = HashMap::new();
    for (key, run) in &runs {
        let fate = match (run.was_there, run.is_there) {
            (false, true) => EntityFate::Registered,
            (true, true) => EntityFate::Updated,
            (true, false) => EntityFate::Deregistered,
            (false, false) => continue,
        };
        let Some(reference) = names.remove(key) else { continue };
        let change = EntityChange { id: key.1, reference, fate, sequence: run.last.sequence };
        entities.entry(key.0).or_default().push(change);
    }
    // Those that follow a location which changed.
    let (sources, by_location) = changed_sources(facts)?;
    let locations = sources.keys().copied();
    for (key, it) in load::followers(connection, locations, Stage::Filling).await? {
        if let Some(location) = it.location
            && let Some(fact) = by_location.get(&(key.0, location))
            && !runs.contains_key(&key)
        {
            let (reference, fate) = (it.reference, EntityFate::Updated);
            let change = EntityChange { id: key.1, reference, fate, sequence: fact.sequence };
            entities.entry(key.0).or_default().push(change);
        }
    }
    Ok(told(facts, entities))
}

fn runs(facts: &[Fact]) -> BTreeMap<Key, Run<'_>> {
    let mut runs: BTreeMap<Key, Run<'_>> = BTreeMap::new();
    for fact in facts {
        let (Some(Event::Entity(event)), Stream::Entity(id)) = (&fact.event, fact.stream) else {
            continue;
        };
        let is_there = !matches!(event, entity::Event::Deregistered { .. });
        let was_there = !matches!(event, entity::Event::Registered { .. });
        let first = Run { was_there, is_there, last: fact };
        let run = runs.entry((fact.tenant, id)).or_insert(first);
        (run.is_there, run.last) = (is_there, fact);
    }
    runs
}

/// What the entities that are no longer there were called, as the version before says. Those whose
/// data was erased have no name any more.
async fn names_of_gone(
    keyring: &Keyring,
    connection: &mut Connection,
    runs: &BTreeMap<Key, Run<'_>>,
) -> Result<Vec<(Key, String)>, ApplyError> {
    let gone = runs.iter().filter(|it| it.1.was_there && !it.1.is_there);
    let mut rows = Rows::default();
    for (key, run) in gone {
        let before = run.last.revision.saturating_sub(1);
        rows.push([key.0.0.into(), key.1.0.into(), before.into()]);
    }
    let select = "SELECT tenant, id, descriptor FROM versions";
    let found = rows.fetch(connection, select, ["tenant", "id", "revision"]).await?;
    let mut names = Vec::with_capacity(found.len());
    for row in found {
        let (key, Some(said)) = version(&row)? else { continue };
        let Some(run) = runs.get(&key) else { continue };
        match name_of(keyring, run.last, &said).await {
            Ok(name) => names.extend(name.map(|it| (key, it))),
            // What cannot be opened keeps nobody else from being told.
            Err(error) if error.is_refusal() => tracing::warn!(
                projection.tenant = %key.0,
                error = &error as &dyn std::error::Error,
                "nobody is told that an entity has gone, since its name cannot be read"
            ),
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}

/// What an entity was called of which `said` was said, before `fact` told that it is gone; none if
/// that was erased.
async fn name_of(
    keyring: &Keyring,
    fact: &Fact,
    said: &StoredDescriptor,
) -> Result<Option<String>, ApplyError> {
    let large = match large::read(keyring, fact.tenant, &said.large).await {
        Ok(large) => large,
        Err(LargeError::Lost(reason)) => return Err(fact.unfit(reason).into()),
        Err(LargeError::Vault(error)) => return Err(error.into()),
    };
    let personal: Vec<_> = said.personal.iter().collect();
    let texts = sealed::open(keyring, fact, &personal).await?;
    let restored = Descriptor::recorded(said.restore(&texts, &large));
    let restored = restored.filter(|it| !it.is_erased());
    Ok(restored.map(|it| it.reference().canonical()))
}

fn version(row: &Row) -> Result<(Key, Option<StoredDescriptor>), StoreError> {
    Ok(((TenantId(row.uuid(0)?), EntityId(row.uuid(1)?)), row.optional_json(2)?))
}
