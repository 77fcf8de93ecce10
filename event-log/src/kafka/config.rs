//! Where the cluster is, how to speak to it, and the settings every client is made with.
//!
//! Credentials never show: not in `Debug`, not in an error, not in a log line.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// The largest message a client sends or is sent. In bytes: 1 MiB. A record and a piece of a
/// snapshot are below 600 KiB with everything around them.
pub(super) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// How long the coordinator lets a transaction stand open whose writer is gone. In seconds: 15.
/// Readers of the partition wait that long at most, or until it is claimed.
const TRANSACTION_MAX: Duration = Duration::from_secs(15);

/// How long a record may take to be taken by enough replicas. In seconds: 10.
const DELIVERY_MAX: Duration = Duration::from_secs(10);

/// How long a single request may take. In seconds: 5.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// How long a connection of a producer may rest before the client itself closes it. In seconds: 45.
///
/// One that is lost after more than 60 s of rest the client does not mention, yet if two are, it does not
/// mention the next one within 30 s either, with which the end of a transaction may be lost. The brokers
/// close one after 10 minutes, and what is between here and there sooner. One that the client closes by
/// itself is closed for another reason, so the next is mentioned. A new producer after each rest would do
/// too, but whoever was paused, and is no owner any more, would fence the one that is.
const REST_MAX: Duration = Duration::from_secs(45);

/// How long a broker holds back a fetch for which it has nothing yet. In milliseconds: 100, since
/// a partition that is added to a consumer waits for the fetch under way.
const FETCH_WAIT_MS: u64 = 100;

/// How often a member says that it is there, and hears that partitions are to move. In
/// milliseconds: 200.
const HEARTBEAT: Duration = Duration::from_millis(200);

/// How much longer than a session the group waits for a member that does not join anew. In seconds:
/// 20.
const JOINED_MAX: Duration = Duration::from_secs(20);

/// How often a consumer looks who leads its partitions, although nobody has said that somebody else does.
/// In seconds: 10. A broker that is cut off from its controllers goes on answering as the leader it was.
const LEADERS_AGAIN: Duration = Duration::from_secs(10);

/// How much of one partition is fetched ahead of whoever reads it alone, at most. In KiB: 1 MiB, and
/// what one fetch brings on top.
pub(super) const AHEAD_KIB: usize = 1024;

/// How much of one partition a fetch brings, packed as it is stored. In bytes: 256 KiB; a batch
/// that is larger comes whole, and by itself.
const FETCH_BYTES: usize = 256 * 1024;

/// A Kafka cluster and the topics on it that make up one log.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// Brokers to ask for the others, `host:port` separated by commas.
    pub bootstrap: String,
    /// What the names of the log's topics, transactional ids and group begin with.
    pub prefix: String,
    /// On how many brokers every record must be kept.
    pub replication: u32,
    /// How long a process may be silent before its partitions are given to others. No less than
    /// the brokers' `group.min.session.timeout.ms` (6 s unless they say otherwise) and no more
    /// than their `group.max.session.timeout.ms`. See [`SESSION_TIMEOUT`].
    pub session_timeout: Duration,
    /// How connections are protected.
    pub security: Security,
}

/// What [`KafkaConfig::session_timeout`] should be. In seconds: 10. Shorter, and a pause of the
/// process or of the network moves its partitions; longer, and those of a process that died stay
/// unserved.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How connections to the brokers are protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all: for a machine of one's own.
    Plaintext,
    /// Encrypted; the clients prove who they are if they have a certificate.
    Tls(Tls),
    /// With a user and a password, encrypted or not.
    Sasl {
        /// The encryption below; none is for a machine of one's own.
        tls: Option<Tls>,
        /// How the password is proved.
        mechanism: Mechanism,
        /// Who connects.
        user: String,
        /// The password of that user.
        password: Password,
    },
}

/// Certificates for encrypted connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates, PEM, that brokers are checked against; those of the system if none.
    pub authorities: Option<PathBuf>,
    /// A certificate and its key, PEM, with which the clients prove who they are.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How a password is proved to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password is sent as it is.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

/// A password, which does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes a password over.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

impl KafkaConfig {
    /// The topic of the events.
    pub(super) fn events(&self) -> String {
        format!("{}events", self.prefix)
    }

    /// The topic of the snapshots.
    pub(super) fn snapshots(&self) -> String {
        format!("{}snapshots", self.prefix)
    }

    /// The topic of records that only prove that their writer may write. Nobody reads it.
    pub(super) fn barriers(&self) -> String {
        format!("{}barriers", self.prefix)
    }

    /// The topic that says who the log is, and who owns what.
    pub(super) fn owners(&self) -> String {
        format!("{}owners", self.prefix)
    }

