//! One process with every role, on one data folder: wiring and an orderly end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use commands::{Commands, SystemClock, Values};
use domain::id::ActorId;
use event_log::{EventLog, Partition, Position};
use projections::Projections;
use query_api::Context;
use query_api::peers::{Identity, PeerListener, Sender};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vault::Keyring;

use crate::background::Background;
use crate::command::client;
use crate::config::{Config, Environment, Membership, StorageKind};
use crate::failure::Failure;
use crate::folder::Folder;
use crate::ownership;
use crate::peers::Peers;
use crate::stores::{OpenVault, open_log};
use crate::tidying;
use crate::waiting::Waiting;

/// How many events one transaction of a projection applies at most.
pub(crate) const PROJECTION_BATCH_MAX: usize = 5_000;

/// How long to wait until everything is shown. In seconds: 60.
const SHOWN_TIME_MAX: Duration = Duration::from_secs(60);

/// How long it may take until this process owns every partition. In seconds: 60.
const OWNED_TIME_MAX: Duration = Duration::from_secs(60);

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    log: Arc<dyn EventLog>,
    /// The write side.
    pub commands: Commands,
    /// The read side.
    pub projections: Arc<Projections>,
    /// What the doors share.
    pub context: Context,
    /// The keys.
    pub keyring: Keyring,
    /// Where they are kept.
    vault: OpenVault,
    /// Where the read models are filled.
    background: Background,
    /// Where other processes connect, if there are any; for whoever opens the doors.
    pub listener: Option<PeerListener>,
    /// What is seen to for ever.
    kept: Vec<JoinHandle<()>>,
}

impl Node {
    /// Opens the log, the vault and the read models in `folder`, and then begins to serve. Waits for
    /// those that are elsewhere and not there yet.
    ///
    /// # Errors
    ///
    /// If another process has the folder, or something in it cannot be opened.
    pub(crate) async fn start(config: &Config, folder: &Folder, waiting: &Waiting) -> Result<Self> {
        let membership =
            config.membership().map_err(|error| Failure::Usage(format!("{error:#}")))?;
        let open = async || open_log(config, folder, config.log.partitions).await;
        let log = waiting.until_there("the log", open).await?;
        let (sender, listener) = match &membership {
            Some(membership) => {
                let (sender, listener) = connect(membership, log.as_ref()).await?;
                (Some(sender), Some(listener))
            }
            None => (None, None),
        };
        let open = || open_vault(config, folder, log.as_ref());
        let (vault, keyring, life) = waiting.until_there("the vault", open).await?;
        let settings = commands::Settings {
            source: format!("callboard/{}", log.incarnation()),
            life,
            address: membership.map(|it| it.address),
            peers: sender.clone().map(|it| Arc::new(it) as Arc<dyn commands::Peers>),
            ..writing(config, folder)
        };
        let owned = watch::Sender::default();
        let background = Background::start().context("no threads for the read side")?;
        let written = match config.storage.read_models {
            StorageKind::Postgresql => Some(owned.subscribe()),
            StorageKind::Sqlite => None,
        };
        let reading = projections::Settings {
            written,
            filled_on: Some(background.handle().clone()),
            batch_max: PROJECTION_BATCH_MAX,
            readers_max: config.reads.connections_max.get(),
            read_time_max: Duration::from_millis(config.reads.time_max_ms.get()),
            read_bytes_max: config.reads.bytes_max,
            ..projections::Settings::on(config.storage.tables(folder.models())?)
        };
        let start = async || {
            let started = Projections::start(reading.clone(), log.clone(), keyring.clone()).await;
            started.context("the read side did not start")
        };
        let projections = waiting.until_there("the database of the read models", start).await?;
        let projections = Arc::new(projections);
        // The first start of an installation makes the key that it takes.
        let known = client::actor(&keyring).await.ok();
        // Last of all: other processes let go of partitions for this one to serve.
        let start = async || {
            let (clock, settings, owned) = (Arc::new(SystemClock), settings.clone(), owned.clone());
            let (log, keyring) = (log.clone(), keyring.clone());
            let started = Commands::start_telling(log, keyring, clock, settings, owned).await;
            started.context("the write side did not start")
        };
        let commands = waiting.until_there("the log", start).await?;
        let actor = match known {
            Some(actor) => actor,
            None => {
                waiting.until_there("the vault", async || client::actor(&keyring).await).await?
            }
        };
        let mut kept = keep(&commands, &keyring, actor);
        let wait = Duration::from_millis(config.http.visibility_wait_ms);
        let context =
            Context::new(commands.clone(), projections.clone(), log.clone(), keyring.clone(), wait);
        let context = match sender {
            Some(sender) => context.with_peers(sender),
            None => context,
        };
        kept.push(tokio::spawn(context.keep_key_uses()));
        Ok(Self { log, commands, projections, context, keyring, vault, background, listener, kept })
    }

    /// Waits, bounded, until somebody owns the installation as far as is known here.
    pub(crate) async fn has_owner(&self) {
        ownership::known(&self.commands, self.log.as_ref()).await;
    }

    /// Waits until this process owns every partition of the log.
    ///
    /// # Errors
    ///
    /// See [`owns_all`].
    pub(crate) async fn owns_all(&self) -> Result<()> {
        owns_all(&self.commands, self.log.partitions()).await
    }

