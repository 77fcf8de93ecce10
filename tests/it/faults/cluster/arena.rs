//! Two processes, their clients, and everything that is known about both: what every fault test of
//! a cluster has in common.
//!
//! A [round](Arena::round) lets everybody write, breaks something, waits until all tenants are
//! served again, and judges what is in the log by then.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use event_log::kafka::{KafkaConfig, SESSION_TIMEOUT, Security};
use event_log::{Attribute, EventLog, KafkaLog, Partition};
use futures::future::join_all;
use outbound::{Client as Http, Limits, Reach};
use serde_json::{Value, json};

use super::client::{Client, Notes};
use super::figures::Figures;
use super::print;
use super::requests::METER;
use super::tenant::{TENANTS, Tenant};
use crate::faults::dump::{self, MODELS};
use crate::faults::following::{Follower, found};
use crate::faults::history::History;
use crate::faults::tables;
use crate::harness::{
    Api, Cluster, Ground, Installation, Profile, Random, Server, callboard_next, eventually,
};

/// How many clients ask at the same time.
const CLIENTS: usize = 24;

/// The tenants they work for, on as many partitions.
const SLUGS: [&str; TENANTS] = ["north-pier", "south-pier", "east-pier", "west-pier"];

/// How many more changes of each tenant are acknowledged before and after something is broken.
const GOES_ON: u64 = 12;

/// How often a process is started again at most.
const STARTS_MAX: usize = 5;

/// How long a tenant may stay unserved. In seconds: 180, for faults that last longer than a session
/// of 10 s and processes that start beside them.
const SERVED_MAX: Duration = Duration::from_secs(180);

/// The same where something is left out that keeps a cluster safe. In seconds: 40, longer than the
/// transaction of a paused owner stands open and a session lasts.
const SERVED_WITHOUT_MAX: Duration = Duration::from_secs(40);

/// How much longer than a session a tenant stays unserved at most where one process dies. In seconds: 5.
const UNSERVED_BEYOND: Duration = Duration::from_secs(5);

/// How long a client waits for an answer. In seconds: 60, longer than a process is paused.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A cluster, its clients and its history.
pub(crate) struct Arena {
    pub(crate) cluster: Cluster,
    /// The processes, where they run.
    pub(crate) servers: [Option<Server>; 2],
    pub(crate) random: Random,
    pub(crate) figures: Arc<Figures>,
    tenants: Vec<Arc<Tenant>>,
    clients: Vec<Client>,
    pub(crate) log: KafkaLog,
    follower: Follower,
    history: History,
    /// The longest time that a tenant's changes, and its reads, were not served, for each fault.
    gaps: Vec<[Duration; 2]>,
    /// How long a process may be silent before its partitions go to others.
    pub(crate) session: Duration,
    served_max: Duration,
    /// What was not served in time, in words, since that was last judged.
    unserved: Vec<String>,
    began: Instant,
}

/// How long a process may be silent in tests that have less time than a full run. In seconds: 3.
const SHORT_SESSION: Duration = Duration::from_secs(3);

/// What is shipped in full runs, and less in others.
fn session() -> Duration {
    match Profile::of_this_run() {
        Profile::Full => SESSION_TIMEOUT,
        Profile::Ci | Profile::Fast => SHORT_SESSION,
    }
}

impl Arena {
    /// Starts both processes on `ground` and makes the tenants.
    pub(crate) async fn open(ground: &Ground) -> Self {
        Self::start(ground, cluster(ground).await, session()).await
    }

    /// The same with processes that leave out what keeps a cluster safe; see the feature `sabotage`
    /// of the server.
    pub(crate) async fn without(ground: &Ground, left_out: &str) -> Self {
        let mut cluster = cluster(ground).await.with("SABOTAGE", left_out);
        cluster.first.put(&callboard_next());
        cluster.second.put(&callboard_next());
        let started = Self::start(ground, cluster, SHORT_SESSION).await;
        Self { served_max: SERVED_WITHOUT_MAX, ..started }
    }

