//! How long a partition is not served when its owner is stopped, or dies: two real processes on one
//! log, and clients of both that never stop writing.
//!
//! A client asks for something until it is acknowledged. The longest that this took any of them counts of
//! each round; so it holds what an answer takes anyway, which is measured too. Few clients write without a
//! pause. More of them would show how long they wait for each other and not for an owner: they write at a
//! rate that leaves the machine some rest. Both processes keep their read models in their folders: who owns
//! what does not depend on them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use domain::id::TenantId;
use event_log::EventLog;
use tokio::task::JoinSet;
use url::Url;

use super::child::Server;
use super::over_http::door::{self, Door};
use super::over_http::{free_address, ready, tenant};
use super::{Extent, Row, Verdict};
use crate::command::client;
use crate::command::cluster::certificates::make_for_this_machine;
use crate::config::{Config, LogKind, StorageKind};
use crate::folder::Folder;
use crate::stores::OpenVault;

/// How many tenants write at most; as long as there are fewer, twice as many as there are
/// partitions, so that each has one.
const TENANTS_MAX: usize = 64;

/// How many clients write without a pause.
const UNPACED_MAX: usize = 16;

/// How many requests a second more clients than that make in all.
const RATE_MAX: u32 = 250;

/// How long a client rests after an answer that is no acknowledgement. In milliseconds: 2.
const REST: Duration = Duration::from_millis(2);

/// How long the processes may take to share the partitions again. In seconds: 60.
const SHARED_MAX: Duration = Duration::from_secs(60);

/// How long it is watched where nothing ends. In seconds: 2.
const QUIET: Duration = Duration::from_secs(2);

/// The most that a graceful stop may cost. In seconds: 1.
const HANDOVER_MAX: Duration = Duration::from_secs(1);

/// The most that a death may cost beyond a session. In seconds: 5.
const FAILOVER_MAX: Duration = Duration::from_secs(5);

/// Measures all rows on `log`, whose topics begin with `prefix`.
///
/// # Errors
///
/// If a process does not start, or partitions stay unserved.
pub(super) async fn rows(
    config: &Config,
    log: Arc<dyn EventLog>,
    prefix: String,
    folder: &Path,
    extent: &Extent,
) -> Result<Vec<Row>> {
    let pair = Pair::new(config, log, prefix, folder)?;
    let first = pair.start(0).await?;
    let alone = alone(&first, extent.partitions).await?;
    let mut servers = [first, pair.start(1).await?].map(Some);
    pair.is_shared().await?;
    let tenants = pair.tenants().await?;
    let quiet = pair.round(&tenants, async || {
        tokio::time::sleep(QUIET).await;
        Ok(())
    });
    let quiet = quiet.await?;
    let mut gaps = [Vec::new(), Vec::new()];
    for number in 0..extent.stops + extent.kills {
        let (which, is_kill) = (number % 2, number >= extent.stops);
        let server = servers[which].take().context("it runs")?;
        let gap = pair.round(&tenants, async || match is_kill {
            false => server.stop().await,
            true => server.kill(),
        });
        gaps[usize::from(is_kill)].push(gap.await?);
        servers[which] = Some(pair.start(which).await?);
        pair.is_shared().await?;
    }
    let session = Duration::from_millis(config.log.kafka.session_timeout_ms);
    let [stops, kills] = gaps;
    let baseline = format!("nothing ends: {} ms", quiet.as_millis());
    let row = |what, mut gaps: Vec<Duration>, target, most: Duration| {
        gaps.sort_unstable();
        let p99 = quantile(&gaps, 99);
        Row {
            what,
            measured: format!(
                "{} times: p50 {} ms, p99 {} ms",
                gaps.len(),
                quantile(&gaps, 50).as_millis(),
                p99.as_millis()
            ),
            baseline: baseline.clone(),
            target,
            verdict: Verdict::of(p99 <= most),
        }
    };
    Ok(vec![
        alone,
        row("a partition unserved, its owner stops", stops, "p99 <= 1 s", HANDOVER_MAX),
        row(
            "a partition unserved, its owner is killed",
            kills,
            "p99 <= session + 5 s",
            session + FAILOVER_MAX,
        ),
    ])
}

