//! Every version an entity ever had.
//!
//! Versions hold descriptors as the log does, personal data sealed: a reader unseals it, so
//! data of then obeys the erasures of now.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::Principal;
use domain::catalog::StoredDescriptor;
use domain::id::{ActorId, EntityId, EntityUid, TenantId};
use event_log::Position;
use serde_json::Value;
use vault::KeyringError;

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
    /// How much of it was read. In bytes.
    pub bytes: usize,
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

/// How much of each version is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// All but what was said: [`Version::descriptor`] is none.
    Outline,
    /// What was said, too.
    Whole,
}

impl Detail {
    fn columns(self) -> &'static str {
        match self {
            Self::Outline => "id, revision, uid, fate, sequence, position, at, actor",
            Self::Whole => "id, revision, uid, fate, sequence, position, at, actor, descriptor",
        }
    }
}

/// A page of the versions of the entity with this reference, newest first. An entity that
/// cannot be seen now has none; for one that is deregistered, a principal that sees everything
/// still has its history. Everybody else has that of the present registration only: who had the
/// name before may be hidden from them.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    reference: &str,
    window: &Window<u64>,
    detail: Detail,
) -> Result<Page<Arc<Version>, u64>, ReadError> {
    let Some(visible) = Visible::to(principal)? else { return Ok(Page::empty()) };
    let mut reader = models.reader(Model::Catalog, visible.tenant).await?;
    let told = told_of(models, &mut reader, &visible, &[reference.to_lowercase()]).await?;
    let Some(Told { id, since }) = told.into_values().next() else {
        reader.finish();
        return Ok(Page::empty());
    };
    let mut sql = Sql::new("SELECT ");
    sql.push(detail.columns()).push(" FROM versions WHERE tenant = ").bind(visible.tenant.0);
    sql.push(" AND id = ").bind(id.0).push(" AND revision >= ").bind(since);
    let key = |it: &u64| vec![(*it).into()];
    window.cut_ordered(&mut sql, &["revision"], Direction::Descending, key)?;
    let stored = models.rows_with(&mut reader, Model::Catalog, sql, |it| read(it, detail)).await?;
    reader.finish();
    let versions = restore(models, visible.tenant, stored).await?;
    Ok(window.page(versions.into_iter().map(|(_, it)| it).collect(), |it| it.revision))
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
    detail: Detail,
) -> Result<Vec<Page<Arc<Version>, u64>>, ReadError> {
    let nothing = || references.iter().map(|_| Page::empty()).collect();
    let Some(visible) = Visible::to(principal)? else { return Ok(nothing()) };
    let mut reader = models.reader(Model::Catalog, visible.tenant).await?;
    let references: Vec<_> = references.iter().map(|it| it.to_lowercase()).collect();
    let told = told_of(models, &mut reader, &visible, &references).await?;
    if told.is_empty() {
        reader.finish();
        return Ok(nothing());
    }
    let window = Window::first(count);
    let mut sql = Sql::new("SELECT ");
    sql.push(detail.columns()).push(" FROM (SELECT ").push(detail.columns());
    sql.push(", row_number() OVER (PARTITION BY id ORDER BY revision DESC) AS place");
    sql.push(" FROM versions WHERE tenant = ").bind(visible.tenant.0);
    sql.push(" AND id IN ").bind_list(told.values().map(|it| it.id.0));
    sql.push(") AS numbered WHERE place <= ").bind(window.fetch()?);
    sql.push(" ORDER BY revision DESC");
    let read = |it: &Row| read(it, detail);
    let mut stored = models.rows_with(&mut reader, Model::Catalog, sql, read).await?;
    reader.finish();
    let since: HashMap<_, _> = told.values().map(|it| (it.id, it.since)).collect();
    // They are the newest, so what is taken out here has nothing after it.
    stored.retain(|it| since.get(&it.id).is_some_and(|since| *since <= it.version.revision));
    let mut found: HashMap<EntityId, Vec<Arc<Version>>> = HashMap::new();
    for (id, version) in restore(models, visible.tenant, stored).await? {
        found.entry(id).or_default().push(version);
    }
    let mut page = |reference: &String| {
        // Two references of the same entity are the same page.
        let versions = told.get(reference).and_then(|it| found.get(&it.id)).cloned();
        window.page(versions.unwrap_or_default(), |it| it.revision)
    };
    Ok(references.iter().map(&mut page).collect())
}

