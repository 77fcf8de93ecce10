//! A tenant whose key is lost in the vault: it alone can do nothing, and it is never taken for empty.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use domain::Principal;
use domain::id::TenantId;
use domain::operation::Operation;
use domain::usage::Verdict;
use event_log::{EventLog as _, Partition, Snapshot};
use tempfile::TempDir;
use vault::contents::{Contents, Row};
use vault::{Keyring, KeyringError, Root, SqliteVault};

use super::installation::{Installation, SOON, put, put_described};
use super::scenario;
use crate::away::Away;
use crate::request::CommandError;
use crate::settings::Values;
use crate::snapshot::cover::Cover;
use crate::snapshot::{FOLD_VERSION, Snapshots, Step};
use crate::{Commands, StartError};

/// What happens to the row of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    Deleted,
    Damaged,
    /// Another key is in its place.
    Replaced,
}

const MISHAPS: [Mishap; 3] = [Mishap::Deleted, Mishap::Damaged, Mishap::Replaced];

/// Two tenants on one partition, whose keys are in files.
struct Two {
    installation: Installation,
    folder: TempDir,
    acme: Principal,
    umbrella: Principal,
}

fn root() -> Root {
    Root::from_hex(&"07".repeat(32), "the test").unwrap()
}

impl Two {
    async fn new(values: Values) -> Self {
        let installation = Installation::with(1, |it| {
            it.values = values;
            it.key_wait_max = Duration::ZERO;
        });
        let mut installation = installation.await;
        let folder = TempDir::new().unwrap();
        let vault = SqliteVault::open(&folder.path().join("0.db")).await.unwrap();
        installation.keyring = Keyring::open(Arc::new(vault), root()).await.unwrap();
        installation.restart().await;
        let acme = installation.tenant("acme").await;
        let umbrella = installation.tenant("umbrella").await;
        scenario::sell(&installation, &acme, 100, 1_000).await;
        installation.submit(&acme, put("web")).await.unwrap();
        installation.submit(&umbrella, put("web")).await.unwrap();
        Self { installation, folder, acme, umbrella }
    }

    /// A copy of the vault in which that has happened to the key of `tenant`.
    async fn copy(&self, name: &str, tenant: TenantId, mishap: Option<Mishap>) -> Keyring {
        let path = |name: &str| self.folder.path().join(format!("{name}.db"));
        let from = SqliteVault::open(&path("0")).await.unwrap();
        let to = SqliteVault::open(&path(name)).await.unwrap();
        let mut last = None;
        loop {
            let mut rows = from.rows_after(last.as_ref()).await.unwrap();
            let Some(end) = rows.last().cloned() else { break };
            last = Some(end);
            rows.retain_mut(|row| match row {
                Row::Key { tenant: of, purpose, wrapped: Some(wrapped), .. }
                    if *of == tenant.0 && purpose == "tenant" =>
                {
                    if mishap == Some(Mishap::Damaged) {
                        wrapped[20] ^= 1;
                    }
                    matches!(mishap, None | Some(Mishap::Damaged))
                }
                _ => true,
            });
            to.take_back(&rows).await.unwrap();
        }
        let keyring = Keyring::open(Arc::new(to), root()).await.unwrap();
        if mishap == Some(Mishap::Replaced) {
            keyring.tenant(tenant).await.unwrap();
        }
        keyring
    }

    /// Starts again with another copy of the vault.
    async fn restart_with(&mut self, keyring: Keyring) {
        self.installation.commands.stop().await;
        self.installation.keyring = keyring;
        self.installation.start_again().await;
    }

    #[track_caller]
    fn check_keyless(answer: &Result<impl std::fmt::Debug, CommandError>) {
        let is_told = matches!(answer, Err(CommandError::Unavailable(Away::Key)));
        assert!(is_told, "{answer:?}");
    }

    /// Acme can do nothing and is told why; umbrella and the operator notice nothing.
    async fn check_alone(&self) {
        let commands = &self.installation.commands;
        let (tenant, actor) = (self.acme.tenant(), self.acme.actor());
        Self::check_keyless(&self.installation.submit(&self.acme, put("other")).await);
        Self::check_keyless(&commands.principal(tenant, actor).await);
        Self::check_keyless(&commands.created(tenant, SOON).await);
        let state = self.installation.state(Partition(0)).await;
        assert_eq!(state.unread.keys().copied().collect::<Vec<_>>(), [tenant]);
        assert_eq!(state.tenants[&tenant].streams.len(), 0);
        let change = put_described("web", &uuid::Uuid::now_v7().to_string());
        let changed = self.installation.submit(&self.umbrella, change).await.unwrap();
        assert!(changed.events[0].revision > 1, "it was there already: {changed:?}");
        commands.principal(self.umbrella.tenant(), self.umbrella.actor()).await.unwrap();
        scenario::sell(&self.installation, &self.umbrella, 100, 1_000).await;
    }
}

