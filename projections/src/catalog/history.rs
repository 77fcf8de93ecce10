//! Every version an entity ever had.
//!
//! Versions hold descriptors as the log does, personal data sealed: a reader unseals it, so
//! data of then obeys the erasures of now.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::Principal;
use domain::catalog::StoredDescriptor;
use domain::id::{ActorId, EntityId, EntityUid, TenantId};
use event_log::Position;
use serde_json::Value;
use vault::{Keyring, KeyringError};

use crate::catalog::sql::Visible;
use crate::error::ReadError;
use crate::large;
use crate::model::Model;
use crate::page::{Direction, Page, Window};
use crate::read_models::ReadModels;
use crate::store::{Connection, Row, Sql, StoreError};

/// One version of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Which registration it belongs to; none for updates, which belong to the one before.
    pub uid: Option<EntityUid>,
    /// The stream's revision; also its cursor.
    pub revision: u64,
    /// What happened.
    pub kind: VersionKind,
    /// What was said, defaults and injections left out; none when it was deregistered.
    pub descriptor: Option<Value>,
    /// The tenant sequence of the event.
    pub sequence: u64,
    /// The log position of the event.
    pub position: Position,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: ActorId,
}

/// What made a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionKind {
    /// The entity was registered.
    Registered,
    /// Something else was said about it.
    Updated,
    /// It was deregistered.
    Deregistered,
}

/// A page of the versions of the entity with this reference, newest first. An entity that
/// cannot be seen now has none; for one that is deregistered, a principal that sees everything
/// still has its history.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    reference: &str,
    window: &Window<u64>,
) -> Result<Page<Version, u64>, ReadError> {
    let Some(visible) = Visible::to(principal)? else { return Ok(Page::empty()) };
    let fault = ReadError::fault(Model::Catalog);
    let mut reader = models.reader(Model::Catalog, visible.tenant).await?;
    let ids = ids_of(models, &mut reader, &visible, &[reference.to_lowercase()]).await?;
    let Some(id) = ids.into_values().next() else {
        reader.finish();
        return Ok(Page::empty());
    };
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM versions WHERE tenant = ").bind(visible.tenant.0);
    sql.push(" AND id = ").bind(id.0);
    let key = |it: &u64| vec![(*it).into()];
    window.cut_ordered(&mut sql, &["revision"], Direction::Descending, key)?;
    let rows = sql.fetch(&mut reader).await.map_err(fault)?;
    reader.finish();
    let mut versions = Vec::with_capacity(rows.len());
    for row in &rows {
        versions.push(read(models.keyring(), visible.tenant, row).await?);
    }
    Ok(window.page(versions, |it| it.revision))
}

/// The newest `count` versions of each of `references`, in order, in two queries at
/// most.
///
/// # Errors
///
/// [`ReadError`].
pub async fn newest_of_many(
    models: &ReadModels,
    principal: &Principal,
    references: &[String],
    count: u32,
) -> Result<Vec<Page<Version, u64>>, ReadError> {
    let nothing = || references.iter().map(|_| Page::empty()).collect();
    let Some(visible) = Visible::to(principal)? else { return Ok(nothing()) };
    let fault = ReadError::fault(Model::Catalog);
    let mut reader = models.reader(Model::Catalog, visible.tenant).await?;
    let references: Vec<_> = references.iter().map(|it| it.to_lowercase()).collect();
    let ids = ids_of(models, &mut reader, &visible, &references).await?;
    if ids.is_empty() {
        reader.finish();
        return Ok(nothing());
    }
    let window = Window::first(count);
    let mut sql = Sql::new("SELECT ");
    sql.push(COLUMNS).push(" FROM (SELECT ").push(COLUMNS);
    sql.push(", row_number() OVER (PARTITION BY id ORDER BY revision DESC) AS place");
    sql.push(" FROM versions WHERE tenant = ").bind(visible.tenant.0);
    sql.push(" AND id IN ").bind_list(ids.values().map(|it| it.0));
    sql.push(") AS numbered WHERE place <= ").bind(window.fetch()?);
    sql.push(" ORDER BY revision DESC");
    let mut found: HashMap<EntityId, Vec<Version>> = HashMap::new();
    let rows = sql.fetch(&mut reader).await.map_err(fault)?;
    reader.finish();
    for row in rows {
        let id = EntityId(row.uuid(0).map_err(fault)?);
        let version = read(models.keyring(), visible.tenant, &row).await?;
        found.entry(id).or_default().push(version);
    }
    let mut page = |reference: &String| {
        // Two references of the same entity are the same page.
        let versions = ids.get(reference).and_then(|it| found.get(it)).cloned();
        window.page(versions.unwrap_or_default(), |it| it.revision)
    };
    Ok(references.iter().map(&mut page).collect())
}

