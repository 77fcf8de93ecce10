//! Who may do something in a tenant.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::id::{ActorId, SessionId, TenantId};
use domain::member::{ApiKey, Event, Session};
use domain::personal::Personal;
use domain::role::RoleRef;
use domain::{Permission, Principal, Stream};
use vault::Keyring;

use super::json;
use crate::engine::fact::{Fact, Unfit};
use crate::engine::fold::ApplyError;
use crate::error::ReadError;
use crate::model::Model;
use crate::page::{Page, Window};
use crate::read_models::ReadModels;
use crate::scope::{self, Scoped};
use crate::sealed;
use crate::store::bulk::Rows;
use crate::store::{Connection, Row, StoreError};

/// Names stand here in the clear, with whose they are, so that they can be erased.
pub(super) const MEMBERS: &str = "CREATE TABLE members (
    tenant UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT,
    subject UUID,
    roles TEXT NOT NULL,
    api_keys TEXT NOT NULL,
    sessions TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
)";

/// Somebody who may do something in a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who; also the cursor.
    pub id: ActorId,
    /// What they are called; none if that was never said or was erased.
    pub name: Option<String>,
    /// What they are.
    pub roles: BTreeSet<RoleRef>,
    /// Their API keys that were not revoked, by the actor each is.
    pub api_keys: BTreeMap<ActorId, ApiKey>,
    /// Their sessions that were not ended.
    pub sessions: BTreeMap<SessionId, Session>,
    /// Since when they belong to the tenant.
    pub added_at: DateTime<Utc>,
    /// The stream's revision.
    pub revision: u64,
}

/// The members with these identities, in order, in one query.
///
/// # Errors
///
/// [`ReadError`].
pub async fn find_many(
    models: &ReadModels,
    principal: &Principal,
    ids: &[ActorId],
) -> Result<Vec<Option<Member>>, ReadError> {
    let selected = scoped(principal, SELECT)?;
    scope::find_many(selected, ids, |it| it.0, |sql| fetch(models, sql), |it| it.id).await
}

/// A page of the members, by identity.
///
/// # Errors
///
/// [`ReadError`].
pub async fn list(
    models: &ReadModels,
    principal: &Principal,
    window: &Window<ActorId>,
) -> Result<Page<Member, ActorId>, ReadError> {
    let Some(mut sql) = scoped(principal, SELECT)? else { return Ok(Page::empty()) };
    window.cut(&mut sql, &["id"], |it| vec![it.0.into()])?;
    let rows = fetch(models, sql).await?;
    Ok(window.page(rows, |it| it.id))
}

/// How many members there are.
///
/// # Errors
///
/// [`ReadError`].
pub async fn count(models: &ReadModels, principal: &Principal) -> Result<u64, ReadError> {
    let Some(sql) = scoped(principal, "SELECT count(*) FROM members")? else { return Ok(0) };
    models.count(Model::Organisation, sql).await
}

const SELECT: &str =
    "SELECT id, name, roles, api_keys, sessions, added_at, revision, tenant, subject
    FROM members";

/// `select`, limited to what the principal may see; none if that is nothing.
fn scoped(principal: &Principal, select: &str) -> Result<Option<Scoped>, ReadError> {
    scope::select(principal, Permission::MemberRead, select)
}

async fn fetch(models: &ReadModels, sql: Scoped) -> Result<Vec<Member>, ReadError> {
    models.rows(Model::Organisation, sql, read).await
}

fn read(row: &Row) -> Result<Member, StoreError> {
    Ok(Member {
        id: ActorId(row.uuid(0)?),
        name: row.optional_text(1)?,
        roles: row.json(2)?,
        api_keys: row.json(3)?,
        sessions: row.json(4)?,
        added_at: row.time(5)?,
        revision: row.count(6)?,
    })
}

/// A row with what no reader needs.
struct Touched {
    member: Member,
    subject: Option<uuid::Uuid>,
}

type Key = (TenantId, ActorId);