    async fn start(ground: &Ground, cluster: Cluster, session: Duration) -> Self {
        let silent_max = session.as_millis().to_string();
        let cluster = cluster.with("CALLBOARD_LOG_KAFKA_SESSION_TIMEOUT_MS", &silent_max);
        let servers = [Some(cluster.first.up().await), Some(cluster.second.up().await)];
        let tenants = tenants(&cluster).await;
        let config = KafkaConfig {
            // The second process's way is never cut.
            bootstrap: ground.bootstraps[1].clone(),
            prefix: cluster.prefix.clone(),
            replication: u32::try_from(ground.replication).expect("it is small"),
            session_timeout: SESSION_TIMEOUT,
            security: Security::Plaintext,
        };
        let log = KafkaLog::open(config).await.expect("the log is there");
        let mut follower = Follower::default();
        let mut sequences = BTreeMap::new();
        for record in follower.read(&log).await {
            let tenant = record.attribute(Attribute::Tenant);
            if tenants.iter().any(|it| it.id == tenant) {
                *sequences.entry(tenant.to_owned()).or_default() += 1;
            }
        }
        let history = History::since(sequences);
        let figures = Arc::<Figures>::default();
        let tenant = |it: usize| tenants[it % tenants.len()].clone();
        let clients = (0..CLIENTS).map(|it| Client::new(it, tenant(it), figures.clone()));
        Self {
            clients: clients.collect(),
            cluster,
            servers,
            random: Random::new(0x0c_10_57),
            figures,
            tenants,
            log,
            follower,
            history,
            gaps: Vec::new(),
            session,
            served_max: SERVED_MAX,
            unserved: Vec::new(),
            began: Instant::now(),
        }
    }

    pub(crate) fn installation(&self, which: usize) -> &Installation {
        [&self.cluster.first, &self.cluster.second][which]
    }

    /// Ends a process as an operator does, and starts another version of it in its place.
    pub(crate) async fn replace(&mut self, which: usize, binary: &Path) {
        if let Some(server) = self.servers[which].take() {
            server.stop().await;
        }
        [&mut self.cluster.first, &mut self.cluster.second][which].put(binary);
        self.start_again(which).await;
    }

    /// A process that runs.
    pub(crate) fn server(&self, which: usize) -> &Server {
        self.servers[which].as_ref().expect("it runs")
    }

    /// The process that has announced last that it serves the partition of a tenant, once each of
    /// them serves some: 0 or 1.
    pub(crate) async fn an_owner(&mut self) -> usize {
        let owners = self.log.owners();
        let peers = &self.cluster.peers;
        let random = &mut self.random;
        eventually("both processes own something", async || {
            let owners = owners.borrow().clone();
            let is = |it: &Option<Arc<str>>, which: usize| it.as_deref() == Some(&*peers[which]);
            let both = [0, 1].iter().all(|which| owners.iter().any(|it| is(it, *which)));
            let any = usize::try_from(random.below(owners.len() as u64)).expect("it is small");
            both.then(|| usize::from(is(&owners[any], 1)))
        })
        .await
    }

    /// Lets everybody write while `fault` breaks something and mends it, and sees that nothing is
    /// wrong with what comes of it.
    pub(crate) async fn round(&mut self, what: &str, fault: impl AsyncFnOnce(&mut Self)) {
        let mut wrong = self.wrong_after(fault).await;
        wrong.append(&mut self.unserved);
        self.assert_right(what, &wrong);
    }

    /// The same, and says what the judges find wrong.
    pub(crate) async fn wrong_after(&mut self, fault: impl AsyncFnOnce(&mut Self)) -> Vec<String> {
        let enough = Arc::<AtomicBool>::default();
        for tenant in &self.tenants {
            tenant.longest_gaps();
        }
        let running = self.clients.drain(..).map(|it| tokio::spawn(it.run(enough.clone())));
        let running: Vec<_> = running.collect();
        self.goes_on().await;
        fault(self).await;
        self.goes_on().await;
        enough.store(true, Ordering::Relaxed);
        let gaps: Vec<_> = self.tenants.iter().map(|it| it.longest_gaps()).collect();
        let longest = |kind: usize| gaps.iter().map(|it| it[kind]).max().unwrap_or_default();
        self.gaps.push([longest(0), longest(1)]);
        let mut notes = Notes::default();
        for done in join_all(running).await {
            let (client, its) = done.expect("a client ends when it is enough");
            self.clients.push(client);
            notes.asked.extend(its.asked);
            notes.wrong.extend(its.wrong);
        }
        self.judge(&notes).await
    }