#[tokio::test]
async fn a_tenant_without_its_key_can_do_nothing_and_others_notice_nothing() {
    for mishap in MISHAPS {
        for is_in_snapshot in [false, true] {
            let mut two = Two::new(Values::Sealed).await;
            let (before, tenant) = (two.installation.state(Partition(0)).await, two.acme.tenant());
            let (lost, back) =
                (two.copy("1", tenant, Some(mishap)).await, two.copy("2", tenant, None).await);
            if !is_in_snapshot {
                two.installation.forget_snapshots().await;
            }
            two.restart_with(lost.clone()).await;
            two.check_alone().await;
            // And once more, from a snapshot of a state in which nothing is known of it.
            two.restart_with(lost).await;
            two.check_alone().await;
            two.restart_with(back).await;
            let after = two.installation.state(Partition(0)).await;
            assert!(after.unread.is_empty());
            assert_eq!(after.tenants[&tenant].tally, before.tenants[&tenant].tally, "{mishap:?}");
            let (was, is) = (&before.tenants[&tenant].streams, &after.tenants[&tenant].streams);
            assert_eq!(is.len(), was.len());
            was.iter().for_each(|(stream, slot)| assert_eq!(is.get(stream), Some(slot)));
            assert_eq!(after.timers.len(), before.timers.len() + 2, "umbrella has bought twice");
            two.installation.submit(&two.acme, put("other")).await.unwrap();
        }
    }
}

