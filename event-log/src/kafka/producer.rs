//! One transactional producer: transactions one at a time, each with an outcome that is known or
//! said not to be. It blocks, so it lives on a thread of its own.
//!
//! The commit finds nothing in flight, since all delivery reports are awaited before: so rdkafka's
//! own flush in front of it, which would wait 100 ms, has nothing to wait for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::config::KafkaConfig;
use super::failure::{Verdict, fences, storage, trouble, verdict};
use super::logging;
use super::polled::Polled;
use crate::port::{AppendError, LogError};

/// How long to wait for the coordinator before a claim fails. In seconds: 20, longer than a
/// transaction of the writer before may stand open.
const CLAIM_MAX: Duration = Duration::from_secs(20);

/// How long a commit may take before its outcome is called unknown. In seconds: 12.
const COMMIT_MAX: Duration = Duration::from_secs(12);

/// How long an abort may take before the producer is given up. In seconds: 10.
const ABORT_MAX: Duration = Duration::from_secs(10);

/// How long one call into the client may take. In seconds: 3.
const CALL_MAX: Duration = Duration::from_secs(3);

/// How long all records of a batch may take to be delivered. In seconds: 20; the client itself
/// gives up after 10.
const DELIVERED_MAX: Duration = Duration::from_secs(20);

/// How long the reports just served may take to leave the client's books. In milliseconds: 20.
const SETTLED_MAX: Duration = Duration::from_millis(20);

/// One message of a transaction.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    /// The partition of the topic.
    pub(super) partition: i32,
    pub(super) key: &'a [u8],
    /// None removes the key from a compacted topic.
    pub(super) value: Option<&'a [u8]>,
    pub(super) timestamp: Option<i64>,
    pub(super) headers: Option<OwnedHeaders>,
}

/// A producer that is the only one with its transactional id, until another is made.
pub(super) struct Producer {
    client: Polled<Watch>,
    watched: Arc<Watched>,
    /// What is being done, for errors.
    subject: String,
    /// Which transaction this is. Late reports of an earlier one are told by it.
    number: u32,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl Producer {
    /// Makes the producer with this transactional id, which fences every earlier one. Returns once
    /// the transaction of the one before has been ended. While that takes time, `hopeless` is asked
    /// every now and then why it will not be.
    pub(super) fn fence(
        config: &KafkaConfig,
        transactional_id: &str,
        hopeless: impl Fn() -> Option<LogError>,
    ) -> Result<Self, LogError> {
        let doing = || format!("claiming `{transactional_id}`");
        let watched = Arc::new(Watched::default());
        let context = Watch(watched.clone());
        let client = Polled::new(&config.producer(transactional_id), context)?;
        let deadline = Instant::now() + CLAIM_MAX;
        while let Err(error) = client.init_transactions(left(deadline)) {
            if verdict(&error) != Verdict::Retry {
                return Err(storage(doing(), error));
            }
            if let Some(cause) = hopeless() {
                return Err(cause);
            }
            if Instant::now() >= deadline {
                return Err(storage(doing(), error));
            }
        }
        let subject = transactional_id.to_owned();
        Ok(Self { client, watched, subject, number: 0 })
    }

    /// Writes all of `messages` or none, and returns where they are.
    pub(super) fn transact<'a>(
        &mut self,
        messages: impl ExactSizeIterator<Item = Message<'a>>,
    ) -> Result<Vec<i64>, AppendError> {
        self.number = self.number.wrapping_add(1);
        self.watched.begin(self.number, messages.len());
        let written = match self.write(messages) {
            Ok(positions) => self.commit().map(|()| positions),
            Err(error) => Err(self.abort(error)),
        };
        self.watched.end();
        written
    }

    /// Whether a request was lost while a transaction was open, of which a stray copy may reach the
    /// broker during a later one, or the brokers have forgotten this producer, so that they would not know
    /// of another that has come since. There must be no later one: make another producer first.
    pub(super) fn is_tainted(&self) -> bool {
        self.watched.tainted.load(Ordering::SeqCst)
    }

    /// How many of its commits the binding had to flush something before, which takes it 100 ms.
    #[cfg(test)]
    pub(super) fn flushed(&self) -> usize {
        self.watched.flushed.load(Ordering::SeqCst)
    }

