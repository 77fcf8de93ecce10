//! What happens live: entities that changed, events that were recorded.
//!
//! A stream that cannot keep up, or whose source ends, closes with an error that says how to
//! go on; nothing is silently skipped.

use std::collections::VecDeque;

use async_graphql::{Context, Description, Enum, Error, ErrorExtensions, Json, SimpleObject};
use domain::{Permission, Scope};
use futures::Stream;
use futures::stream;
use projections::EntityFate;
use projections::catalog::entities::{self, Selection};
use projections::catalog::filter::Filter;
use projections::page::Window;
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::entity::{Entity, EntityFilter};
use super::page::Long;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::streams::{StreamEvent, TenantStream, Types};

/// What happens live.
#[derive(Clone, Copy, Debug, Description)]
pub struct Subscription;

#[async_graphql::Subscription(name = "SubscriptionRoot", use_type_description)]
impl Subscription {
    /// Entities as they change, each once this node shows the change. Those that match now are
    /// sent whole; of those that went, only the reference.
    async fn entity_changed(
        &self,
        context: &Context<'_>,
        #[graphql(default)] matching: EntityFilter,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<EntityChange>>> {
        let request = context.data::<RequestContext>()?;
        let permission = Permission::EntityRead;
        let scope = request.principal().authorize(permission).map_err(ApiError::from)?;
        request.check_active()?;
        let changes = request.shared().projections().changes();
        let filter = matching.filter()?;
        let waiting = VecDeque::new();
        let follower =
            Changes { request: request.clone(), scope, filter, changes, waiting, ended: false };
        Ok(stream::unfold(follower, |mut follower| async {
            let next = follower.next().await?;
            Some((next, follower))
        }))
    }

    /// Every event of the tenant after a sequence, then live; from now on if none is given. Of
    /// these types or beginnings of types only, if any are named, at most 100.
    async fn events(
        &self,
        context: &Context<'_>,
        after_sequence: Option<Long>,
        #[graphql(default)] types: Vec<String>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<LiveEvent>>> {
        let request = context.data::<RequestContext>()?;
        let types = Types::new(&types).map_err(ApiError::argument)?;
        let stream = TenantStream::open(request, after_sequence.map(|it| it.0)).await?;
        request.check_active()?;
        let follower = Events { stream, types, waiting: VecDeque::new(), ended: false };
        Ok(stream::unfold(follower, |mut follower| async {
            let next = follower.next().await?;
            Some((next, follower))
        }))
    }
}

/// An entity that changed.
#[derive(Clone, Debug, SimpleObject)]
pub struct EntityChange {
    /// Its reference, `kind:namespace/name` in lower case.
    pub reference: String,
    /// What became of it.
    pub change: EntityChangeKind,
    /// The tenant sequence of the event.
    pub sequence: Long,
    /// The entity as it is now; none once it is gone.
    pub entity: Option<Entity>,
}

/// What became of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "EntityFate")]
pub enum EntityChangeKind {
    /// It is in the catalog; it was not before.
    Registered,
    /// Something else is said about it.
    Updated,
    /// It is no longer in the catalog.
    Deregistered,
}

/// The changes one subscriber follows.
struct Changes {
    request: RequestContext,
    scope: Scope,
    filter: Filter,
    changes: Receiver<projections::Change>,
    waiting: VecDeque<projections::EntityChange>,
    ended: bool,
}

impl Changes {
    /// The next change that the subscriber may see and asked for; none after an error.
    async fn next(&mut self) -> Option<async_graphql::Result<EntityChange>> {
        while !self.ended {
            let Some(change) = self.waiting.pop_front() else {
                if let Err(error) = self.refill().await {
                    self.ended = true;
                    return Some(Err(error));
                }
                continue;
            };
            match self.look(change).await {
                Ok(None) => {}
                Ok(Some(change)) => return Some(Ok(change)),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            }
        }
        None
    }

    async fn refill(&mut self) -> async_graphql::Result<()> {
        match self.changes.recv().await {
            Ok(change) => {
                if change.tenant == self.request.principal().tenant() {
                    self.waiting.extend(change.entities);
                }
                Ok(())
            }
            Err(RecvError::Lagged(missed)) => {
                let message =
                    format!("{missed} changes were missed; read afresh and subscribe again");
                Err(resync(&message))
            }
            Err(RecvError::Closed) => Err(resync("the node is stopping; subscribe again")),
        }
    }

    /// The change as the subscriber may see it, read through the scoped reader.
    async fn look(
        &self,
        change: projections::EntityChange,
    ) -> Result<Option<EntityChange>, ApiError> {
        let seen = |entity| EntityChange {
            reference: change.reference.clone(),
            change: change.fate.into(),
            sequence: Long(change.sequence),
            entity,
        };
        if change.fate == EntityFate::Deregistered {
            // Nothing is left to judge by, so only who sees everything hears of it.
            return Ok((self.scope == Scope::All).then(|| seen(None)));
        }
        let principal = self.request.principal();
        self.request.renew();
        let models = self.request.models();
        let found = entities::find_many_by_id(&models, principal, &[change.id]).await?;
        let Some(entity) = found.into_iter().flatten().next() else { return Ok(None) };
        if self.filter != Filter::All(Vec::new()) {
            let selection = Selection::matching(Filter::All(vec![
                self.filter.clone(),
                equals("kind", &entity.kind),
                equals("metadata.namespace", &entity.namespace),
                equals("metadata.name", &entity.name),
            ]));
            let page = entities::list(&models, principal, &selection, &Window::first(1)).await?;
            if page.edges.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(seen(Some(entity.into()))))
    }
}

fn equals(key: &str, value: &str) -> Filter {
    Filter::In { key: key.to_owned(), values: vec![value.to_lowercase()] }
}

fn resync(message: &str) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", "RESYNC"))
}

/// A recorded event, live.
#[derive(Clone, Debug, SimpleObject)]
pub struct LiveEvent {
    /// Its place in the tenant's history; subscribe after it to go on from here.
    pub sequence: Long,
    /// What happened: `<noun>.<fact>.v<N>`.
    pub r#type: String,
    /// The stream it belongs to.
    pub stream: String,
    /// Its place in that stream.
    pub revision: Long,
    /// When it was recorded.
    pub at: String,
    /// Who did it.
    pub actor: String,
    /// The command that caused it.
    pub command_id: String,
    /// What it says; personal texts in it are sealed.
    pub body: Json<Value>,
}

impl From<StreamEvent> for LiveEvent {
    fn from(event: StreamEvent) -> Self {
        Self {
            sequence: Long(event.sequence),
            r#type: event.name().to_owned(),
            stream: event.stream,
            revision: Long(event.revision),
            at: event.time,
            actor: event.actor,
            command_id: event.command_id,
            body: Json(event.data),
        }
    }
}

/// The events one subscriber follows.
struct Events {
    stream: TenantStream,
    types: Types,
    waiting: VecDeque<StreamEvent>,
    ended: bool,
}

impl Events {
    async fn next(&mut self) -> Option<async_graphql::Result<LiveEvent>> {
        while !self.ended {
            if let Some(event) = self.waiting.pop_front() {
                return Some(Ok(event.into()));
            }
            match self.stream.next().await {
                Ok(events) => {
                    let types = &self.types;
                    self.waiting.extend(events.into_iter().filter(|it| types.include(it)));
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            }
        }
        None
    }
}
