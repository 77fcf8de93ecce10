//! Kafka clusters: brokers that are controllers too (KRaft), on loopback ports.
//!
//! Start at [`Plan`], which says what a cluster is like and starts it; [`Broker`] is what can be
//! killed, paused and started again. The data of a cluster is temporary and goes with it.

mod distribution;
mod grants;
mod protocol;
mod secured;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{self, Process, last_lines, until};
use super::{Purpose, folder, ports};
use settings::{Addresses, Detour, properties};

pub use distribution::Distribution;
pub use grants::{Grant, Operation, Resource};
pub use secured::Secured;

/// What a cluster is to be like.
#[derive(Clone, Debug)]
pub struct Plan {
    brokers: usize,
    purpose: Purpose,
    settings: Vec<(String, String)>,
    secured: Option<Secured>,
    java: Vec<String>,
    detours: Vec<SocketAddr>,
}

impl Plan {
    /// A cluster of so many brokers for tests. At least 1.
    #[must_use]
    pub fn new(brokers: usize) -> Self {
        let (settings, java, detours) = (Vec::new(), Vec::new(), Vec::new());
        Self { brokers, purpose: Purpose::Tests, settings, secured: None, java, detours }
    }

    /// The same for another purpose.
    #[must_use]
    pub fn with_purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// The same with a setting of Kafka's, which every broker gets.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with a second address of each broker ([`Broker::detour`]) for clients that reach
    /// it through one of `proxies` only, in the order of the brokers.
    #[must_use]
    pub fn with_detours(mut self, proxies: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.detours.extend(proxies);
        self
    }

    /// The same with a second way in, over TLS and with a password. Not together with detours.
    #[must_use]
    pub fn with_secured(self, secured: Secured) -> Self {
        Self { secured: Some(secured), ..self }
    }

    /// The same with an option for Java.
    fn with_java(mut self, option: String) -> Self {
        self.java.push(option);
        self
    }

    /// The same with brokers that ask what everybody may do who proves to be somebody
    /// ([`Cluster::grant`]): at first that is nothing. Who need not prove it may do everything.
    #[must_use]
    pub fn with_grants(self) -> Self {
        self.with(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        )
        .with("super.users", "User:ANONYMOUS")
    }

    /// Starts the cluster and waits until every broker serves and knows all others.
    ///
    /// # Errors
    ///
    /// If a broker cannot be started, with the end of what it said.
    pub fn start(&self, distribution: &Distribution) -> Result<Cluster> {
        let folder = folder::temporary(self.purpose)?;
        let mut all = Vec::new();
        for index in 0..self.brokers {
            let (client, controller) = (ports::free_address()?, ports::free_address()?);
            let detour = match self.detours.get(index) {
                Some(advertised) => {
                    Some(Detour { broker: ports::free_address()?, advertised: *advertised })
                }
                None => None,
            };
            all.push(Addresses { client, controller, detour });
        }
        let mut brokers = Vec::new();
        for id in 1..=self.brokers {
            let home = folder.path().join(format!("broker-{id}"));
            let mut settings = self.settings.clone();
            let mut address = None;
            if let Some(secured) = &self.secured {
                let opened = ports::free_address()?;
                let file = folder.path().join(format!("broker-{id}.pem"));
                secured.write(&file)?;
                settings.extend(secured.settings(all[id - 1], opened, &file));
                address = Some(opened);
            }
            let text = properties(id, &all, &home.join("data"), &settings);
            let mut broker = Broker::new(id, all[id - 1], home, &text, self, distribution)?;
            broker.secured = address;
            brokers.push(broker);
        }
        format(&brokers, self.secured.as_ref())?;
        let cluster = Cluster { brokers, folder };
        cluster.restart()?;
        Ok(cluster)
    }
}

