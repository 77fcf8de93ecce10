//! The group of the processes that own partitions: a consumer group of the events whose members
//! are assigned partitions and fetch nothing.
//!
//! A member is a consumer on a thread of its own. What the group decides reaches it in callbacks on
//! that thread (`Member`), and its owner as turns (`turns`). A partition that is to move is served on
//! until the next owner is told to take it, or for a bound. A member that is to leave first stays
//! without asking for partitions: so it hears when others have them, as it does otherwise. Where
//! the group has excluded the member, or the member has heard nothing for as long as a session
//! lasts, everything is lost without waiting, and the member joins anew. Until then a member that
//! hears nothing keeps what it has, since others may be as deaf: fencing keeps it safe.
//!
//! The client looks at the session only while nothing changes. While all are joining anew it waits
//! for one answer, for as long as the slowest takes, so the group's coordinator is asked for something
//! else (`coordinator`).
//!
//! The broker `group.initial.rebalance.delay.ms` (3 s unless it says otherwise) is how long the
//! first members of an empty group wait for each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::groups::GroupInfo;
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;

use super::Shared;
use super::config::KafkaConfig;
use super::failure::{is_passing, storage};
use super::logging::Logging;
use crate::membership::{Membership, Turn};
use crate::port::LogError;

mod coordinator;
mod member;
mod turns;

use coordinator::Coordinator;
use member::{Member, SERVED_ON_MAX};
use turns::Turns;

/// How long the thread waits for news of the group before it looks whether it is to leave, and has
/// the client look whether a heartbeat is due, for which it has no timer. In milliseconds: 50.
const LOOK: Duration = Duration::from_millis(50);

/// How long to wait before a consumer that failed for good is replaced. In seconds: 1.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the brokers may take to say who is in the group. In seconds: 10.
const MEMBERS_MAX: Duration = Duration::from_secs(10);

/// How long the client may take to learn of a topic before it asks for it. In seconds: 1.
const KNOWN_MAX: Duration = Duration::from_secs(1);

/// How long leaving may take. In seconds: 5; it needs that long only where no broker answers.
const LEFT_MAX: Duration = Duration::from_secs(5);

type Consumer = BaseConsumer<Member>;

/// Joins the group.
pub(super) fn join(shared: &Arc<Shared>, says: &str) -> Result<Box<dyn Membership>, LogError> {
    let turns = Arc::new(Turns::new(shared.directory.service()));
    let (wishes, denied) = (Arc::<Wishes>::default(), Arc::default());
    let (left, has_left) = oneshot::channel::<()>();
    let group = Group {
        shared: shared.clone(),
        says: says.to_owned(),
        turns: turns.clone(),
        wishes: wishes.clone(),
        denied: Arc::clone(&denied),
    };
    let consumer = group.enter()?;
    std::thread::Builder::new()
        .name("kafka-group".to_owned())
        .spawn(move || {
            group.run(consumer);
            drop(left);
        })
        .map_err(|source| LogError::Storage { doing: "starting a thread".to_owned(), source })?;
    let (session, has_left) = (shared.config.session_timeout, Some(has_left));
    Ok(Box::new(KafkaMembership { session, turns, wishes, denied, has_left }))
}

/// What each member of the group says of itself. Blocks.
pub(super) fn members(config: &KafkaConfig) -> Result<Vec<String>, LogError> {
    let group = config.group();
    let failed = |it| storage(format!("asking who is in `{group}`"), it);
    let client: BaseConsumer<Logging> =
        config.client().create_with_context(Logging).map_err(failed)?;
    let found = client.fetch_group_list(Some(&group), MEMBERS_MAX).map_err(failed)?;
    let introduction = config.introduction();
    let ours = found.groups().iter().filter(|it| it.name() == group);
    let members = ours.flat_map(GroupInfo::members);
    let said = members.map(|it| it.client_id().strip_prefix(&introduction).unwrap_or_default());
    Ok(said.map(str::to_owned).collect())
}

/// What the owner of a membership wishes.
#[derive(Debug, Default)]
struct Wishes {
    /// That others take over what is owned here.
    resigning: AtomicBool,
    leaving: AtomicBool,
}

/// What the owner of a membership holds. Dropping it leaves the group too, without waiting.
#[derive(Debug)]
struct KafkaMembership {
    session: Duration,
    turns: Arc<Turns>,
    wishes: Arc<Wishes>,
    denied: Arc<OnceLock<KafkaError>>,
    has_left: Option<oneshot::Receiver<()>>,
}

#[async_trait]
impl Membership for KafkaMembership {
    async fn next(&mut self) -> Result<Turn, LogError> {
        let turn = self.turns.next().await;
        turn.ok_or_else(|| match self.denied.get() {
            Some(error) => storage("taking part in the group of owners", error.clone()),
            None => LogError::Closed,
        })
    }

    fn silence_max(&self) -> Duration {
        self.session
    }

    fn resign(&mut self) {
        self.wishes.resigning.store(true, Ordering::SeqCst);
    }

    async fn leave(mut self: Box<Self>) {
        self.wishes.leaving.store(true, Ordering::SeqCst);
        if let Some(has_left) = self.has_left.take()
            && tokio::time::timeout(LEFT_MAX, has_left).await.is_err()
        {
            tracing::warn!("the group of owners was not told in time that this process has left");
        }
    }
}