const COLUMNS: &str = "id, revision, uid, fate, descriptor, sequence, position, at, actor";

/// The streams of those of `references` whose history may be seen.
///
/// Whoever sees everything also sees what is no longer in the catalog. Its stream is found
/// without a table, which would remember names that have to be forgotten.
async fn ids_of(
    models: &ReadModels,
    connection: &mut Connection,
    visible: &Visible,
    references: &[String],
) -> Result<HashMap<String, EntityId>, ReadError> {
    let fault = ReadError::fault(Model::Catalog);
    if references.is_empty() {
        return Ok(HashMap::new());
    }
    if visible.is_everything() {
        let keys = match models.keyring().tenant(visible.tenant).await {
            Ok(keys) => keys,
            Err(KeyringError::TenantErased(_)) => return Ok(HashMap::new()),
            Err(error) => return Err(ReadError::fault(Model::Catalog)(error)),
        };
        return Ok(references.iter().map(|it| (it.clone(), keys.entity_id(it))).collect());
    }
    let mut sql = Sql::new("SELECT e.reference, e.id FROM entities e WHERE ");
    visible.write(&mut sql, "e");
    sql.push(" AND e.reference IN ").bind_list(references.iter().map(String::as_str));
    let rows = sql.fetch(connection).await.map_err(fault)?;
    let read = |it: &Row| Ok::<_, StoreError>((it.text(0)?, EntityId(it.uuid(1)?)));
    rows.iter().map(read).collect::<Result<_, _>>().map_err(fault)
}

async fn read(keyring: &Keyring, tenant: TenantId, row: &Row) -> Result<Version, ReadError> {
    let fault = ReadError::fault(Model::Catalog);
    let mut version = read_public(row).map_err(fault)?;
    if let Some(text) = row.optional_text(4).map_err(fault)? {
        let stored: StoredDescriptor =
            serde_json::from_str(&text).map_err(ReadError::fault(Model::Catalog))?;
        let personal: Vec<_> = stored.personal.iter().collect();
        let texts = match keyring.unseal_many(tenant, &personal).await {
            Ok(texts) => texts,
            Err(KeyringError::TenantErased(_)) => vec![None; personal.len()],
            Err(error) => return Err(ReadError::fault(Model::Catalog)(error)),
        };
        let large = large::read(keyring, tenant, &stored.large).await;
        let large = large.map_err(ReadError::fault(Model::Catalog))?;
        version.descriptor = Some(stored.restore(&texts, &large));
    }
    Ok(version)
}

/// All but the descriptor.
fn read_public(row: &Row) -> Result<Version, StoreError> {
    let kind = match row.text(3)?.as_str() {
        "registered" => VersionKind::Registered,
        "updated" => VersionKind::Updated,
        "deregistered" => VersionKind::Deregistered,
        _ => {
            let expected = "what made a version";
            return Err(StoreError::Value { column: 3, expected, source: None });
        }
    };
    Ok(Version {
        uid: row.optional_uuid(2)?.map(EntityUid),
        revision: row.count(1)?,
        kind,
        descriptor: None,
        sequence: row.count(5)?,
        position: Position(row.count(6)?),
        at: row.time(7)?,
        actor: ActorId(row.uuid(8)?),
    })
}