    /// Has all of `messages` delivered; nothing of it can be committed by anybody but `commit`.
    fn write<'a>(
        &self,
        messages: impl ExactSizeIterator<Item = Message<'a>>,
    ) -> Result<Vec<i64>, KafkaError> {
        self.client.begin_transaction()?;
        for (index, message) in messages.enumerate() {
            let Message { topic, partition, key, value, timestamp, headers } = message;
            let record = BaseRecord {
                topic,
                partition: Some(partition),
                payload: value,
                key: Some(key),
                timestamp,
                headers,
                delivery_opaque: opaque(self.number, index),
            };
            self.client.send(record).map_err(|(error, _)| error)?;
        }
        let positions = self.watched.delivered()?;
        if !are_a_run(&positions) {
            // A broker may say of a record that it has it already, and not where.
            return Err(KafkaError::MessageProduction(RDKafkaErrorCode::BadMessage));
        }
        // The last reports are on their way out of the client's books.
        let deadline = Instant::now() + SETTLED_MAX;
        while self.client.in_flight_count() > 0 && Instant::now() < deadline {
            thread::yield_now();
        }
        Ok(positions)
    }

    fn commit(&self) -> Result<(), AppendError> {
        #[cfg(test)]
        if self.client.in_flight_count() > 0 {
            self.watched.flushed.fetch_add(1, Ordering::SeqCst);
        }
        let deadline = Instant::now() + COMMIT_MAX;
        loop {
            let Err(error) = self.client.commit_transaction(left(deadline)) else { return Ok(()) };
            match verdict(&error) {
                Verdict::Retry if Instant::now() < deadline => (),
                // The commit was sent: a fence says no more that nothing was committed.
                Verdict::Abort => {
                    let doing = format!("committing a transaction of `{}`", self.subject);
                    let reason = error.to_string();
                    return Err(match self.abort(error) {
                        AppendError::Fenced => AppendError::Unknown(trouble(doing, reason)),
                        known => known,
                    });
                }
                // It may have been committed by a request whose answer was lost, also where the
                // client says now that another producer has come.
                Verdict::Retry | Verdict::Fenced | Verdict::Dead => {
                    let doing = format!("committing a transaction of `{}`", self.subject);
                    return Err(AppendError::Unknown(storage(doing, error)));
                }
            }
        }
    }

    /// Makes sure that nothing of the transaction is ever seen, after `cause`.
    fn abort(&self, cause: KafkaError) -> AppendError {
        let doing = format!("writing a transaction of `{}`", self.subject);
        // What has not been committed yet never will be: a fenced producer's transaction has been
        // ended by the one that came after it.
        let fatal = self.client.client().fatal_error();
        if verdict(&cause) == Verdict::Fenced || fatal.is_some_and(|(code, _)| fences(code)) {
            return AppendError::Fenced;
        }
        let deadline = Instant::now() + ABORT_MAX;
        loop {
            let Err(error) = self.client.abort_transaction(left(deadline)) else {
                return AppendError::Refused(storage(doing, cause));
            };
            match verdict(&error) {
                Verdict::Retry if Instant::now() < deadline => (),
                // The coordinator knows of no transaction, and says so only to its own producer: there was
                // none to begin with. This one is of no use any more.
                Verdict::Fenced if is_denied(&cause) && knows_none(&error) => {
                    self.watched.tainted.store(true, Ordering::SeqCst);
                    return AppendError::Refused(storage(doing, cause));
                }
                Verdict::Fenced => return AppendError::Fenced,
                Verdict::Retry | Verdict::Abort | Verdict::Dead => {
                    return AppendError::Unknown(storage(doing, error));
                }
            }
        }
    }
}

/// The time until `deadline`, as much of it as one call may take.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), CALL_MAX)
}

/// Whether the brokers do not let us write to a topic.
fn is_denied(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

/// Whether the coordinator knows of no transaction of this producer.
fn knows_none(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::InvalidTransactionalState)
}

/// Whether messages to one partition stand where a transaction puts them: one after the other.
fn are_a_run(positions: &[i64]) -> bool {
    positions.first().is_none_or(|it| *it >= 0) && positions.windows(2).all(|it| it[1] == it[0] + 1)
}

fn opaque(number: u32, index: usize) -> usize {
    ((number as usize) << 32) | index
}

