//! Reads what a batch touches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::catalog::StoredDescriptor;
use domain::id::{ActorId, EntityId, EntityUid, LocationId, TenantId};
use domain::location::LocationKind;
use event_log::Position;

use super::{Key, Registration, Said, Source, Sources, State, Touched};
use crate::engine::checkpoint::Stage;
use crate::store::bulk::Rows;
use crate::store::{Connection, Row, StoreError};

/// An entity as it is before the batch.
pub(super) struct Existing {
    pub reference: String,
    pub location: Option<LocationId>,
    pub registration: Registration,
    /// As it is stored; empty while the tables that follow from it are left out.
    pub document: String,
}

/// An entity that follows a changed location, with what was said about it last.
pub(super) struct Follower {
    pub existing: Existing,
    pub descriptor: StoredDescriptor,
}

const COLUMNS: &str = "entities.tenant, entities.id, reference, entities.uid, location,
    registered_at, document, entities.revision, entities.sequence, entities.position, changed_at,
    changed_by";

/// The entities of these streams that are in the catalog.
pub(super) async fn by_id(
    connection: &mut Connection,
    keys: impl Iterator<Item = Key>,
    stage: Stage,
) -> Result<HashMap<Key, Existing>, StoreError> {
    let mut rows = Rows::default();
    keys.for_each(|(tenant, id)| rows.push([tenant.0.into(), id.0.into()]));
    let columns = match stage {
        Stage::Filling => COLUMNS.replacen("document", "''", 1),
        Stage::Filled => COLUMNS.to_owned(),
    };
    let before = format!("SELECT {columns} FROM entities");
    let found = rows.fetch(connection, &before, ["tenant", "id"]).await?;
    found.iter().map(existing).collect()
}

/// The entities that follow these locations.
pub(super) async fn followers(
    connection: &mut Connection,
    locations: impl Iterator<Item = (TenantId, LocationId)>,
) -> Result<Vec<(Key, Follower)>, StoreError> {
    let mut rows = Rows::default();
    locations.for_each(|(tenant, location)| rows.push([tenant.0.into(), location.0.into()]));
    let before = format!(
        "SELECT {COLUMNS}, descriptor FROM entities
         JOIN versions ON versions.tenant = entities.tenant AND versions.id = entities.id
            AND versions.revision = entities.revision"
    );
    let columns = ["entities.tenant", "entities.location"];
    let found = rows.fetch(connection, &before, columns).await?;
    let follower = |row: &Row| {
        let (key, existing) = existing(row)?;
        Ok((key, Follower { existing, descriptor: row.json(12)? }))
    };
    found.iter().map(follower).collect()
}

fn existing(row: &Row) -> Result<(Key, Existing), StoreError> {
    let key = (TenantId(row.uuid(0)?), EntityId(row.uuid(1)?));
    let said = Said {
        revision: row.count(7)?,
        sequence: row.count(8)?,
        position: Position(row.count(9)?),
        at: row.time(10)?,
        by: ActorId(row.uuid(11)?),
    };
    let existing = Existing {
        reference: row.text(2)?,
        location: row.optional_uuid(4)?.map(LocationId),
        registration: Registration { uid: EntityUid(row.uuid(3)?), at: row.time(5)?, said },
        document: row.text(6)?,
    };
    Ok((key, existing))
}

/// The locations that the touched entities follow, over which the batch's own changes prevail.
pub(super) async fn sources(
    connection: &mut Connection,
    touched: &BTreeMap<Key, Touched<'_>>,
    changed: Sources,
) -> Result<Sources, StoreError> {
    let mut sources = changed;
    let mut wanted = BTreeSet::new();
    for ((tenant, _), it) in touched {
        if let State::Put { location: Some(location), .. } = it.state
            && !sources.contains_key(&(*tenant, location))
        {
            wanted.insert((*tenant, location));
        }
    }
    let mut rows = Rows::default();
    wanted.into_iter().for_each(|(tenant, id)| rows.push([tenant.0.into(), id.0.into()]));
    let before = "SELECT tenant, id, kind, target, sequence, registered_at FROM locations";
    for row in rows.fetch(connection, before, ["tenant", "id"]).await? {
        let source = Source {
            kind: location_kind(&row, 2)?,
            target: row.text(3)?,
            sequence: row.count(4)?,
            registered_at: row.time(5)?,
        };
        sources.insert((TenantId(row.uuid(0)?), LocationId(row.uuid(1)?)), Some(source));
    }
    Ok(sources)
}

/// Reads a kind of location.
pub(in crate::catalog) fn location_kind(
    row: &Row,
    column: usize,
) -> Result<LocationKind, StoreError> {
    match row.text(column)?.as_str() {
        "url" => Ok(LocationKind::Url),
        "file" => Ok(LocationKind::File),
        _ => Err(StoreError::Value { column, expected: "a kind of location", source: None }),
    }
}
