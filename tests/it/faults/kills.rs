//! `kill -9` of the real process under 64 concurrent writers, again and again on one folder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use super::dump;
use super::following::{Follower, found};
use super::history::{Asked, Fault, Found, History};
use super::log_copy::LogCopy;
use super::writers::{Figures, Keys, METER, Writer};
use crate::harness::{Installation, Profile, Random, Server, eventually};

/// How many writers ask at the same time.
const WRITERS: usize = 64;

/// The tenants they work for.
const TENANTS: [&str; 2] = ["north-fleet", "south-fleet"];

/// How many acknowledgements a kill waits for at most.
const ACKNOWLEDGEMENTS_MAX: u64 = 300;

/// What a kill waits for beyond that at most, so that it falls anywhere within a batch. In
/// microseconds.
const MOMENT_MAX: u64 = 20_000;

/// How long a server that is killed while it starts has at most. In microseconds.
const START_MAX: u64 = 400_000;

/// How often a server is killed while it starts: one time in this many.
const STARTS: u64 = 8;

/// One folder, its writers, and everything that is known about both.
struct Arena {
    installation: Installation,
    /// Identity and token of each tenant.
    tenants: Vec<(String, String)>,
    writers: Vec<Writer>,
    figures: Arc<Figures>,
    follower: Follower,
    history: History,
    /// The same before any writer began.
    beginning: (Follower, History),
    asked: Vec<Asked>,
    random: Random,
    kills: usize,
}

impl Arena {
    /// Segments and snapshots are small here, so that kills fall into their making too.
    async fn open(keys: Keys) -> Self {
        let installation = Installation::new()
            .with("CALLBOARD_LOG_SEGMENT_BYTES", "1048576")
            .with("CALLBOARD_COMMANDS_SNAPSHOT_EVERY_EVENTS", "500")
            .with("CALLBOARD_TELEMETRY_FILTER", "warn");
        let server = installation.up().await;
        let mut tenants = Vec::new();
        for slug in TENANTS {
            let tenant = installation.create_tenant(slug);
            let token = installation.token(&tenant);
            let query = "mutation($key: String!) { defineMeter(input: {
                key: $key, name: \"Rides\", unit: \"ride\", aggregation: SUM
            }) { userErrors { message } } }";
            let defined = server.api(&token).graphql(query, json!({"key": METER})).await;
            assert_eq!(defined["defineMeter"]["userErrors"], json!([]));
            tenants.push((tenant, token));
        }
        server.stop().await;
        let mut follower = Follower::default();
        let records = follower.read(&LogCopy::of(&installation.folder().join("log")).open()).await;
        let mut sequences = BTreeMap::new();
        for record in &records {
            let tenant = record.attribute(event_log::Attribute::Tenant);
            if tenants.iter().any(|(it, _)| it == tenant) {
                *sequences.entry(tenant.to_owned()).or_default() += 1;
            }
        }
        let history = History::since(sequences);
        let beginning = (follower.clone(), history.clone());
        let writers = (0..WRITERS).map(|it| Writer::new(it, TENANTS.len(), keys)).collect();
        let (figures, asked, random) = (Arc::default(), Vec::new(), Random::new(0x9_11));
        let kills = 0;
        Self {
            installation,
            tenants,
            writers,
            figures,
            follower,
            history,
            beginning,
            asked,
            random,
            kills,
        }
    }

    /// Starts, lets everybody write, kills, and answers what must not be.
    async fn round(&mut self) -> Vec<Fault> {
        if self.random.below(STARTS) == 0 {
            let mut server = Server::begin(&self.installation, &[]);
            tokio::time::sleep(Duration::from_micros(self.random.below(START_MAX))).await;
            server.kill();
            self.kills += 1;
        }
        let mut server = self.installation.up().await;
        self.readers_see_everything(&server).await;
        let writing: Vec<_> = self
            .writers
            .drain(..)
            .map(|writer| {
                let (tenant, token) = self.tenants[writer.tenant].clone();
                tokio::spawn(writer.run(server.api(&token), tenant, self.figures.clone()))
            })
            .collect();
        let goal = self.figures.acknowledged.load(Ordering::Relaxed) as u64
            + self.random.below(ACKNOWLEDGEMENTS_MAX);
        eventually("the writers are answered", async || {
            (self.figures.acknowledged.load(Ordering::Relaxed) as u64 >= goal).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_micros(self.random.below(MOMENT_MAX))).await;
        server.kill();
        self.kills += 1;
        let mut asked = Vec::new();
        for done in join_all(writing).await {
            let (writer, its) = done.expect("a writer ends when the server is gone");
            self.writers.push(writer);
            asked.extend(its);
        }
        let new = self.follow().await;
        let faults = self.history.judge(&asked, &new);
        self.asked.extend(asked);
        faults
    }

    /// What is new in the log, every chain and sequence of it checked.
    async fn follow(&mut self) -> Vec<Found> {
        let copy = LogCopy::of(&self.installation.folder().join("log"));
        let records = self.follower.read(&copy.open()).await;
        self.of_tenants(records.iter().map(found))
    }

    fn of_tenants(&self, all: impl Iterator<Item = Found>) -> Vec<Found> {
        all.filter(|it| self.tenants.iter().any(|(id, _)| *id == it.tenant)).collect()
    }

    /// Every reader catches up with exactly what the log holds.
    async fn readers_see_everything(&self, server: &Server) {
        for (tenant, token) in &self.tenants {
            let api = server.api(token);
            let expected = self.history.sequences()[tenant];
            eventually("the audit trail has every event", async || {
                let trail = api.graphql("{ audit(first: 1) { totalCount } }", Value::Null).await;
                let count = trail["audit"]["totalCount"].as_u64().expect("a count");
                assert!(count <= expected, "{count} events are shown and {expected} were recorded");
                (count == expected).then_some(())
            })
            .await;
        }
    }

    /// Every table of every model is what a rebuild makes of the log.
    async fn models_equal_a_rebuild(&self) {
        let server = self.installation.up().await;
        self.readers_see_everything(&server).await;
        let (tables, rows) = dump::equals_a_rebuild(&self.installation, &server).await;
        print(&format!("  {tables} tables with {rows} rows equal a rebuild"));
        server.stop().await;
    }

    /// Positive control: the log without its last batches must not please the judge.
    async fn a_shortened_log_is_noticed(&self) {
        let copy = LogCopy::of(&self.installation.folder().join("log"));
        // The last batches may hold only what nobody was told of.
        for cut in 1..=WRITERS {
            copy.cut_last_batch().await;
            let (mut follower, mut history) = self.beginning.clone();
            let records = follower.read(&copy.open()).await;
            let found = self.of_tenants(records.iter().map(found));
            let faults = history.judge(&self.asked, &found);
            if faults.iter().any(|it| matches!(it, Fault::Lost(_))) {
                print(&format!(
                    "  control: {} lost commands seen, {cut} batches cut",
                    faults.len()
                ));
                return;
            }
        }
        panic!("acknowledged commands were cut off the log and nobody noticed");
    }

    fn report(&self, took: Duration) {
        let of = |it: &std::sync::atomic::AtomicUsize| it.load(Ordering::Relaxed);
        let Figures { acknowledged, repeated, remembered, postponed } = &*self.figures;
        print(&format!(
            "{} kills in {:.1} s under {WRITERS} writers: {} acknowledged, {} repeated, {} of them \
             known to have taken effect, {} postponed; {} requests in the log",
            self.kills,
            took.as_secs_f32(),
            of(acknowledged),
            of(repeated),
            of(remembered),
            of(postponed),
            self.history.settled(),
        ));
    }
}