pub(super) async fn apply(
    keyring: &Keyring,
    connection: &mut Connection,
    events: &[(&Fact, &Event)],
) -> Result<(), ApplyError> {
    let keys = events.iter().map(|it| key(it.0)).collect::<Result<BTreeSet<_>, _>>()?;
    let mut touched = load(connection, &keys).await?;
    for (fact, event) in events {
        evolve(keyring, &mut touched, fact, event).await?;
    }
    let (mut rows, mut gone) = (Rows::default(), Rows::default());
    for (tenant, id) in keys {
        let Some(Touched { member, subject }) = touched.remove(&(tenant, id)) else {
            gone.push([tenant.0.into(), id.0.into()]);
            continue;
        };
        rows.push([
            tenant.0.into(),
            id.0.into(),
            member.name.into(),
            subject.into(),
            json(&member.roles),
            json(&member.api_keys),
            json(&member.sessions),
            member.added_at.timestamp_micros().into(),
            member.revision.into(),
        ]);
    }
    gone.delete(connection, "members", ["tenant", "id"]).await?;
    let insert = "INSERT INTO members
        (tenant, id, name, subject, roles, api_keys, sessions, added_at, revision)";
    let update = "ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name,
        subject = excluded.subject, roles = excluded.roles, api_keys = excluded.api_keys,
        sessions = excluded.sessions, added_at = excluded.added_at, revision = excluded.revision";
    Ok(rows.insert(connection, insert, update).await?)
}

async fn load(
    connection: &mut Connection,
    keys: &BTreeSet<Key>,
) -> Result<BTreeMap<Key, Touched>, ApplyError> {
    let mut wanted = Rows::default();
    for (tenant, id) in keys {
        wanted.push([tenant.0.into(), id.0.into()]);
    }
    let mut touched = BTreeMap::new();
    for row in wanted.fetch(connection, SELECT, ["tenant", "id"]).await? {
        let member = read(&row)?;
        let key = (TenantId(row.uuid(7)?), member.id);
        touched.insert(key, Touched { member, subject: row.optional_uuid(8)? });
    }
    Ok(touched)
}

fn key(fact: &Fact) -> Result<Key, Unfit> {
    match fact.stream {
        Stream::Member(id) => Ok((fact.tenant, id)),
        _ => Err(fact.unfit("it is not in the stream of a member")),
    }
}

async fn evolve(
    keyring: &Keyring,
    touched: &mut BTreeMap<Key, Touched>,
    fact: &Fact,
    event: &Event,
) -> Result<(), ApplyError> {
    let key = key(fact)?;
    let unknown = || fact.unfit("the member was never added");
    match event {
        Event::Added { name, roles } => {
            let subject = name.as_ref().map(|it| it.subject.0);
            let member = Member {
                id: key.1,
                name: plain(keyring, fact, name.as_ref()).await?,
                roles: roles.clone(),
                api_keys: BTreeMap::new(),
                sessions: BTreeMap::new(),
                added_at: fact.at,
                revision: fact.revision,
            };
            touched.insert(key, Touched { member, subject });
        }
        Event::RolesChanged { roles } => {
            let Touched { member, .. } = touched.get_mut(&key).ok_or_else(unknown)?;
            (member.roles, member.revision) = (roles.clone(), fact.revision);
        }
        Event::ApiKeyIssued { key: api_key, issued } => {
            let Touched { member, .. } = touched.get_mut(&key).ok_or_else(unknown)?;
            member.api_keys.insert(*api_key, issued.clone());
            member.revision = fact.revision;
        }
        Event::ApiKeyRevoked { key: api_key } => {
            let Touched { member, .. } = touched.get_mut(&key).ok_or_else(unknown)?;
            member.api_keys.remove(api_key);
            member.revision = fact.revision;
        }
        Event::SignedIn { session, opened } => {
            let Touched { member, .. } = touched.get_mut(&key).ok_or_else(unknown)?;
            member.sessions.insert(*session, opened.clone());
            member.revision = fact.revision;
        }
        Event::SignedOut { session } => {
            let Touched { member, .. } = touched.get_mut(&key).ok_or_else(unknown)?;
            member.sessions.remove(session);
            member.revision = fact.revision;
        }
        // Nobody reads here by what somebody was invited, or what they prove who they are by.
        Event::Invited { .. } | Event::CredentialChanged { .. } => {
            touched.get_mut(&key).ok_or_else(unknown)?.member.revision = fact.revision;
        }
        Event::Removed {} => drop(touched.remove(&key).ok_or_else(unknown)?),
    }
    Ok(())
}

/// A member's name; none where its subject was erased.
async fn plain(
    keyring: &Keyring,
    fact: &Fact,
    name: Option<&Personal>,
) -> Result<Option<String>, ApplyError> {
    let Some(name) = name else { return Ok(None) };
    Ok(sealed::open(keyring, fact, &[name]).await?.pop().flatten())
}