/// Prepares the folders of all brokers at the same time.
fn format(brokers: &[Broker], secured: Option<&Secured>) -> Result<()> {
    // The last digit is one of the four that an identity of 16 bytes can end with.
    let cluster = folder::secret(21)? + "A";
    let mut formatting = Vec::new();
    for broker in brokers {
        let mut command = broker.distribution.formatter(&broker.properties(), &cluster);
        command.args(secured.map(Secured::credentials).into_iter().flatten());
        formatting.push((broker, Process::start(command, &broker.log())?));
    }
    for (broker, mut process) in formatting {
        let ended = until("Kafka prepares a folder", || process.ended())?;
        if !ended.success() {
            bail!("Kafka cannot prepare a folder:\n{}", last_lines(&broker.log()));
        }
    }
    Ok(())
}

/// A running cluster. Dropping it kills its brokers and removes their data.
#[derive(Debug)]
pub struct Cluster {
    // Before the folder, so that nobody writes into it any more when it goes.
    brokers: Vec<Broker>,
    folder: TempDir,
}

impl Cluster {
    /// The addresses of all brokers, separated by commas, as clients want them.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses = self.brokers.iter().map(|it| it.address.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The addresses of the second way in, for a plan that has one.
    #[must_use]
    pub fn secured(&self) -> String {
        let addresses = self.brokers.iter().filter_map(|it| it.secured).map(|it| it.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// One of the brokers, counted from 0. Kafka counts them from 1.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    #[must_use]
    pub fn broker(&self, index: usize) -> &Broker {
        &self.brokers[index]
    }

    /// All brokers.
    #[must_use]
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// Lets `user` do something, on a cluster whose brokers ask who may.
    ///
    /// # Errors
    ///
    /// If the brokers refuse.
    pub fn grant(&self, user: &str, grant: Grant<'_>) -> Result<()> {
        match grants::grant(self.broker(0).address, user, grant)? {
            0 => Ok(()),
            code => bail!("Kafka does not let `{user}` do it: error {code}"),
        }
    }

    /// Lets `user` do it no more.
    ///
    /// # Errors
    ///
    /// If the brokers refuse.
    pub fn withdraw(&self, user: &str, grant: Grant<'_>) -> Result<()> {
        match grants::withdraw(self.broker(0).address, user, grant)? {
            0 => Ok(()),
            code => bail!("Kafka still lets `{user}` do it: error {code}"),
        }
    }

    /// Removes a topic, with everything that is in it.
    ///
    /// # Errors
    ///
    /// If the brokers refuse.
    pub fn remove(&self, topic: &str) -> Result<()> {
        match protocol::remove(self.broker(0).address, topic)? {
            0 => Ok(()),
            code => bail!("Kafka does not remove `{topic}`: error {code}"),
        }
    }

    /// The broker that leads the first partition of `topic`.
    ///
    /// # Errors
    ///
    /// If none does, or the first broker does not answer.
    pub fn leader(&self, topic: &str) -> Result<&Broker> {
        let id = protocol::leader(self.broker(0).address, topic)?;
        let index = usize::try_from(id).ok().and_then(|it| it.checked_sub(1));
        let broker = index.and_then(|it| self.brokers.get(it));
        broker.with_context(|| format!("nobody leads `{topic}`: Kafka says {id}"))
    }

    /// Starts all brokers that are down, and waits until every broker serves and knows all others.
    ///
    /// # Errors
    ///
    /// If a broker cannot be started, with the end of what it said.
    pub fn restart(&self) -> Result<()> {
        for broker in &self.brokers {
            broker.begin()?;
        }
        self.brokers.iter().try_for_each(|it| it.wait_for(self.brokers.len()))
    }

    /// Kills all brokers and removes their data, as dropping does.
    pub fn stop(self) {
        drop(self);
    }

    /// Lets the cluster outlive us. Answers its processes and the folder of their data.
    pub(super) fn keep(self) -> (Vec<u32>, PathBuf) {
        let Self { brokers, folder } = self;
        let mut processes = Vec::new();
        for broker in &brokers {
            let mut process = broker.process();
            process.iter_mut().for_each(Process::keep);
            processes.extend(process.iter().map(Process::id));
        }
        (processes, folder.keep())
    }
}

/// One broker, up or down.
#[derive(Debug)]
pub struct Broker {
    id: usize,
    address: SocketAddr,
    detour: Option<SocketAddr>,
    /// Where its second way in is.
    secured: Option<SocketAddr>,
    home: PathBuf,
    purpose: Purpose,
    java: Vec<String>,
    distribution: Distribution,
    process: Mutex<Option<Process>>,
}

impl Broker {
    fn new(
        id: usize,
        addresses: Addresses,
        home: PathBuf,
        properties: &str,
        plan: &Plan,
        distribution: &Distribution,
    ) -> Result<Self> {
        let broker = Self {
            id,
            address: addresses.client,
            detour: addresses.detour.map(|it| it.broker),
            secured: None,
            home,
            purpose: plan.purpose,
            java: plan.java.clone(),
            distribution: distribution.clone(),
            process: Mutex::new(None),
        };
        std::fs::create_dir(&broker.home)
            .and_then(|()| std::fs::write(broker.properties(), properties))
            .with_context(|| format!("cannot write to {}", broker.home.display()))?;
        Ok(broker)
    }

    /// Where it listens, also while it is down.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens to those who were sent to a proxy, if there is one.
    #[must_use]
    pub fn detour(&self) -> Option<SocketAddr> {
        self.detour
    }

    /// What it printed since it was first started.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.home.join("broker.log")
    }

    /// The number of its process. None while it is down.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    /// Ends it at once, without warning (`kill -9`). Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn kill(&self) -> Result<()> {
        self.process().take().map_or(Ok(()), Process::kill)
    }