/// What it costs a process to own every partition of an empty log.
async fn alone(server: &Server, partitions: u32) -> Result<Row> {
    let (memory, cpu) = (server.memory_at_rest_mib().await?, server.cpu()?);
    tokio::time::sleep(QUIET).await;
    let busy = u64::try_from((server.cpu()? - cpu).as_micros())?;
    let permille = busy * 1_000 / u64::try_from(QUIET.as_micros())?;
    Ok(Row {
        what: "a process that owns all partitions: start, and at rest",
        measured: format!(
            "{partitions} partitions: {} ms, then {memory} MiB, {} threads, {}.{} % of a processor",
            server.started_in.as_millis(),
            server.threads()?,
            permille / 10,
            permille % 10
        ),
        baseline: "-".to_owned(),
        target: "-",
        verdict: Verdict::None,
    })
}

/// What so many of a hundred do not exceed; of few that is the longest.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or_default()
}

/// How long each of so many clients rests after what was acknowledged.
fn pace(clients: usize) -> Duration {
    if clients <= UNPACED_MAX {
        return Duration::ZERO;
    }
    let clients = u32::try_from(clients).expect("they are few");
    Duration::from_secs(1) * clients / RATE_MAX
}

/// Two processes that share a log.
struct Pair {
    log: Arc<dyn EventLog>,
    /// The settings of each.
    settings: [Config; 2],
}

impl Pair {
    fn new(config: &Config, log: Arc<dyn EventLog>, prefix: String, folder: &Path) -> Result<Self> {
        let certificates = folder.join("certificates");
        std::fs::create_dir_all(&certificates)?;
        let [authorities, certificate, key] = make_for_this_machine(&certificates)?;
        let mut settings = config.clone();
        settings.log.kind = LogKind::Kafka;
        settings.log.kafka.prefix = prefix;
        settings.storage.vault = StorageKind::Postgresql;
        settings.storage.read_models = StorageKind::Sqlite;
        settings.storage.root_key_file = folder.join("root.key");
        settings.cluster.address = String::new();
        settings.cluster.authorities_file = authorities;
        settings.cluster.certificate_file = certificate;
        settings.cluster.key_file = key;
        let mut settings = [settings.clone(), settings];
        for (number, it) in settings.iter_mut().enumerate() {
            it.storage.folder = folder.join(number.to_string());
            it.http.listen = free_address()?.parse()?;
            it.cluster.listen = free_address()?;
        }
        Ok(Self { log, settings })
    }

    async fn start(&self, which: usize) -> Result<Server> {
        let settings = &self.settings[which];
        let mut command = std::process::Command::new(std::env::current_exe()?);
        let folder = &settings.storage.folder;
        let mut file = folder.clone();
        file.set_extension("toml");
        settings.hand_on(&mut command, &file)?;
        command.arg("up");
        let listen = settings.http.listen.to_string();
        Server::run(command, &ready(&door::client(), &listen)?).await
    }

    /// Waits until each of both serves half of the partitions, so that no more are to move.
    async fn is_shared(&self) -> Result<()> {
        let mut owners = self.log.owners();
        let addresses = self.settings.each_ref().map(|it| it.cluster.listen.as_str());
        let shared = owners.wait_for(|owners| {
            let served =
                |address: &str| owners.iter().filter(|it| it.as_deref() == Some(address)).count();
            addresses.iter().all(|it| served(it) == owners.len() / 2)
        });
        let shared = tokio::time::timeout(SHARED_MAX, shared).await;
        shared.context("the processes do not share the partitions")??;
        Ok(())
    }

    /// New tenants, each with its doors at both processes.
    async fn tenants(&self) -> Result<Vec<Arc<Tenant>>> {
        let settings = &self.settings[0];
        let folder = Folder::existing(&settings.storage.folder)?
            .with_root_key(&settings.storage.root_key_file);
        let keyring = OpenVault::of(settings, &folder).await?.keyring(&folder).await?;
        // Longer than any run lasts.
        let lifetime = Duration::from_secs(24 * 60 * 60);
        let actor = client::actor(&keyring).await?;
        let doors = |tenant: TenantId| {
            let token = query_api::auth::mint(keyring.issuer(), tenant, actor, lifetime)?;
            let bearer: Arc<str> = format!("Bearer {token}").into();
            let mut doors = Vec::new();
            for it in &self.settings {
                let base = Url::parse(&format!("http://{}", it.http.listen))?;
                doors.push(Door { client: door::client(), base, bearer: bearer.clone() });
            }
            anyhow::Ok(doors)
        };
        let operator = doors(TenantId::SYSTEM)?;
        let mut tenants = Vec::new();
        for number in 0..TENANTS_MAX.min(2 * self.log.partitions() as usize) {
            let id = tenant(&operator[0], &format!("tenant-{number}")).await?;
            tenants.push(Arc::new(Tenant { doors: doors(id)?, ..Tenant::default() }));
        }
        Ok(tenants)
    }