/// What the client tells from its own threads.
#[derive(Debug, Default)]
struct Watched {
    reports: Mutex<Reports>,
    complete: Condvar,
    /// Whether a transaction is open.
    open: AtomicBool,
    tainted: AtomicBool,
    #[cfg(test)]
    flushed: std::sync::atomic::AtomicUsize,
}

/// The delivery reports of one transaction.
#[derive(Debug, Default)]
struct Reports {
    number: u32,
    missing: usize,
    positions: Vec<i64>,
    failed: Option<KafkaError>,
}

impl Watched {
    fn begin(&self, number: u32, count: usize) {
        let positions = vec![-1; count];
        *self.reports() = Reports { number, missing: count, positions, failed: None };
        self.open.store(true, Ordering::SeqCst);
    }

    fn end(&self) {
        self.open.store(false, Ordering::SeqCst);
    }

    /// Waits for the positions of all messages, or for the first that has none.
    fn delivered(&self) -> Result<Vec<i64>, KafkaError> {
        let waiting = |it: &mut Reports| it.missing > 0 && it.failed.is_none();
        let waited = self.complete.wait_timeout_while(self.reports(), DELIVERED_MAX, waiting);
        let (mut reports, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = reports.failed.take() {
            return Err(error);
        }
        if waited.timed_out() {
            let code = RDKafkaErrorCode::MessageTimedOut;
            return Err(KafkaError::MessageProduction(code));
        }
        Ok(std::mem::take(&mut reports.positions))
    }

    /// Notes that the brokers do not let us write what is under way. The client would only say that time is up.
    fn deny(&self) {
        let denied = KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed);
        self.reports().failed.get_or_insert(denied);
        self.complete.notify_all();
    }

    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what the client says in its log means that a request may have been lost on its way, now or
/// unseen later: it says nothing of a connection that is lost for the same reason within 30 s of the
/// last one, so one that was lost between transactions counts too. One that was not to be had does not.
///
/// One that has rested for more than 60 s is lost without a line, but none rests for so long: see
/// `REST_MAX`.
fn is_loss(facility: &str, text: &str, in_transaction: bool) -> bool {
    match facility {
        "REQTMOUT" => in_transaction,
        "FAIL" => in_transaction || text.contains("in state UP"),
        _ => false,
    }
}

/// Whether it means that the brokers have forgotten this producer. It would take its id again by itself,
/// whoever else has had it since, if that one is forgotten too.
fn is_forgotten(facility: &str, text: &str) -> bool {
    facility == "TXNERR"
        && ["INVALID_PRODUCER_ID_MAPPING", "UNKNOWN_PRODUCER_ID"].iter().any(|it| text.contains(it))
}

/// Whether it means that the brokers do not let us write to a topic.
fn is_denial(facility: &str, text: &str) -> bool {
    facility == "TXNERR" && text.contains("TOPIC_AUTHORIZATION_FAILED")
}

/// What the clients of all producers have said of losses.
#[cfg(test)]
static LOST: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How many losses on the way to this broker producers have heard of.
#[cfg(test)]
pub(super) fn losses_at(address: &str) -> usize {
    let lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
    lost.iter().filter(|it| it.contains(address)).count()
}

/// The client's way to [`Watched`].
struct Watch(Arc<Watched>);

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        if is_forgotten(facility, text) {
            self.0.tainted.store(true, Ordering::SeqCst);
        }
        if is_denial(facility, text) {
            self.0.deny();
        }
        if is_loss(facility, text, self.0.open.load(Ordering::SeqCst)) {
            self.0.tainted.store(true, Ordering::SeqCst);
            #[cfg(test)]
            LOST.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        }
        logging::line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        logging::error(&error, reason);
    }
}

impl ProducerContext for Watch {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let mut reports = self.0.reports();
        let index = opaque & 0xffff_ffff;
        if opaque >> 32 != reports.number as usize || reports.positions.len() <= index {
            return;
        }
        match result {
            Ok(message) => reports.positions[index] = message.offset(),
            Err((error, _)) => reports.failed = Some(error.clone()),
        }
        reports.missing -= 1;
        if reports.missing == 0 || reports.failed.is_some() {
            self.0.complete.notify_all();
        }
    }
}
