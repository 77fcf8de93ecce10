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
    /// As it is stored. What is large is loaded with its group only; nothing is while the tables
    /// that follow from it are left out.
    pub document: Option<String>,
    pub document_bytes: usize,
}

/// Up to which length a document is loaded with everything else. In bytes: 16 KiB, more than most
/// have.
const SMALL_BYTES_MAX: usize = 16 * 1024;

/// What is read of entities.
fn columns(stage: Stage) -> String {
    let document = match stage {
        Stage::Filling => "CAST(NULL AS TEXT)".to_owned(),
        Stage::Filled => {
            format!("CASE WHEN octet_length(document) <= {SMALL_BYTES_MAX} THEN document END")
        }
    };
    format!(
        "tenant, id, reference, uid, location, registered_at, revision, sequence, position,
         changed_at, changed_by, CAST(octet_length(document) AS BIGINT), {document}"
    )
}

/// The entities of these streams that are in the catalog.
pub(super) async fn by_id(
    connection: &mut Connection,
    keys: impl Iterator<Item = Key>,
    stage: Stage,
) -> Result<HashMap<Key, Existing>, StoreError> {
    let before = format!("SELECT {} FROM entities", columns(stage));
    let found = rows(keys).fetch(connection, &before, ["tenant", "id"]).await?;
    found.iter().map(existing).collect()
}

/// The entities that follow these locations.
pub(super) async fn followers(
    connection: &mut Connection,
    locations: impl Iterator<Item = (TenantId, LocationId)>,
    stage: Stage,
) -> Result<Vec<(Key, Existing)>, StoreError> {
    let mut rows = Rows::default();
    locations.for_each(|(tenant, location)| rows.push([tenant.0.into(), location.0.into()]));
    let before = format!("SELECT {} FROM entities", columns(stage));
    let found = rows.fetch(connection, &before, ["tenant", "location"]).await?;
    found.iter().map(existing).collect()
}

/// The same entities, each with its document where that is needed.
pub(super) async fn documents(
    connection: &mut Connection,
    mut entities: HashMap<Key, Existing>,
    stage: Stage,
) -> Result<HashMap<Key, Existing>, StoreError> {
    if stage == Stage::Filling {
        return Ok(entities);
    }
    let large = entities.iter().filter(|(_, it)| it.document.is_none()).map(|(key, _)| *key);
    let before = "SELECT tenant, id, document FROM entities";
    for row in rows(large).fetch(connection, before, ["tenant", "id"]).await? {
        if let Some(it) = entities.get_mut(&key(&row)?) {
            it.document = Some(row.text(2)?);
        }
    }
    Ok(entities)
}

/// What was said last about those of the touched entities whose location has changed.
pub(super) async fn descriptors(
    connection: &mut Connection,
    touched: &BTreeMap<Key, Touched<'_>>,
) -> Result<HashMap<Key, StoredDescriptor>, StoreError> {
    let follow = touched.iter().filter(|(_, it)| matches!(it.state, State::Follows { .. }));
    let before = "SELECT entities.tenant, entities.id, descriptor FROM entities
         JOIN versions ON versions.tenant = entities.tenant AND versions.id = entities.id
            AND versions.revision = entities.revision";
    let columns = ["entities.tenant", "entities.id"];
    let found = rows(follow.map(|(key, _)| *key)).fetch(connection, before, columns).await?;
    found.iter().map(|row| Ok((key(row)?, row.json(2)?))).collect()
}

fn rows(keys: impl Iterator<Item = Key>) -> Rows<2> {
    let mut rows = Rows::default();
    keys.for_each(|(tenant, id)| rows.push([tenant.0.into(), id.0.into()]));
    rows
}

fn key(row: &Row) -> Result<Key, StoreError> {
    Ok((TenantId(row.uuid(0)?), EntityId(row.uuid(1)?)))
}

fn existing(row: &Row) -> Result<(Key, Existing), StoreError> {
    let said = Said {
        revision: row.count(6)?,
        sequence: row.count(7)?,
        position: Position(row.count(8)?),
        at: row.time(9)?,
        by: ActorId(row.uuid(10)?),
    };
    let existing = Existing {
        reference: row.text(2)?,
        location: row.optional_uuid(4)?.map(LocationId),
        registration: Registration { uid: EntityUid(row.uuid(3)?), at: row.time(5)?, said },
        document: row.optional_text(12)?,
        document_bytes: usize::try_from(row.count(11)?).unwrap_or(usize::MAX),
    };
    Ok((key(row)?, existing))
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
