//! Two processes on one log and one database, each with a folder and addresses of its own.

use std::path::PathBuf;

use outbound::PeerIdentity;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::{Installation, free_address, given_kafka, given_postgres};

/// What the processes of a cluster run on.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// The brokers as each of the two processes knows them.
    pub(crate) bootstraps: [String; 2],
    /// On how many brokers every record is kept.
    pub(crate) replication: usize,
    /// The address of a database server, as a user that may do everything.
    pub(crate) postgres: String,
}

impl Ground {
    /// The services of this run; none where there are none.
    pub(crate) fn given() -> Option<Self> {
        let (bootstrap, postgres) = (given_kafka()?, given_postgres()?);
        Some(Self { bootstraps: [bootstrap.clone(), bootstrap], replication: 1, postgres })
    }
}

/// Two processes' worth of settings, folders and addresses.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) first: Installation,
    pub(crate) second: Installation,
    /// Where they reach each other.
    pub(crate) peers: [String; 2],
    /// What the names of its topics begin with.
    pub(crate) prefix: String,
    /// The address of its database, as a user that may do everything.
    pub(crate) database: String,
    certificates: PathBuf,
}

impl Cluster {
    /// On topics, a database and an authority of its own, with four partitions.
    pub(crate) async fn on(ground: &Ground) -> Self {
        Self::of(ground, 4).await
    }

    /// The same with so many partitions.
    pub(crate) async fn of(ground: &Ground, partitions: u32) -> Self {
        let name = format!("cluster_{}", Uuid::now_v7().simple());
        let database = database(&ground.postgres, &name).await;
        let first = Installation::new();
        let certificates = first.home().join("certificates");
        let shown = certificates.display().to_string();
        first.run(&["cluster", "certificates", &shown, "127.0.0.1"]).text();
        let root_key = first.home().join("root.key").display().to_string();
        let peers = [(); 2].map(|()| free_address().to_string());
        let prefix = format!("{name}.");
        let with = |installation: Installation, which: usize| {
            let file = |name: &str| certificates.join(name).display().to_string();
            installation
                .with("CALLBOARD_LOG_KIND", "kafka")
                .with("CALLBOARD_LOG_KAFKA_BOOTSTRAP", &ground.bootstraps[which])
                .with("CALLBOARD_LOG_KAFKA_PREFIX", &prefix)
                .with("CALLBOARD_LOG_KAFKA_REPLICATION", ground.replication.to_string())
                .with("CALLBOARD_STORAGE_ROOT_KEY_FILE", &root_key)
                .with("CALLBOARD_STORAGE_VAULT", "postgresql")
                .with("CALLBOARD_STORAGE_READ_MODELS", "postgresql")
                .with("CALLBOARD_STORAGE_POSTGRESQL_URL", &database)
                .with("CALLBOARD_STORAGE_POSTGRESQL_READER_ROLE", format!("{name}_reader"))
                .with("CALLBOARD_CLUSTER_LISTEN", &peers[which])
                .with("CALLBOARD_CLUSTER_AUTHORITIES_FILE", file("authority.pem"))
                .with("CALLBOARD_CLUSTER_CERTIFICATE_FILE", file("127.0.0.1.pem"))
                .with("CALLBOARD_CLUSTER_KEY_FILE", file("127.0.0.1.key"))
                // Where both run on few processors, a reader may wait for its turn.
                .with("CALLBOARD_HTTP_VISIBILITY_WAIT_MS", "30000")
        };
        let (first, second) = (with(first, 0), with(Installation::new(), 1));
        first.run(&["kafka", "init", "--partitions", &partitions.to_string()]).text();
        Self { first, second, peers, prefix, database, certificates }
    }

    /// The same with a setting of both, named as in the environment.
    pub(crate) fn with(self, name: &'static str, value: &str) -> Self {
        let (first, second) = (self.first.with(name, value), self.second.with(name, value));
        Self { first, second, ..self }
    }

    /// One more process, like the second.
    pub(crate) fn third(&self) -> Installation {
        self.second.like().with("CALLBOARD_CLUSTER_LISTEN", free_address().to_string())
    }

    /// What a process of the cluster proves with that it is one.
    pub(crate) fn identity(&self) -> PeerIdentity {
        let read = |name: &str| std::fs::read(self.certificates.join(name)).expect("it was made");
        PeerIdentity {
            authorities: read("authority.pem"),
            certificate: read("127.0.0.1.pem"),
            key: read("127.0.0.1.key"),
        }
    }
}

/// The address of a new database beside the one at `url`.
pub(crate) async fn database(url: &str, name: &str) -> String {
    let mut connection = PgConnection::connect(url).await.expect("it lets us in");
    let create = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.expect("it obeys");
    let mut url: url::Url = url.parse().expect("an address");
    url.set_path(name);
    url.into()
}