    /// The longest that anything took of any tenant while `fault` ends something, and until everybody has been
    /// served again.
    async fn round(
        &self,
        tenants: &[Arc<Tenant>],
        fault: impl AsyncFnOnce() -> Result<()>,
    ) -> Result<Duration> {
        let enough = Arc::<AtomicBool>::default();
        let (mut clients, pace) = (JoinSet::new(), pace(tenants.len() * self.settings.len()));
        for tenant in tenants {
            for door in 0..tenant.doors.len() {
                clients.spawn(tenant.clone().write(door, pace, enough.clone()));
            }
        }
        self.all_served(tenants).await?;
        tenants.iter().for_each(|it| it.watch());
        fault().await?;
        self.all_served(tenants).await?;
        let longest = tenants.iter().map(|it| it.longest()).max().unwrap_or_default();
        enough.store(true, Ordering::Relaxed);
        while let Some(client) = clients.join_next().await {
            client?;
        }
        Ok(longest)
    }

    /// Waits until every tenant has had something acknowledged that it asked for from now on.
    async fn all_served(&self, tenants: &[Arc<Tenant>]) -> Result<()> {
        let now = Instant::now();
        let served = async {
            for tenant in tenants {
                while tenant.times().asked.is_none_or(|it| it < now) {
                    tokio::time::sleep(REST).await;
                }
            }
        };
        tokio::time::timeout(SHARED_MAX, served).await.context("a partition stays unserved")
    }
}

/// A tenant that writes at both processes.
#[derive(Default)]
struct Tenant {
    doors: Vec<Door>,
    next: AtomicU64,
    times: Mutex<Times>,
}

/// When a tenant was served.
#[derive(Debug, Default)]
struct Times {
    /// When what was acknowledged last was asked for.
    asked: Option<Instant>,
    longest: Duration,
}

impl Tenant {
    /// Writes, again and again until it is enough, first at one door and where that fails at the other;
    /// what is acknowledged is followed by the next thing after a pause.
    async fn write(self: Arc<Self>, door: usize, pace: Duration, enough: Arc<AtomicBool>) {
        let (mut door, mut first) = (door, None);
        while !enough.load(Ordering::Relaxed) {
            let (now, number) = (Instant::now(), self.next.fetch_add(1, Ordering::Relaxed));
            let first_asked = *first.get_or_insert(now);
            match self.doors[door].apply(number, 1).await {
                Ok(_) => {
                    self.acknowledged(first_asked, now);
                    first = None;
                    tokio::time::sleep(pace).await;
                }
                // Its process may be gone, or the partition without an owner.
                Err(_) => {
                    door = (door + 1) % self.doors.len();
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Notes what was asked for `first` then, and now with success.
    fn acknowledged(&self, first: Instant, asked: Instant) {
        let mut times = self.times();
        times.longest = times.longest.max(first.elapsed());
        times.asked = times.asked.max(Some(asked));
    }

    /// Forgets what took how long so far.
    fn watch(&self) {
        self.times().longest = Duration::ZERO;
    }

    fn longest(&self) -> Duration {
        self.times().longest
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_few_gaps_the_longest_counts() {
        let gaps: Vec<_> = (1..=10).map(Duration::from_secs).collect();
        assert_eq!(quantile(&gaps, 50), Duration::from_secs(5));
        assert_eq!(quantile(&gaps, 99), Duration::from_secs(10));
        let many: Vec<_> = (1..=200).map(Duration::from_secs).collect();
        assert_eq!(quantile(&many, 99), Duration::from_secs(198));
        assert_eq!(quantile(&[], 99), Duration::ZERO);
    }
}