#[expect(clippy::print_stdout, reason = "figures are what such a test is run for")]
fn print(line: &str) {
    println!("{line}");
}

fn sentences(faults: &[Fault]) -> String {
    faults.iter().map(|it| format!("\n{it}")).collect()
}

/// Kills in a run: `fast` 5, `ci` 110, `full` 1,100.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_command_survives_a_kill_once_and_whole() {
    let begin = Instant::now();
    let kills = Profile::of_this_run().count(5, 110, 1_100);
    let mut arena = Arena::open(Keys::Sent).await;
    while arena.kills < kills {
        let faults = arena.round().await;
        assert!(faults.is_empty(), "after {} kills:{}", arena.kills, sentences(&faults));
    }
    arena.report(begin.elapsed());
    let log = LogCopy::of(&arena.installation.folder().join("log"));
    let verified = log.verify();
    assert!(verified.damage.is_none(), "{:?}", verified.damage);
    arena.a_shortened_log_is_noticed().await;
    let doctor = arena.installation.run(&["doctor"]).text();
    assert!(doctor.contains("the chains of 3 tenants are whole"), "{doctor}");
    arena.models_equal_a_rebuild().await;
}

/// Positive control: clients that send no idempotency key take effect twice sooner or later, and
/// the judge sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_idempotency_keys_a_repetition_takes_effect_twice_and_is_noticed() {
    const KILLS_MAX: usize = 60;
    let mut arena = Arena::open(Keys::Withheld).await;
    while arena.kills < KILLS_MAX {
        let faults = arena.round().await;
        if faults.iter().any(|it| matches!(it, Fault::Twice(_))) {
            print(&format!(
                "control: a command without a key took effect twice after {} kills",
                arena.kills
            ));
            return;
        }
    }
    panic!("no repetition took effect twice in {KILLS_MAX} kills");
}
