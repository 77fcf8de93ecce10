//! Folds the events of entities and locations into the catalog's tables.
//!
//! Of each entity that a batch touches only the last state counts: it is derived once, compared
//! with what is derived from the row before, and only the differences are written. Versions are
//! written for every event. While the catalog is filled for the first time, the tables that are
//! searched are left out, and [`filled`] derives them at the end.
//!
//! A batch of small events may touch any number of entities whose content is large: so what is
//! large is loaded for as many of them at a time as fit into memory ([`groups`]).

mod derived;
mod filled;
pub(crate) mod groups;
mod load;
mod seen;
mod write;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::Stream;
use domain::catalog::StoredDescriptor;
use domain::id::{ActorId, EntityId, EntityUid, LocationId, TenantId};
use domain::location::LocationKind;
use domain::{entity, location};
use event_log::Position;
use vault::Keyring;

use crate::engine::change::{Change, EntityChange, EntityFate};
use crate::engine::checkpoint::Stage;
use crate::engine::fact::{Fact, Unfit};
use crate::engine::fold::{ApplyError, by_tenant};
use crate::store::Connection;
use derived::Derived;
use load::Existing;

pub(crate) use filled::{derive, take_out};
pub(super) use load::location_kind;
pub(crate) use seen::changes_by;

/// An entity within the installation.
type Key = (TenantId, EntityId);

/// What the last event of a batch leaves of an entity.
struct Touched<'a> {
    /// The event that says so.
    fact: &'a Fact,
    /// The registration this batch began, if it did.
    began: Option<(EntityUid, DateTime<Utc>)>,
    state: State<'a>,
}

enum State<'a> {
    /// This is said about it.
    Put { descriptor: &'a StoredDescriptor, location: Option<LocationId> },
    /// Its location has changed; what was said about it last is loaded with its group.
    Follows { location: LocationId },
    /// It is no longer in the catalog.
    Gone,
}

/// A location as entities show it.
struct Source {
    kind: LocationKind,
    target: String,
    sequence: u64,
    registered_at: DateTime<Utc>,
}

/// Locations by what is true of them at the end of a batch; none if they are gone.
type Sources = HashMap<(TenantId, LocationId), Option<Source>>;

pub(crate) async fn apply(
    keyring: &Keyring,
    connection: &mut Connection,
    facts: &[Fact],
    stage: Stage,
) -> Result<Vec<Change>, ApplyError> {
    write::versions(connection, facts).await?;
    let mut touched = touched(facts)?;
    let (changed_sources, by_location) = changed_sources(facts)?;
    write::locations(connection, &changed_sources).await?;
    let mut existing = load::by_id(connection, touched.keys().copied(), stage).await?;
    let locations = changed_sources.keys().copied();
    for (key, follower) in load::followers(connection, locations, stage).await? {
        // One that this batch says something about is derived anew anyway.
        if let Some(location) = follower.location
            && let Some(fact) = by_location.get(&(key.0, location))
            && !touched.contains_key(&key)
        {
            touched.insert(key, Touched { fact, began: None, state: State::Follows { location } });
            existing.insert(key, follower);
        }
    }
    let sources = load::sources(connection, &touched, changed_sources).await?;
    let mut changed = HashMap::new();
    for group in groups::of(touched, &existing, stage) {
        let before = group.keys().filter_map(|it| existing.remove_entry(it)).collect();
        let before = load::documents(connection, before, stage).await?;
        #[cfg(test)]
        groups::note_held(&before);
        let descriptors = load::descriptors(connection, &group).await?;
        let outcomes = derive_all(keyring, &group, &descriptors, &before, &sources).await?;
        write::entities(connection, &outcomes, &before, stage).await?;
        note(&mut changed, &outcomes, &before);
    }
    Ok(told(facts, changed))
}

/// An entity as it is after the batch; none if it is not in the catalog.
struct Outcome<'a> {
    fact: &'a Fact,
    derived: Option<Derived>,
}

/// What becomes of every touched entity.
type Outcomes<'a> = BTreeMap<Key, Outcome<'a>>;

fn touched(facts: &[Fact]) -> Result<BTreeMap<Key, Touched<'_>>, Unfit> {
    let mut touched: BTreeMap<Key, Touched<'_>> = BTreeMap::new();
    for fact in facts {
        let Some(domain::Event::Entity(event)) = &fact.event else { continue };
        let Stream::Entity(id) = fact.stream else {
            return Err(fact.unfit("it is not in the stream of an entity"));
        };
        let key = (fact.tenant, id);
        let before = touched.get(&key).and_then(|it| it.began);
        let (began, state) = match event {
            entity::Event::Registered { uid, location, descriptor, .. } => {
                (Some((*uid, fact.at)), State::Put { descriptor, location: *location })
            }
            entity::Event::Updated { location, descriptor, .. } => {
                (before, State::Put { descriptor, location: *location })
            }
            entity::Event::Deregistered { .. } => (None, State::Gone),
        };
        touched.insert(key, Touched { fact, began, state });
    }
    Ok(touched)
}