/// Saves what an owner knows, with the keys that are left.
async fn save_with(installation: &Installation, keyring: &Keyring) {
    let mut state = installation.state(Partition(0)).await;
    let next = state.next;
    let frozen = Snapshots::default().freeze(&mut state, next);
    let (upto, fold) = (frozen.upto, frozen.fold);
    let (mut slices, mut chunks) = (frozen.slices(Partition(0), Values::Sealed), Vec::new());
    loop {
        match slices.next() {
            Step::Slice(slice) => chunks.extend(slice),
            Step::Cover(of) => slices.cover(of, Cover::of(of, keyring).await.unwrap()),
            Step::Done => break,
        }
    }
    installation.commands.stop().await;
    let mut writer = installation.log.claim(Partition(0)).await.unwrap();
    writer.save_snapshot(Snapshot { upto, fold, chunks }).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_that_was_saved_without_a_key_does_not_take_its_tenant_for_empty() {
    let mut two = Two::new(Values::Sealed).await;
    let tenant = two.acme.tenant();
    let (lost, back) =
        (two.copy("1", tenant, Some(Mishap::Deleted)).await, two.copy("2", tenant, None).await);
    let known = two.installation.state(Partition(0)).await;
    save_with(&two.installation, &lost).await;
    // Its key is gone only when the rows are to be covered.
    let marked = two.installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().unwrap();
    assert!(marked.chunks.iter().any(|it| it.key.starts_with("unread/")));
    two.restart_with(lost).await;
    two.check_alone().await;
    two.restart_with(back).await;
    let after = two.installation.state(Partition(0)).await;
    assert_eq!(after.tenants[&tenant].streams.len(), known.tenants[&tenant].streams.len());
    two.installation.submit(&two.acme, put("other")).await.unwrap();
}

#[tokio::test]
async fn nobody_makes_another_key_for_who_has_recorded_something() {
    for values in [Values::Plain, Values::Sealed] {
        let mut two = Two::new(values).await;
        let tenant = two.acme.tenant();
        let lost = two.copy("1", tenant, Some(Mishap::Deleted)).await;
        two.restart_with(lost.clone()).await;
        Two::check_keyless(&two.installation.submit(&two.acme, put("other")).await);
        let key = lost.existing(tenant).await;
        assert!(matches!(key, Err(KeyringError::Missing(_))), "{key:?}");
        let again = two.installation.submit(&two.umbrella, put("web")).await.unwrap();
        assert!(again.events.is_empty(), "it is there already");
        two.installation.tenant("initech").await;
    }
}

#[tokio::test]
async fn without_the_key_of_the_system_tenant_nothing_starts() {
    for values in [Values::Plain, Values::Sealed] {
        for mishap in MISHAPS {
            let mut two = Two::new(values).await;
            let keyring = two.copy("1", TenantId::SYSTEM, Some(mishap)).await;
            two.installation.commands.stop().await;
            let Installation { log, clock, settings, .. } = &mut two.installation;
            settings.identities = two.folder.path().join("identities");
            let (log, clock) = (Arc::new(log.clone()), Arc::new(clock.clone()));
            let started = Commands::start(log, keyring.clone(), clock, settings.clone()).await;
            if (values, mishap) == (Values::Plain, Mishap::Replaced) {
                // Nothing was stored under it that is read here.
                started.unwrap();
                continue;
            }
            let error: StartError = started.expect_err("it is told at once");
            let cause = error.source().expect("it says why").to_string();
            let is_of_key = cause.contains("key") || cause.contains("value");
            assert!(is_of_key, "{error}: {cause}");
            let key = keyring.existing(TenantId::SYSTEM).await;
            let is_missing = matches!(key, Err(KeyringError::Missing(_)));
            assert_eq!(is_missing, mishap == Mishap::Deleted, "none is made: {key:?}");
        }
    }
}

#[tokio::test]
async fn the_first_start_makes_the_key_of_the_system_tenant() {
    let installation = Installation::new().await;
    installation.keyring.existing(TenantId::SYSTEM).await.unwrap();
}

impl Two {
    /// Stops and starts again with another copy of the vault, and with the identity index in the folder of
    /// this name.
    async fn restart_on(&mut self, identities: &str, keyring: &Keyring) {
        self.installation.commands.stop().await;
        self.start_on(identities, keyring).await;
    }

    async fn start_on(&mut self, identities: &str, keyring: &Keyring) {
        self.installation.keyring = keyring.clone();
        self.installation.settings.identities = self.folder.path().join(identities);
        let Installation { log, clock, settings, .. } = &self.installation;
        let (log, clock) = (Arc::new(log.clone()), Arc::new(clock.clone()));
        let started = Commands::start(log, keyring.clone(), clock, settings.clone());
        self.installation.commands = started.await.unwrap();
    }

    async fn record_usage(&self) -> Vec<Verdict> {
        let entries = vec![scenario::calls("once", 1)];
        let recorded = self.installation.submit(&self.acme, Operation::RecordUsage { entries });
        recorded.await.unwrap().verdicts
    }
}

#[tokio::test]
async fn usage_from_before_a_key_was_lost_is_not_recorded_again_once_it_is_back() {
    let mut two = Two::new(Values::Sealed).await;
    let tenant = two.acme.tenant();
    let (lost, back) =
        (two.copy("1", tenant, Some(Mishap::Deleted)).await, two.copy("2", tenant, None).await);
    two.installation.submit(&two.acme, scenario::define_calls()).await.unwrap();
    assert_eq!(two.record_usage().await, [Verdict::Accepted]);
    // A snapshot with the key, and an index that, as after a crash, has not come so far.
    two.restart_on("after the crash", &lost).await;
    assert!(two.installation.state(Partition(0)).await.unread.contains_key(&tenant));
    two.restart_on("after the crash", &back).await;
    assert_eq!(two.record_usage().await, [Verdict::Duplicate]);
}

#[tokio::test]
async fn usage_is_not_recorded_again_by_who_lacked_the_key_while_another_process_had_it() {
    let mut two = Two::new(Values::Sealed).await;
    let tenant = two.acme.tenant();
    let (lost, back) =
        (two.copy("1", tenant, Some(Mishap::Deleted)).await, two.copy("2", tenant, None).await);
    two.installation.submit(&two.acme, scenario::define_calls()).await.unwrap();
    assert_eq!(two.record_usage().await, [Verdict::Accepted]);
    let before = two.installation.settings.identities.clone();
    two.installation.forget_snapshots().await;
    // One reads everything without the key; then the one that has it saves what it knows.
    two.start_on("another", &lost).await;
    assert!(two.installation.state(Partition(0)).await.unread.contains_key(&tenant));
    two.restart_on(before.to_str().unwrap(), &back).await;
    save_with(&two.installation, &back).await;
    let saved = two.installation.log.snapshot(Partition(0), FOLD_VERSION).await.unwrap().unwrap();
    assert!(!saved.chunks.iter().any(|it| it.key.starts_with("unread/")));
    two.start_on("another", &back).await;
    assert_eq!(two.record_usage().await, [Verdict::Duplicate]);
}

#[tokio::test]
async fn a_key_that_comes_a_moment_later_is_waited_for() {
    for is_in_snapshot in [false, true] {
        let mut two = Two::new(Values::Sealed).await;
        let tenant = two.acme.tenant();
        let lost = two.copy("1", tenant, Some(Mishap::Deleted)).await;
        if !is_in_snapshot {
            two.installation.forget_snapshots().await;
        }
        two.installation.settings.key_wait_max = SOON;
        let (from, to) = (two.folder.path().join("0.db"), two.folder.path().join("1.db"));
        let put_back = tokio::spawn(async move {
            // By then it has been missed.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let from = SqliteVault::open(&from).await.unwrap();
            let mut rows = from.rows_after(None).await.unwrap();
            rows.retain(|it| {
                matches!(it, Row::Key { tenant: of, purpose, .. }
                    if *of == tenant.0 && purpose == "tenant")
            });
            SqliteVault::open(&to).await.unwrap().take_back(&rows).await.unwrap();
        });
        two.restart_with(lost).await;
        put_back.await.unwrap();
        assert!(two.installation.state(Partition(0)).await.unread.is_empty());
        two.installation.submit(&two.acme, put("other")).await.unwrap();
    }
}
