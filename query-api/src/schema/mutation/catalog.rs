//! Entities and locations.

use async_graphql::{Context, Enum, ID, InputObject, Json, Object, OneofObject, SimpleObject};
use commands::Outcome;
use domain::Stream;
use domain::catalog::EntityRef;
use domain::catalog::reference::DEFAULT_NAMESPACE;
use domain::operation::{EntityChange, Operation};
use serde_json::Value;
use vault::TenantKeys;

use super::{
    CommandOptions, CommandOutcome, CommandPayload, ExpectedRevision, UserError, malformed, submit,
};
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::schema::location::LocationKind;
use crate::schema::node::NodeId;

/// Changing the catalog.
#[derive(Debug, Default)]
pub struct CatalogMutation;

/// Changes of entities, all or none.
#[derive(Clone, Debug, InputObject)]
pub struct ApplyEntitiesInput {
    /// At most 500, each of another entity.
    pub changes: Vec<EntityChangeInput>,
}

/// One change of an entity.
#[derive(Clone, Debug, OneofObject)]
pub enum EntityChangeInput {
    /// Register it, or update it if it is there.
    Put(PutEntityInput),
    /// Deregister it if it is there.
    Remove(RemoveEntityInput),
}

/// An entity to be there.
#[derive(Clone, Debug, InputObject)]
pub struct PutEntityInput {
    /// The descriptor, a Backstage entity.
    pub descriptor: Json<Value>,
    /// The location it follows, a global id.
    pub location: Option<ID>,
    /// What must be true of it for the change to be made.
    pub expected_revision: Option<ExpectedRevision>,
}

/// An entity to be gone.
#[derive(Clone, Debug, InputObject)]
pub struct RemoveEntityInput {
    /// Its reference, `kind:namespace/name`.
    pub reference: String,
    /// What must be true of it for the change to be made.
    pub expected_revision: Option<ExpectedRevision>,
}

/// The answer to `applyEntities`.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApplyEntitiesPayload {
    /// What became of each change, in the order of the request.
    pub changes: Vec<EntityEffect>,
    /// What became of the command; none if it was not accepted.
    pub outcome: Option<CommandOutcome>,
    /// What the caller has to mend; then nothing was changed.
    pub user_errors: Vec<UserError>,
}

/// What became of one entity.
#[derive(Clone, Debug, SimpleObject)]
pub struct EntityEffect {
    /// Its reference, in lower case.
    pub reference: String,
    /// What became of it.
    pub effect: EntityEffectKind,
}

/// What became of one entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum EntityEffectKind {
    /// It was not there and is now.
    Created,
    /// Something else is said about it.
    Updated,
    /// All was as asked already.
    Unchanged,
    /// It was there and is gone.
    Removed,
}

/// A location to be known.
#[derive(Clone, Debug, InputObject)]
pub struct RegisterLocationInput {
    /// How its target is read.
    pub kind: LocationKind,
    /// The address, or the path relative to what was imported.
    pub target: String,
}

/// The answer to `registerLocation`.
#[derive(Clone, Debug, SimpleObject)]
pub struct RegisterLocationPayload {
    /// The global id of the location; none if it was not accepted.
    pub location: Option<ID>,
    /// What became of the command; none if it was not accepted.
    pub outcome: Option<CommandOutcome>,
    /// What the caller has to mend; then nothing was changed.
    pub user_errors: Vec<UserError>,
}