impl Drop for KafkaMembership {
    fn drop(&mut self) {
        self.wishes.leaving.store(true, Ordering::SeqCst);
    }
}

/// How a consumer's time in the group ends.
enum Ended {
    /// It is over.
    Over,
    /// It has heard nothing for as long as a session lasts.
    Deaf,
    /// The client failed for good.
    Failed(KafkaError),
    /// The brokers do not let this process take part.
    Denied(KafkaError),
}

/// The thread's side.
struct Group {
    shared: Arc<Shared>,
    /// What it says of itself.
    says: String,
    turns: Arc<Turns>,
    wishes: Arc<Wishes>,
    /// Why it may not take part, once that is known.
    denied: Arc<OnceLock<KafkaError>>,
}

impl Group {
    /// A consumer that has begun to join.
    fn enter(&self) -> Result<Consumer, LogError> {
        let failed = |it| storage(format!("joining `{}`", self.shared.config.group()), it);
        let member = Member::new(self.shared.clone(), self.turns.clone());
        let consumer: Consumer =
            self.shared.config.member(&self.says).create_with_context(member).map_err(failed)?;
        consumer.subscribe(&[&self.shared.events]).map_err(failed)?;
        Ok(consumer)
    }

    fn run(&self, consumer: Consumer) {
        let mut consumer = Some(consumer);
        while !self.is_over() {
            let Some(member) = consumer.take() else {
                if self.is_resigning() {
                    // There is nothing to hand over, and nothing to come back for.
                    self.turns.end();
                    std::thread::sleep(LOOK);
                    continue;
                }
                match self.enter() {
                    Ok(entered) => consumer = Some(entered),
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "joining failed");
                        std::thread::sleep(PAUSE);
                    }
                }
                continue;
            };
            let ended = self.stay(&member);
            member.context().end();
            // Says goodbye to the group.
            drop(member);
            match ended {
                Ended::Over => (),
                // Whoever asked to join is told, and may do so again.
                Ended::Denied(error) => {
                    drop(self.denied.set(error));
                    break;
                }
                Ended::Deaf => tracing::warn!(
                    "nothing was heard of the group of owners for as long as a session lasts, so \
                     others may own what this process had; it joins anew"
                ),
                Ended::Failed(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "this process could not stay in the group of owners; it joins anew"
                    );
                    std::thread::sleep(PAUSE);
                }
            }
        }
        self.turns.end();
    }

    /// Takes part until it is over, or the consumer is of no use any more.
    fn stay(&self, consumer: &Consumer) -> Ended {
        let (member, mut resigned) = (consumer.context(), None::<Instant>);
        let mut coordinator = Coordinator::default();
        while !self.is_over() {
            match consumer.poll(LOOK) {
                Some(Err(error)) if is_fatal(consumer, &error) => return Ended::Failed(error),
                Some(Err(error)) if is_denied(&error) => return Ended::Denied(error),
                Some(Err(error)) if !is_passing(&error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the group of owners is in trouble; the client goes on trying"
                ),
                // A record that was fetched before the partition was paused is nobody's.
                Some(_) | None => (),
            }
            // Wakes the client's own thread, which sends heartbeats only when it happens to be
            // awake, and sleeps for up to a second.
            drop(consumer.assignment());
            member.look();
            if self.is_deaf(member, &mut coordinator) {
                return Ended::Deaf;
            }
            if !self.is_resigning() {
                continue;
            }
            let since = *resigned.get_or_insert_with(|| {
                self.ask_for_nothing(consumer);
                Instant::now()
            });
            if since.elapsed() >= SERVED_ON_MAX {
                member.give_up();
            }
            if member.is_free() {
                self.turns.end();
            }
        }
        Ended::Over
    }

    /// Whether nothing was heard for as long as a session lasts, though it was asked.
    fn is_deaf(&self, member: &Member, coordinator: &mut Coordinator) -> bool {
        let session = self.shared.config.session_timeout;
        if member.deaf_for() < session / 2 {
            return false;
        }
        if coordinator.answers(&self.shared.config) {
            member.hears();
        }
        member.deaf_for() >= session
    }

    /// Has others take over what is owned here: the member goes on with the topic of the owners, of
    /// which nothing is taken, and so takes part in how the others share its partitions.
    fn ask_for_nothing(&self, consumer: &Consumer) {
        let (member, other) = (consumer.context(), self.shared.owners.as_str());
        member.resigns();
        if member.is_free() {
            return;
        }
        // The client would take what is owned for deleted if it had to look for the other topic.
        let known = consumer.fetch_metadata(Some(other), KNOWN_MAX);
        if let Err(error) = known.and_then(|_| consumer.subscribe(&[other])) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what is owned here is let go of before others have it");
            member.give_up();
        }
    }

    fn is_resigning(&self) -> bool {
        self.wishes.resigning.load(Ordering::SeqCst)
    }

    fn is_over(&self) -> bool {
        self.wishes.leaving.load(Ordering::SeqCst) || self.shared.is_closed()
    }
}

fn is_denied(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}

fn is_fatal(consumer: &Consumer, error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || consumer.client().fatal_error().is_some()
}