    /// Waits until every read model shows what has been written so far, for a minute at most, and
    /// warns of those that do not by then.
    ///
    /// # Errors
    ///
    /// If the log cannot say where it ends.
    pub(crate) async fn shows_all(&self) -> Result<()> {
        let deadline = Instant::now() + SHOWN_TIME_MAX;
        for partition in (0..self.log.partitions()).map(Partition) {
            let Some(last) = self.log.end(partition).await?.0.checked_sub(1) else { continue };
            let (models, last) = (self.projections.models(), Position(last));
            let left = deadline.saturating_duration_since(Instant::now());
            models.wait_for_followers(partition, last, left).await;
            for model in models.behind(partition, last) {
                tracing::warn!(
                    projection.model = %model,
                    log.partition = partition.0,
                    "a read model does not show yet what was written"
                );
            }
        }
        Ok(())
    }

    /// Stops taking commands, lets the last ones end, and stops following the log.
    pub(crate) async fn stop(self) {
        self.kept.iter().for_each(JoinHandle::abort);
        self.commands.stop().await;
        drop(self.context);
        if let Ok(projections) = Arc::try_unwrap(self.projections) {
            projections.stop().await;
        }
        drop(self.background);
        self.vault.close().await;
    }
}

/// Sees to it for ever that the installation has an owner, and that nothing that has ended stays in
/// the vault.
fn keep(commands: &Commands, keyring: &Keyring, actor: ActorId) -> Vec<JoinHandle<()>> {
    let claiming = ownership::keep(commands.clone(), actor);
    let tidying = tidying::keep(commands.clone(), keyring.clone());
    vec![tokio::spawn(claiming), tokio::spawn(tidying)]
}

/// The vault, the keys in it, and which life of the installation it is.
async fn open_vault(
    config: &Config,
    folder: &Folder,
    log: &dyn EventLog,
) -> Result<(OpenVault, Keyring, String)> {
    let vault = OpenVault::of(config, folder).await?;
    vault.belongs_to(log).await?;
    let life = vault.life().await?;
    let keyring = vault.keyring(folder).await?;
    Ok((vault, keyring, life))
}

/// Begins to listen for other processes, before any of them can be told to ask this one.
async fn connect(membership: &Membership, log: &dyn EventLog) -> Result<(Sender, PeerListener)> {
    let identity = &membership.identity;
    let peers = Peers::new(identity).context("other processes cannot be asked")?;
    let shown = Identity {
        authorities: &identity.authorities,
        certificate: &identity.certificate,
        key: &identity.key,
    };
    let listener = PeerListener::bind(membership.listen, shown)
        .await
        .context("other processes cannot be listened for (`cluster.listen`)")?;
    Ok((Sender::new(log.owners(), Arc::new(peers)), listener))
}

/// Waits until this process owns every partition of its log, for a minute at most. On a log that
/// others could share it is given them some moments after its start.
///
/// # Errors
///
/// If it does not, with how many it owns.
pub(crate) async fn owns_all(commands: &Commands, partitions: u32) -> Result<()> {
    let mut owned = commands.owned();
    let all = async { owned.wait_for(|it| it.len() >= partitions as usize).await.map(drop) };
    match tokio::time::timeout(OWNED_TIME_MAX, all).await {
        Ok(owned) => owned.context("the write side has stopped"),
        Err(_elapsed) => {
            let count = commands.owned().borrow().len();
            bail!(
                "this process owns {count} of the {partitions} partitions of the log after {} s, \
                 so another one has the others: stop it, or take a log of your own \
                 (`log.kafka.prefix`)",
                OWNED_TIME_MAX.as_secs()
            )
        }
    }
}

/// How the write side is configured, but for what only a process that runs knows of itself.
fn writing(config: &Config, folder: &Folder) -> commands::Settings {
    commands::Settings {
        waiting_requests_max: config.commands.waiting_per_tenant_max,
        remembered_in_common_max: config.commands.remembered_in_common_max,
        large_bytes_max: config.commands.large_bytes_max,
        snapshot_every: config.commands.snapshot_every_events,
        values: match config.environment {
            Environment::Development => Values::Plain,
            Environment::Production => Values::Sealed,
        },
        #[cfg(feature = "sabotage")]
        sabotage: crate::config::sabotage::given(),
        ..commands::Settings::new(folder.identities())
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;

    use rustix::process::{Pid, getpriority_process};

    use super::*;
    use crate::folder::Purpose;

    /// How many threads of a database there are in this process that give way to this thread.
    fn patient_database_threads() -> usize {
        let priority = |id| getpriority_process(id).unwrap_or(0);
        let own = priority(None);
        let threads = fs::read_dir("/proc/self/task").expect("a process has threads");
        let is_patient = |id: &str| {
            let name = fs::read_to_string(format!("/proc/self/task/{id}/comm"));
            let id = id.parse().ok().and_then(Pid::from_raw);
            name.is_ok_and(|it| it.starts_with("sqlx-sqlite")) && priority(id) > own
        };
        let ids = threads.flatten().map(|it| it.file_name().to_string_lossy().into_owned());
        ids.filter(|it| is_patient(it)).count()
    }

    #[tokio::test]
    async fn read_models_are_filled_on_threads_that_give_way() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let config = Config::defaults();
        let folder = Folder::open(home.path(), Purpose::Serve).expect("it is empty");
        let node = Node::start(&config, &folder, &Waiting::new(&config)).await.expect("it starts");
        let models = projections::Model::ALL.len();
        assert!(patient_database_threads() >= models, "{}", patient_database_threads());
        node.stop().await;
    }
}