#[Object]
impl CatalogMutation {
    /// Change entities, all or none.
    async fn apply_entities(
        &self,
        context: &Context<'_>,
        input: ApplyEntitiesInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<ApplyEntitiesPayload>> {
        let request = context.data::<RequestContext>()?;
        let mut changes = Vec::with_capacity(input.changes.len());
        let mut references = Vec::with_capacity(input.changes.len());
        for (index, change) in input.changes.into_iter().enumerate() {
            references.push(reference(&change));
            match entity_change(request, change) {
                Ok(change) => changes.push(change),
                Err(error) => {
                    let path = format!("changes[{index}].location");
                    let user_errors = malformed(&path, error.message()).user_errors;
                    return Ok(Some(ApplyEntitiesPayload {
                        changes: vec![],
                        outcome: None,
                        user_errors,
                    }));
                }
            }
        }
        let submitted = submit(context, Operation::ApplyEntities { changes }, options).await?;
        let keys = request.keyring().existing(request.principal().tenant()).await;
        let keys = keys.map_err(ApiError::from)?;
        let changes = match &submitted.accepted {
            Some(accepted) => references.iter().map(|it| effect(accepted, &keys, it)).collect(),
            None => Vec::new(),
        };
        let (outcome, user_errors) = (submitted.outcome, submitted.user_errors);
        Ok(Some(ApplyEntitiesPayload { changes, outcome, user_errors }))
    }

    /// Make a location known.
    async fn register_location(
        &self,
        context: &Context<'_>,
        input: RegisterLocationInput,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<RegisterLocationPayload>> {
        let request = context.data::<RequestContext>()?;
        let kind = domain::location::LocationKind::from(input.kind);
        let target = input.target.clone();
        let operation = Operation::RegisterLocation { kind, target: input.target };
        let submitted = submit(context, operation, options).await?;
        let keys = request.keyring().existing(request.principal().tenant()).await;
        let id = keys.map_err(ApiError::from)?.location_id(kind.name(), &target);
        let accepted = submitted.accepted.as_ref();
        Ok(Some(RegisterLocationPayload {
            location: accepted.map(|_| NodeId::Location(id).seal(request)),
            outcome: submitted.outcome,
            user_errors: submitted.user_errors,
        }))
    }

    /// Forget a location, by its global id; its entities go with it.
    async fn deregister_location(
        &self,
        context: &Context<'_>,
        location: ID,
        options: Option<CommandOptions>,
    ) -> async_graphql::Result<Option<CommandPayload>> {
        let request = context.data::<RequestContext>()?;
        match NodeId::open(request, &location) {
            Ok(NodeId::Location(location)) => {
                let operation = Operation::DeregisterLocation { location };
                Ok(Some(submit(context, operation, options).await?.into()))
            }
            _ => Ok(Some(malformed("location", "expected the global id of a location").into())),
        }
    }
}

fn entity_change(
    request: &RequestContext,
    change: EntityChangeInput,
) -> Result<EntityChange, ApiError> {
    let expected = |it: Option<ExpectedRevision>| it.map(Into::into).unwrap_or_default();
    match change {
        EntityChangeInput::Put(put) => {
            let location = match put.location.map(|it| NodeId::open(request, &it)).transpose()? {
                None => None,
                Some(NodeId::Location(location)) => Some(location),
                Some(_) => return Err(ApiError::argument("expected the global id of a location")),
            };
            let Json(descriptor) = put.descriptor;
            let expected = expected(put.expected_revision);
            Ok(EntityChange::Put { descriptor, location, expected })
        }
        EntityChangeInput::Remove(remove) => {
            let expected = expected(remove.expected_revision);
            Ok(EntityChange::Remove { reference: remove.reference, expected })
        }
    }
}

/// The reference a change is about, in lower case; whether it is one is judged elsewhere.
fn reference(change: &EntityChangeInput) -> String {
    match change {
        EntityChangeInput::Put(PutEntityInput { descriptor: Json(descriptor), .. }) => {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let metadata = &descriptor["metadata"];
            let namespace = metadata["namespace"].as_str().unwrap_or(DEFAULT_NAMESPACE);
            let kind = text(&descriptor["kind"]);
            let (namespace, name) = (namespace.to_owned(), text(&metadata["name"]));
            EntityRef { kind, namespace, name }.canonical()
        }
        EntityChangeInput::Remove(remove) => {
            let parsed = EntityRef::parse(&remove.reference, None, DEFAULT_NAMESPACE);
            parsed.map_or_else(|_| remove.reference.to_lowercase(), |it| it.canonical())
        }
    }
}

fn effect(accepted: &Outcome, keys: &TenantKeys, reference: &str) -> EntityEffect {
    let stream = Stream::Entity(keys.entity_id(reference));
    let event = accepted.events.iter().find(|it| it.stream == stream);
    let name = event.map(|it| it.name.as_ref());
    let effect = match name {
        Some("entity.registered.v1") => EntityEffectKind::Created,
        Some("entity.deregistered.v1") => EntityEffectKind::Removed,
        Some(_) => EntityEffectKind::Updated,
        None => EntityEffectKind::Unchanged,
    };
    EntityEffect { reference: reference.to_owned(), effect }
}
