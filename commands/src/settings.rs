//! What an operator can set about the write side.

use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::Level;
use domain::catalog::KindSet;
use domain::tenant;

use crate::peers::Peers;

/// How long a key that is missing is waited for. In seconds: 5, in which a database that has just taken the
/// place of another has what was committed there, and others of the partition wait no longer than that.
const KEY_WAIT_MAX: Duration = Duration::from_secs(5);

/// What the write side needs to be told. [`Settings::new`] suits a small machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names the installation in `ce_source`, say `callboard/9f3c…`.
    pub source: String,
    /// The most requests decided in one batch.
    pub batch_requests_max: usize,
    /// The most request bytes decided in one batch; one larger request still gets its turn.
    pub batch_bytes_max: usize,
    /// The most requests of one tenant that may wait in a partition.
    pub waiting_requests_max: usize,
    /// The most request bytes of one tenant that may wait in a partition.
    pub waiting_bytes_max: usize,
    /// The most bytes of large content that requests of one tenant may have stored while they are
    /// under way; one request may have more.
    pub large_bytes_max: usize,
    /// How many outcomes of keyed requests a partition remembers beyond the 512 that are
    /// reserved for each tenant; one takes some 100 bytes of memory. See `idempotency`.
    pub remembered_in_common_max: usize,
    /// After how many events a snapshot is taken.
    pub snapshot_every: NonZeroU64,
    /// The folder of the usage identity index; it is derived from the log.
    pub identities: PathBuf,
    /// What a new tenant begins with.
    pub tenants: tenant::Settings,
    /// Whether values are stored encrypted under their tenant's key.
    pub values: Values,
    /// Which life of the installation this is; another one after a restore. Sessions and invites of
    /// another life are good for nothing, for nobody knows what has become of them.
    pub life: String,
    /// How long a tenant's key that is missing in the vault is waited for before the tenant is left
    /// unread.
    pub key_wait_max: Duration,
    /// Where other processes reach this one; announced for every partition that is owned here.
    pub address: Option<String>,
    /// The owners in other processes, if there are any.
    pub peers: Option<Arc<dyn Peers>>,
    /// The levels that this process speaks, those of this version of Callboard; see
    /// `domain::level`. Only tests have a reason to change them.
    pub speaks: RangeInclusive<Level>,
    /// A step that is left out, to show that a test would notice.
    #[cfg(any(test, feature = "sabotage"))]
    pub sabotage: Option<Sabotage>,
    /// How often following panics from now on.
    #[cfg(test)]
    pub(crate) panics: Arc<std::sync::atomic::AtomicU32>,
}

/// Steps that tests leave out.
#[cfg(any(test, feature = "sabotage"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The owner does not ask whether who asks may.
    AuthorizeNobody,
    /// The owner does not ask whether who repeats a request still may.
    RepeatForAnybody,
    /// Whoever may give roles may give any.
    DelegateAnything,
    /// Followers do not know how far they were, so every effect is asked for again.
    FollowFromStart,
    /// As before, and effects are carried out although the target has noted that they were.
    ReactAlways,
    /// What a request that had no effect did to its batch stays.
    KeepTraces,
    /// What was refused is taken for durable.
    MergeRefused,
    /// What was read before an attempt at claiming again failed is forgotten.
    ForgetRead,
    /// After claiming again nothing is read.
    ReadNothing,
    /// After claiming again everything is read.
    ReadAll,
    /// Batches are filled beyond what the log takes.
    Overfill,
    /// No timer fires after one whose tenant's keys cannot be had.
    RestAll,
    /// Requests are answered before they are durable.
    AnswerEarly,
    /// Whether there are terms to sell under decides before what is remembered.
    TermsFirst,
    /// What follows for one target waits for what follows for others.
    OneLane,
    /// What follows and is not done is left out of where to go on.
    ForgetOpen,
    /// Nothing of what is remembered is reserved for a tenant.
    OnePool,
    /// Keyed requests that change nothing leave nothing behind.
    NoteNothing,
    /// The loop waits for snapshots.
    SaveInLoop,
    /// A panic ends the lane it happens in.
    LetPanic,
    /// The content that events name is not kept.
    KeepNothing,
    /// All requests hold their content under one name.
    OneHold,
    /// Whoever goes away leaves what comes to nothing.
    GoAway,
    /// A tenant's standing does not matter before its content is stored.
    StoreFirst,
    /// Answers that rest on memory alone are given without asking the log.
    AnswerAtOnce,
    /// Committed state is asked before it has come to the end of the log.
    ReadAtOnce,
    /// What is malformed by today's settings is refused before what is remembered is looked up.
    ShapeFirst,
}

/// How the values of records are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Values {
    /// As JSON; personal texts in them are sealed all the same.
    #[default]
    Plain,
    /// Encrypted whole under the tenant's key.
    Sealed,
}

impl Settings {
    /// The usual settings, with the usage identity index in this folder.
    #[must_use]
    pub fn new(identities: PathBuf) -> Self {
        Self {
            source: "callboard".to_owned(),
            identities,
            tenants: tenant::Settings {
                time_zone: chrono_tz::UTC,
                currency: "EUR".parse().expect("it is a currency's code"),
                kinds: KindSet::default(),
            },
            batch_requests_max: 1_024,
            batch_bytes_max: 2 * 1024 * 1024,
            waiting_requests_max: 4_096,
            waiting_bytes_max: 8 * 1024 * 1024,
            large_bytes_max: 32 * 1024 * 1024,
            remembered_in_common_max: 1 << 20,
            snapshot_every: NonZeroU64::new(50_000).expect("it is not zero"),
            values: Values::default(),
            life: String::new(),
            key_wait_max: KEY_WAIT_MAX,
            address: None,
            peers: None,
            speaks: Level::LOWEST..=Level::SPOKEN,
            #[cfg(any(test, feature = "sabotage"))]
            sabotage: None,
            #[cfg(test)]
            panics: Arc::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn panic_if_asked(&self) {
        use std::sync::atomic::Ordering::SeqCst;

        let left = self.panics.fetch_update(SeqCst, SeqCst, |it| it.checked_sub(1));
        assert!(left.is_err(), "on purpose");
    }
}