    /// Waits until some more changes of every tenant have been acknowledged.
    pub(crate) async fn goes_on(&mut self) {
        let enough: Vec<u64> = self.tenants.iter().map(|it| it.acknowledged() + GOES_ON).collect();
        let waiting = async {
            for (tenant, enough) in self.tenants.iter().zip(&enough) {
                while tenant.acknowledged() < *enough {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        if tokio::time::timeout(self.served_max, waiting).await.is_err() {
            let said = self.figures.said().join("\n");
            self.unserved.push(format!("not every tenant was served again; was said:\n{said}"));
        }
    }

    async fn judge(&mut self, notes: &Notes) -> Vec<String> {
        let records = match self.follower.try_read(&self.log).await {
            Ok(records) => records,
            Err(broken) => return vec![broken],
        };
        let of_tenants = |it: &str| self.tenants.iter().any(|tenant| tenant.id == it);
        let found: Vec<_> = records
            .iter()
            .filter(|it| of_tenants(it.attribute(Attribute::Tenant)))
            .map(found)
            .collect();
        let faults = self.history.judge(&notes.asked, &found);
        let mut all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        all.extend(notes.wrong.iter().map(ToString::to_string));
        all
    }

    fn assert_right(&self, what: &str, wrong: &[String]) {
        let (round, wrong) = (self.gaps.len(), wrong.join("\n"));
        assert!(wrong.is_empty(), "{what}, round {round}:\n{wrong}{}", self.logs());
    }

    /// The end of what both processes said, for a failed test.
    fn logs(&self) -> String {
        const LINES: usize = 40;
        let mut shown = String::new();
        for which in [0, 1] {
            let path = self.installation(which).home().join("server.log");
            let log = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> =
                log.lines().filter(|it| !it.contains("reached end of partition")).collect();
            let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
            shown += &format!("\n── the log of process {which} ends:\n{last}\n");
        }
        shown
    }

    /// Starts a process that has ended, as often as it takes, as whoever looks after it does: it
    /// may end again where it does not hear enough from its brokers or its database in time.
    pub(crate) async fn start_again(&mut self, which: usize) {
        for _ in 0..STARTS_MAX {
            let mut server = Server::begin(self.installation(which), &[]);
            match tokio::time::timeout(SERVED_MAX, server.ready_or_ended()).await {
                Ok(true) => {
                    self.servers[which] = Some(server);
                    return;
                }
                Ok(false) => self.figures.failed_starts.add(),
                Err(_late) => panic!("a process is not ready in time{}", self.logs()),
            }
        }
        panic!("a process does not start any more{}", self.logs());
    }

    /// As [`Self::close`], for a fault of one process while brokers and database are there. In a full run,
    /// which has the machine to itself, nobody is unserved for longer than a session and 5 s, and every
    /// process starts.
    pub(crate) async fn close_in_time(self, what: &str) {
        let longest = self.gaps.iter().map(|it| it[0]).max().unwrap_or_default();
        let (bound, figures) = (self.session + UNSERVED_BEYOND, self.figures.clone());
        self.close(what).await;
        if Profile::of_this_run() == Profile::Full {
            assert!(longest <= bound, "{what}: a tenant was not served for {longest:?}");
            assert_eq!(figures.failed_starts.get(), 0, "{what}: a process did not start");
        }
    }

    /// Sees that every client's entities are as the client knows them, at both doors; that every
    /// table is what a rebuild makes of the log; and says what happened.
    pub(crate) async fn close(mut self, what: &str) {
        let mut notes = Notes::default();
        for client in std::mem::take(&mut self.clients) {
            client.look_at_everything(&mut notes).await;
        }
        let wrong = self.judge(&notes).await;
        self.assert_right(what, &wrong);
        self.report(what);
        self.models_equal_a_rebuild().await;
        for server in self.servers.into_iter().flatten() {
            server.stop().await;
        }
    }

    /// Every table of every model is what a rebuild makes of the log.
    async fn models_equal_a_rebuild(&self) {
        let ends = self.ends().await;
        let api = operator(&self.cluster);
        eventually("every model is at the end of the log", async || {
            let status = api.get("/api/v1/projections").await;
            let live = status.as_array()?.iter().filter(|it| it["live"] == true);
            let behind = live.flat_map(|it| it["partitions"].as_array().into_iter().flatten());
            let behind = behind.filter(|it| it["eventsBehind"] != 0).count();
            (behind == 0).then_some(())
        })
        .await;
        let before = tables::dump(&self.cluster.database).await;
        for model in MODELS {
            self.cluster.first.run(&["projections", "rebuild", model]).text();
        }
        let after = tables::dump(&self.cluster.database).await;
        assert_eq!(ends, self.ends().await, "nobody writes meanwhile");
        let differences = dump::differences(&before, &after);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        let rows: usize = before.values().map(Vec::len).sum();
        print(&format!("  {} tables with {rows} rows equal a rebuild", before.len()));
    }

    async fn ends(&self) -> Vec<u64> {
        let mut ends = Vec::new();
        for partition in (0..self.log.partitions()).map(Partition) {
            ends.push(self.log.end(partition).await.expect("the log has an end").0);
        }
        ends
    }

    fn report(&self, what: &str) {
        let gaps = |kind: usize| {
            let mut gaps: Vec<u128> = self.gaps.iter().map(|it| it[kind].as_millis()).collect();
            gaps.sort_unstable();
            format!(
                "{} ms in the median, {} ms at most",
                gaps[gaps.len() / 2],
                gaps[gaps.len() - 1]
            )
        };
        let failed_starts = self.figures.failed_starts.get();
        let Figures { acknowledged, abandoned, given_up, repeated, late, looks, unseen, .. } =
            &*self.figures;
        print(&format!(
            "{what}: {} times in {:.0} s under {CLIENTS} clients; {} commands acknowledged, {} \
             unknown, {} put off and given up; {} repetitions, {} late answers, {} reads judged, {} \
             not answered; a tenant's longest time without an acknowledgement {}, without a read \
             {}; {failed_starts} failed starts; {} commands in the log, once and whole",
            self.gaps.len(),
            self.began.elapsed().as_secs_f64(),
            acknowledged.get(),
            abandoned.get(),
            given_up.get(),
            repeated.get(),
            late.get(),
            looks.get(),
            unseen.get(),
            gaps(0),
            gaps(1),
            self.history.settled(),
        ));
        self.figures.said().iter().for_each(|it| print(&format!("  said: {it}")));
    }
}

/// Two processes on `ground`, not started yet.
async fn cluster(ground: &Ground) -> Cluster {
    Cluster::on(ground)
        .await
        .with("CALLBOARD_COMMANDS_SNAPSHOT_EVERY_EVENTS", "500")
        .with("CALLBOARD_HTTP_VISIBILITY_WAIT_MS", "5000")
        .with("CALLBOARD_TELEMETRY_FILTER", "info,sqlx=error")
}

/// The operators' client of the first process.
fn operator(cluster: &Cluster) -> Api {
    const SYSTEM: &str = "ten_00000000000000000000000000000000";
    door(&cluster.first, &cluster.first.token(SYSTEM))
}

/// A client of a process that may come and go.
fn door(installation: &Installation, token: &str) -> Api {
    let http = Http::new(Reach::Loopback, Limits { time: ANSWER_MAX, ..Limits::default() });
    let base = format!("http://{}", installation.address());
    Api::new(http, base.parse().expect("an address"), token)
}

/// Makes the tenants, each with a meter.
async fn tenants(cluster: &Cluster) -> Vec<Arc<Tenant>> {
    let ids = SLUGS.map(|it| cluster.first.create_tenant(it));
    let mut tenants = Vec::new();
    for id in ids {
        let token = cluster.first.token(&id);
        let doors = [door(&cluster.first, &token), door(&cluster.second, &token)];
        let meter = "mutation($key: String!) { defineMeter(input: {
            key: $key, name: \"Rides\", unit: \"ride\", aggregation: SUM
        }) { userErrors { message } } }";
        eventually("the tenant has a meter", async || {
            let answer = doors[0].ask(meter, &json!({"key": METER})).await.ok()?;
            let body: Value = serde_json::from_slice(&answer.body).ok()?;
            (body["data"]["defineMeter"]["userErrors"] == json!([])).then_some(())
        })
        .await;
        tenants.push(Arc::new(Tenant::new(id, doors)));
    }
    tenants
}
