//! Bringing a demo into a node, through its write side. Doing it again changes nothing, and what
//! was changed since stays as it is.

use std::time::Duration;

use anyhow::{Context, Result};
use commands::{CommandError, IdempotencyKey, Request};
use domain::Principal;
use domain::id::TenantId;
use domain::operation::Operation;

use super::{Demo, Tenant};
use crate::command::client;
use crate::node::Node;

/// How long a tenant may take to come into being. In seconds: 10.
const CREATED_MAX: Duration = Duration::from_secs(10);

/// Seeds `node` with `demo`; a tenant that is there already is left as it is, and so are the plans
/// once a tenant is.
///
/// # Errors
///
/// If the write side cannot answer.
pub(crate) async fn seed(node: &Node, demo: &Demo) -> Result<()> {
    let operator = Principal::system(TenantId::SYSTEM);
    let directory = node.commands.directory();
    // The plans come first: where a tenant is registered, all were published, and what an
    // operator made of them since is not published over.
    if !demo.tenants.iter().any(|it| directory.entry(it.id).is_some()) {
        for operation in &demo.catalogue {
            ask(node, &operator, operation.clone(), None).await?;
        }
    }
    for tenant in &demo.tenants {
        if directory.entry(tenant.id).is_some() && is_complete(node, tenant).await? {
            continue;
        }
        let slug = tenant.slug.parse().context("the demo's slugs are well formed")?;
        let name = tenant.name.parse().context("the demo's names are well formed")?;
        let owner = Some(client::actor(&node.keyring).await?);
        let register = Operation::RegisterTenant { tenant: tenant.id, slug, name, owner };
        ask(node, &operator, register, None).await?;
        match node.commands.created(tenant.id, CREATED_MAX).await {
            Ok(()) => fill(node, tenant).await?,
            // Its slug went to somebody else before it was registered.
            Err(CommandError::Rejected { .. }) => {}
            Err(error) => {
                return Err(error).context("a tenant of the demo does not come into being");
            }
        }
    }
    Ok(())
}

/// Submits everything the tenant does. Keys make an interrupted seeding continue where it was.
async fn fill(node: &Node, tenant: &Tenant) -> Result<()> {
    let callboard = Principal::system(tenant.id);
    let (member, issue) = &tenant.key;
    for (index, operation) in tenant.operations.iter().enumerate() {
        if index + 1 == tenant.operations.len() {
            // Nobody issues a key for somebody else.
            let member = node.commands.principal(tenant.id, *member).await?;
            ask(node, &member, issue.clone(), None).await?;
        }
        let key = format!("demo-{index}").parse().context("the key is well formed")?;
        ask(node, &callboard, operation.clone(), Some(key)).await?;
    }
    Ok(())
}

/// Whether the last thing the tenant does has been done: asked as a preview, it changes nothing,
/// or is refused because more was done to it since.
async fn is_complete(node: &Node, tenant: &Tenant) -> Result<bool> {
    let member = Principal::system(tenant.id);
    let Some(last) = tenant.operations.last() else { return Ok(true) };
    let mode = commands::Mode::Preview;
    let asked = Request { mode, ..Request::new(last.clone()) };
    match node.commands.submit(&member, asked).await {
        Ok(outcome) => Ok(outcome.events.is_empty()),
        // Reserved, and the process ended before the tenant came into being.
        Err(CommandError::Rejected { code, .. }) if code == "TENANT_NOT_FOUND" => Ok(false),
        Err(CommandError::Rejected { .. }) => Ok(true),
        Err(error) => Err(error).context("the demo could not be looked at"),
    }
}

/// Asks for one part of the demo. What the rules forbid was changed since by somebody who may, so
/// it is said and left out.
async fn ask(
    node: &Node,
    principal: &Principal,
    operation: Operation,
    key: Option<IdempotencyKey>,
) -> Result<()> {
    let name = operation.name();
    let request = Request { idempotency_key: key, ..Request::new(operation) };
    match node.commands.submit(principal, request).await {
        // Seeded on an earlier day, under the same key: what was done then stands.
        Ok(_) | Err(CommandError::KeyReused(_)) => Ok(()),
        Err(CommandError::Rejected { code, reason }) => {
            tracing::warn!(
                operation.name = name,
                rejection.code = %code,
                rejection.reason = reason,
                "a part of the demo is left out"
            );
            Ok(())
        }
        Err(error) => Err(error).context("the demo could not be seeded"),
    }
}