/// What may be seen of the history of an entity.
struct Told {
    /// Its stream.
    id: EntityId,
    /// From this revision on.
    since: u64,
}

/// What may be seen of the history of each of `references`, if anything may.
///
/// Whoever sees everything also sees what is no longer in the catalog. Its stream is found
/// without a table, which would remember names that have to be forgotten.
async fn told_of(
    models: &ReadModels,
    connection: &mut Connection,
    visible: &Visible,
    references: &[String],
) -> Result<HashMap<String, Told>, ReadError> {
    let fault = ReadError::fault(Model::Catalog);
    if references.is_empty() {
        return Ok(HashMap::new());
    }
    if visible.is_everything() {
        let keys = match models.keyring().existing(visible.tenant).await {
            Ok(keys) => keys,
            Err(KeyringError::TenantErased(_)) => return Ok(HashMap::new()),
            Err(error) => return Err(ReadError::fault(Model::Catalog)(error)),
        };
        let whole = |it: &String| (it.clone(), Told { id: keys.entity_id(it), since: 0 });
        return Ok(references.iter().map(whole).collect());
    }
    let mut sql = Sql::new(
        "SELECT e.reference, e.id, (SELECT max(v.revision) FROM versions v
            WHERE v.tenant = e.tenant AND v.id = e.id AND v.fate = 'registered')
         FROM entities e WHERE ",
    );
    visible.write(&mut sql, "e");
    sql.push(" AND e.reference IN ").bind_list(references.iter().map(String::as_str));
    let rows = sql.fetch(connection).await.map_err(fault)?;
    let read = |it: &Row| {
        let told = Told { id: EntityId(it.uuid(1)?), since: it.count(2)? };
        Ok::<_, StoreError>((it.text(0)?, told))
    };
    rows.iter().map(read).collect::<Result<_, _>>().map_err(fault)
}

/// A version of an entity, with what was said as the log holds it.
struct Stored {
    id: EntityId,
    version: Version,
    said: Option<StoredDescriptor>,
}

/// Opens what was said in each of them, sealed parts for all of them at once.
async fn restore(
    models: &ReadModels,
    tenant: TenantId,
    stored: Vec<Stored>,
) -> Result<Vec<(EntityId, Arc<Version>)>, ReadError> {
    let fault = ReadError::fault(Model::Catalog);
    let said = || stored.iter().filter_map(|it| it.said.as_ref());
    let sealed: Vec<_> = said().flat_map(|it| &it.personal).collect();
    let texts = match models.keyring().unseal_many(tenant, &sealed).await {
        Ok(texts) => texts,
        Err(KeyringError::TenantErased(_)) => vec![None; sealed.len()],
        Err(error) => return Err(ReadError::fault(Model::Catalog)(error)),
    };
    let mut texts = texts.into_iter();
    let mut versions = Vec::with_capacity(stored.len());
    for Stored { id, mut version, said } in stored {
        if let Some(said) = said {
            let bytes = large::bytes(&said.large);
            models.spend(bytes)?;
            version.bytes += bytes;
            let large = large::read(models.keyring(), tenant, &said.large).await.map_err(fault)?;
            let texts: Vec<_> = texts.by_ref().take(said.personal.len()).collect();
            version.descriptor = Some(said.restore(&texts, &large));
        }
        versions.push((id, Arc::new(version)));
    }
    Ok(versions)
}

fn read(row: &Row, detail: Detail) -> Result<Stored, StoreError> {
    let kind = match row.text(3)?.as_str() {
        "registered" => VersionKind::Registered,
        "updated" => VersionKind::Updated,
        "deregistered" => VersionKind::Deregistered,
        _ => {
            let expected = "what made a version";
            return Err(StoreError::Value { column: 3, expected, source: None });
        }
    };
    let said = match detail {
        Detail::Outline => None,
        Detail::Whole => row.optional_json(8)?,
    };
    let version = Version {
        uid: row.optional_uuid(2)?.map(EntityUid),
        revision: row.count(1)?,
        kind,
        descriptor: None,
        sequence: row.count(4)?,
        position: Position(row.count(5)?),
        at: row.time(6)?,
        actor: ActorId(row.uuid(7)?),
        bytes: row.copied(),
    };
    Ok(Stored { id: EntityId(row.uuid(0)?), version, said })
}