/// The locations that a batch changes, and the last event of each.
type ChangedSources<'a> = (Sources, HashMap<(TenantId, LocationId), &'a Fact>);

fn changed_sources(facts: &[Fact]) -> Result<ChangedSources<'_>, Unfit> {
    let mut sources = HashMap::new();
    let mut events = HashMap::new();
    for fact in facts {
        let Some(domain::Event::Location(event)) = &fact.event else { continue };
        let Stream::Location(id) = fact.stream else {
            return Err(fact.unfit("it is not in the stream of a location"));
        };
        let source = match event {
            location::Event::Registered { kind, target } => Some(Source {
                kind: *kind,
                target: target.clone(),
                sequence: fact.sequence,
                registered_at: fact.at,
            }),
            location::Event::Deregistered {} => None,
        };
        sources.insert((fact.tenant, id), source);
        events.insert((fact.tenant, id), fact);
    }
    Ok((sources, events))
}

async fn derive_all<'a>(
    keyring: &Keyring,
    touched: &BTreeMap<Key, Touched<'a>>,
    descriptors: &HashMap<Key, StoredDescriptor>,
    existing: &HashMap<Key, Existing>,
    sources: &Sources,
) -> Result<Outcomes<'a>, ApplyError> {
    let mut outcomes = BTreeMap::new();
    let mut keys = derived::Keys::new(keyring);
    for (key, it) in touched {
        let said = match &it.state {
            State::Gone => None,
            State::Put { descriptor, location } => Some((*descriptor, *location)),
            State::Follows { location } => {
                let Some(descriptor) = descriptors.get(key) else { continue };
                Some((descriptor, Some(*location)))
            }
        };
        let derived = match said {
            None => None,
            Some((descriptor, location)) => {
                let taken = keys.open(it.fact, descriptor).await?;
                let source = location.map(|location| sources.get(&(key.0, location)));
                let source = source.map(|it| it.and_then(Option::as_ref));
                let registration = Registration::of(it, existing.get(key));
                derived::derive(it.fact, descriptor, &taken, location, source, registration)?
            }
        };
        outcomes.insert(*key, Outcome { fact: it.fact, derived });
    }
    Ok(outcomes)
}

/// The registration an entity is in, and the event that said last what it is.
#[derive(Clone, Copy)]
struct Registration {
    uid: EntityUid,
    at: DateTime<Utc>,
    said: Said,
}

/// An event of an entity. Those of its location change what is shown, not what was said.
#[derive(Clone, Copy)]
struct Said {
    revision: u64,
    sequence: u64,
    position: Position,
    at: DateTime<Utc>,
    by: ActorId,
}

impl Registration {
    /// None if there is none, which is only right for an erased person.
    fn of(touched: &Touched<'_>, existing: Option<&Existing>) -> Option<Self> {
        let before = existing.map(|it| (it.registration.uid, it.registration.at));
        let (uid, at) = touched.began.or(before)?;
        let fact = touched.fact;
        let said = match fact.stream {
            Stream::Entity(_) => Said {
                revision: fact.revision,
                sequence: fact.sequence,
                position: fact.position,
                at: fact.at,
                by: fact.actor,
            },
            _ => existing?.registration.said,
        };
        Some(Self { uid, at, said })
    }
}

/// Takes down what became visible, per tenant.
fn note(
    changed: &mut HashMap<TenantId, Vec<EntityChange>>,
    outcomes: &Outcomes<'_>,
    existing: &HashMap<Key, Existing>,
) {
    for (key, it) in outcomes {
        let before = existing.get(key);
        let (reference, fate) = match (&it.derived, before) {
            (Some(after), None) => (&after.reference, EntityFate::Registered),
            (Some(after), Some(_)) => (&after.reference, EntityFate::Updated),
            (None, Some(before)) => (&before.reference, EntityFate::Deregistered),
            (None, None) => continue,
        };
        let reference = reference.clone();
        let change = EntityChange { id: key.1, reference, fate, sequence: it.fact.sequence };
        changed.entry(key.0).or_default().push(change);
    }
}

/// The changes of each tenant, at the last of its `facts`.
fn told(facts: &[Fact], mut entities: HashMap<TenantId, Vec<EntityChange>>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (tenant, facts) in by_tenant(facts) {
        let Some(last) = facts.last() else { continue };
        let Some(mut entities) = entities.remove(&tenant) else { continue };
        entities.sort_by_key(|it| it.sequence);
        changes.push(Change {
            tenant,
            partition: last.partition,
            position: last.position,
            sequence: last.sequence,
            entities,
        });
    }
    changes
}
