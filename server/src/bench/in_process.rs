//! A write side in this process, on a log of its own: what rows stand on that go through no door.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use commands::{Commands, Request, SystemClock};
use domain::Principal;
use domain::id::{ActorId, TenantId};
use domain::operation::Operation;
use event_log::EventLog;
use event_log::embedded::{EmbeddedLog, Settings};
use uuid::Uuid;
use vault::Keyring;

use crate::folder::{Folder, Purpose};
use crate::node::owns_all;
use crate::stores::OpenVault;

/// How long a tenant may take to come into being. In seconds: 10.
const CREATED_MAX: Duration = Duration::from_secs(10);

/// A running write side and what it stands on.
pub(crate) struct InProcess {
    pub folder: Folder,
    pub log: Arc<dyn EventLog>,
    pub keyring: Keyring,
    pub commands: Commands,
}

impl InProcess {
    /// Starts one in `folder`, with nothing in it.
    ///
    /// # Errors
    ///
    /// If a part does not start.
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let folder = Folder::open(folder, Purpose::Serve)?;
        let log = EmbeddedLog::open(folder.log(), Settings::default())?;
        Self::with(folder, Arc::new(log)).await
    }

    /// Starts one on `log`, with the rest in `folder`.
    ///
    /// # Errors
    ///
    /// If a part does not start.
    pub(crate) async fn with(folder: Folder, log: Arc<dyn EventLog>) -> Result<Self> {
        let keyring = OpenVault::in_folder(&folder).await?.keyring(&folder).await?;
        let settings = commands::Settings::new(folder.identities());
        let clock = Arc::new(SystemClock);
        let commands = Commands::start(log.clone(), keyring.clone(), clock, settings).await?;
        owns_all(&commands, log.partitions()).await?;
        Ok(Self { folder, log, keyring, commands })
    }
}

/// Registers a tenant, waits until it can be written to, and returns one of its members.
///
/// # Errors
///
/// If the write side refuses.
pub(crate) async fn tenant(commands: &Commands, slug: &str) -> Result<Principal> {
    let tenant = TenantId(Uuid::now_v7());
    let operator = Principal::system(TenantId::SYSTEM);
    let actor = ActorId(Uuid::from_u128(1));
    let (slug, name, owner) = (slug.parse()?, slug.parse()?, Some(actor));
    let register = Operation::RegisterTenant { tenant, slug, name, owner };
    commands.submit(&operator, Request::new(register)).await?;
    commands.created(tenant, CREATED_MAX).await?;
    Ok(commands.principal(tenant, actor).await?)
}