    /// The group of the processes that own partitions.
    pub(super) fn group(&self) -> String {
        format!("{}owners", self.prefix)
    }

    /// What every client is made with.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", format!("{}callboard", self.prefix))
            .set("socket.timeout.ms", millis(REQUEST_MAX))
            .set("socket.keepalive.enable", "true")
            // A topic that was deleted must not come back as another one.
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
            .set_log_level(RDKafkaLogLevel::Info);
        self.security.apply(&mut config);
        config
    }

    /// What the names of members in the group begin with, before what they say of themselves.
    pub(super) fn introduction(&self) -> String {
        format!("{}callboard ", self.prefix)
    }

    /// What the one producer with this transactional id is made with.
    pub(super) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", millis(TRANSACTION_MAX))
            .set("message.timeout.ms", millis(DELIVERY_MAX))
            // Set again, or it becomes nearly as long as a transaction may be.
            .set("socket.timeout.ms", millis(REQUEST_MAX))
            .set("connections.max.idle.ms", millis(REST_MAX))
            // Nothing is sent before the partition is part of the transaction, so the records of
            // a batch gather by themselves.
            .set("linger.ms", "0")
            .set("batch.num.messages", "100000")
            .set("compression.type", "zstd")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", (128 * 1024).to_string());
        config
    }

    /// What a consumer that follows partitions is made with, each of them so many KiB ahead of its
    /// reader at most.
    pub(super) fn follower(&self, ahead_kib: usize) -> ClientConfig {
        let mut config = self.consumer();
        config
            .set("fetch.wait.max.ms", FETCH_WAIT_MS.to_string())
            .set("queued.max.messages.kbytes", ahead_kib.to_string());
        config
    }

    /// What a consumer that reads up to an end is made with.
    pub(super) fn scanner(&self) -> ClientConfig {
        let mut config = self.consumer();
        config.set("fetch.wait.max.ms", "10").set("enable.partition.eof", "true");
        config
    }

    /// What a member of the group of owners is made with. It has no name that outlives it, so that
    /// its leaving is known at once, and it fetches nothing.
    pub(super) fn member(&self, says: &str) -> ClientConfig {
        let mut config = self.client();
        config
            // The only thing of a member's own that the group shows to all.
            .set("client.id", format!("{}{says}", self.introduction()))
            .set("group.id", self.group())
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(self.session_timeout))
            .set("heartbeat.interval.ms", millis(HEARTBEAT))
            .set("max.poll.interval.ms", millis(self.session_timeout + JOINED_MAX))
            // How it is known that all are joining anew.
            .set("statistics.interval.ms", millis(self.session_timeout / 4))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest")
            .set("queued.min.messages", "1")
            .set("fetch.message.max.bytes", "1024");
        config
    }

    /// What a client is made with that asks the coordinator of the group of owners, and is none of
    /// its members.
    pub(super) fn asker(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("group.id", self.group()).set("enable.auto.commit", "false");
        config
    }

    fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            // Nothing is ever committed to it; partitions can only be assigned with one.
            .set("group.id", format!("{}readers", self.prefix))
            .set("topic.metadata.refresh.interval.ms", millis(LEADERS_AGAIN))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("fetch.message.max.bytes", FETCH_BYTES.to_string())
            .set("fetch.max.bytes", (8 * MESSAGE_BYTES_MAX).to_string())
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", AHEAD_KIB.to_string())
            .set("fetch.queue.backoff.ms", "5");
        config
    }
}

impl Security {
    fn apply(&self, config: &mut ClientConfig) {
        let (protocol, tls) = match self {
            Self::Plaintext => ("plaintext", None),
            Self::Tls(tls) => ("ssl", Some(tls)),
            Self::Sasl { tls: None, .. } => ("sasl_plaintext", None),
            Self::Sasl { tls: Some(tls), .. } => ("sasl_ssl", Some(tls)),
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = tls {
            tls.apply(config);
        }
        if let Self::Sasl { mechanism, user, password, .. } = self {
            config
                .set("sasl.mechanism", mechanism.name())
                .set("sasl.username", user)
                .set("sasl.password", &password.0);
        }
    }
}

impl Tls {
    fn apply(&self, config: &mut ClientConfig) {
        config.set("ssl.endpoint.identification.algorithm", "https");
        if let Some(authorities) = &self.authorities {
            config.set("ssl.ca.location", authorities.to_string_lossy());
        }
        if let Some((certificate, key)) = &self.identity {
            config
                .set("ssl.certificate.location", certificate.to_string_lossy())
                .set("ssl.key.location", key.to_string_lossy());
        }
    }
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
