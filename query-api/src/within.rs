//! What somebody who may change some entities only asks for, looked at in the catalog beforehand.

use commands::{Away, CommandError, Sight, Within};
use domain::catalog::reference::DEFAULT_NAMESPACE;
use domain::catalog::{Descriptor, EntityRef};
use domain::operation::{EntityChange, Operation};
use domain::{Permission, Principal, Scope};
use event_log::Position;
use projections::catalog::entities;
use projections::{Model, ReadError, ReadModels};

use crate::context::Context;

/// What is seen of the entities that `operation` names; none if `principal` may change all of them.
///
/// # Errors
///
/// [`CommandError::Unavailable`] if the catalog cannot be read, or does not show in time what is
/// recorded by now.
pub(crate) async fn look(
    context: &Context,
    principal: &Principal,
    operation: &Operation,
) -> Result<Option<Within>, CommandError> {
    let Operation::ApplyEntities { changes } = operation else { return Ok(None) };
    let permission = Permission::EntityWrite;
    let Scope::Where(condition) = principal.authorize(permission)? else { return Ok(None) };
    let models = context.projections().models();
    catch_up(context, principal, &models).await?;
    let references: Vec<_> = changes.iter().filter_map(reference).collect();
    let seen = entities::sights(&models, principal, permission, &references).await;
    let seen = seen.map_err(|error| unavailable(&error))?.into_iter();
    let seen = seen.map(|(reference, (revision, holds))| (reference, Sight { revision, holds }));
    Ok(Some(Within { condition, seen: seen.collect() }))
}

/// Waits until the catalog shows all that is recorded: somebody may change at once what they have
/// just made.
async fn catch_up(
    context: &Context,
    principal: &Principal,
    models: &ReadModels,
) -> Result<(), CommandError> {
    let Some(partition) = context.commands().partition_of(principal.tenant()) else {
        return Ok(());
    };
    let end = context.log().end(partition).await;
    let end = end.map_err(|_| CommandError::Unavailable(Away::Log))?;
    let Some(last) = end.0.checked_sub(1).map(Position) else { return Ok(()) };
    let patience = context.visibility_wait();
    let waited = models.wait_for(&[Model::Catalog], partition, last, patience).await;
    waited.map_err(|_| CommandError::Unavailable(Away::State))
}

/// What an entity is called; none if that cannot be told, which the write side says too.
fn reference(change: &EntityChange) -> Option<String> {
    match change {
        EntityChange::Put { descriptor, .. } => {
            Some(Descriptor::recorded(descriptor.clone())?.reference().canonical())
        }
        EntityChange::Remove { reference, .. } => {
            Some(EntityRef::parse(reference, None, DEFAULT_NAMESPACE).ok()?.canonical())
        }
    }
}

fn unavailable(error: &ReadError) -> CommandError {
    tracing::warn!(error = error as &dyn std::error::Error, "a condition cannot be looked at");
    CommandError::Unavailable(Away::State)
}