    /// Ends it in good order: it hands over what it leads first. Does nothing if it is down.
    ///
    /// # Errors
    ///
    /// If it does not end; then it is killed.
    pub fn stop(&self) -> Result<()> {
        self.process().take().map_or(Ok(()), |it| it.stop(Signal::TERM))
    }

    /// Stops it where it is (`SIGSTOP`): its connections stay open and nothing is answered.
    ///
    /// # Errors
    ///
    /// If it is down.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// If it is down.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Starts it if it is down, and waits until it serves. That takes a majority of the brokers:
    /// where more are down, use [`Cluster::restart`].
    ///
    /// # Errors
    ///
    /// If it cannot be started, with the end of what it said.
    pub fn restart(&self) -> Result<()> {
        self.begin()?;
        self.wait_for(1)
    }

    /// Starts it if it is down, and does not wait.
    ///
    /// # Errors
    ///
    /// If its process cannot be started.
    pub fn begin(&self) -> Result<()> {
        let mut process = self.process();
        if process.is_none() {
            let command = self.distribution.broker(&self.properties(), self.purpose, &self.java);
            *process = Some(Process::start(command, &self.log())?);
        }
        Ok(())
    }

    /// Whether it answers, and knows itself to be a part of the cluster.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.knows().is_some()
    }

    /// How many brokers it knows, itself included. None if it does not serve.
    fn knows(&self) -> Option<usize> {
        let brokers = protocol::live_brokers(self.address).ok()?;
        let own = i32::try_from(self.id).ok()?;
        brokers.contains(&own).then_some(brokers.len())
    }

    /// Waits until it serves and knows so many brokers, itself included.
    fn wait_for(&self, brokers: usize) -> Result<()> {
        let ready = || {
            process::running(&mut self.process())?;
            Ok(self.knows().filter(|it| *it >= brokers).map(drop))
        };
        until("a broker serves", ready).with_context(|| {
            format!(
                "Kafka's broker {} does not serve; it said:\n{}",
                self.id,
                last_lines(&self.log())
            )
        })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.process().as_ref().ok_or_else(|| anyhow!("broker {} is down", self.id))?.signal(signal)
    }

    fn properties(&self) -> PathBuf {
        self.home.join("broker.properties")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        // A panic of whoever held it leaves a process that is up or down, as before.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
