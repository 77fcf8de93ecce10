//! Brokers that are reached over TLS and want a password: a log on them, and what is said where
//! something does not fit.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use xtask::services::kafka::{Cluster, Plan, Secured};

use crate::conformance::{TENANT, record};
use crate::kafka::tests::cluster;
use crate::kafka::{KafkaConfig, KafkaLog, Mechanism, Password, Security, Tls, check, init};
use crate::port::{EventLog, Partition, Position};

const PARTITION: Partition = Partition(0);

/// Whom the brokers know.
pub(super) const USER: &str = "callboard";

/// An authority and its certificate in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A certificate whose issuer has its own name passes for self-signed.
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(parameters, key).unwrap();
        let file = folder.join(name);
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// What brokers on this machine prove with who they are.
    fn secured(&self) -> Secured {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        let (user, password) = (USER.to_owned(), "opensesame".to_owned());
        Secured { certificate, key: key.serialize_pem(), user, password }
    }
}

/// A cluster with an authority of its own, and another authority that nobody is of.
pub(super) struct Place {
    pub(super) cluster: Cluster,
    own: Authority,
    other: Authority,
    _folder: TempDir,
}

impl Place {
    pub(super) fn start(plan: Plan) -> Option<Self> {
        let distribution = cluster::distribution()?;
        let folder = TempDir::new().unwrap();
        let own = Authority::new(folder.path(), "own.pem");
        let other = Authority::new(folder.path(), "other.pem");
        let cluster = plan.with_secured(own.secured()).start(&distribution).unwrap();
        Some(Self { cluster, own, other, _folder: folder })
    }

    /// As whom everything fits to.
    pub(super) fn fitting(&self) -> KafkaConfig {
        self.config(Mechanism::ScramSha512, &self.own, "opensesame")
    }

    fn config(&self, mechanism: Mechanism, authority: &Authority, password: &str) -> KafkaConfig {
        let tls = Tls { authorities: Some(authority.file.clone()), identity: None };
        let security = Security::Sasl {
            tls: Some(tls),
            mechanism,
            user: USER.to_owned(),
            password: Password::new(password.to_owned()),
        };
        KafkaConfig { security, ..cluster::somewhere(self.cluster.secured()) }
    }
}

/// Makes a log, claims a partition, writes to it and reads what was written.
async fn works(config: KafkaConfig) {
    let made = init(&config, 2).await.unwrap();
    assert_eq!(made.partitions, 2);
    let log = KafkaLog::open(config).await.unwrap();
    let mut writer = log.claim(PARTITION).await.unwrap();
    let records = [record(TENANT, 1, "1/2"), record(TENANT, 2, "2/2")];
    writer.append(records.to_vec()).await.unwrap();
    let mut reader = log.read(PARTITION, Position::START).await.unwrap();
    let mut read = Vec::new();
    while read.len() < 2 {
        read.extend(reader.next(10).await.unwrap().into_iter().map(|it| it.record));
    }
    assert_eq!(read, records);
    assert!(log.join("a test").await.is_ok(), "the group of owners can be joined");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_kept_over_tls_with_a_password_and_what_does_not_fit_is_named() {
    let Some(place) = Place::start(Plan::new(1)) else { return };
    let (scram, plain) = (Mechanism::ScramSha512, Mechanism::Plain);
    for mechanism in [scram, plain] {
        works(place.config(mechanism, &place.own, "opensesame")).await;
    }
    let right = place.config(scram, &place.own, "opensesame");
    let tls = Tls { authorities: Some(place.own.file.clone()), identity: None };
    let open = cluster::somewhere(place.cluster.bootstrap());
    let wrong = [
        ("`log.kafka.authorities_file`", place.config(scram, &place.other, "opensesame")),
        ("`log.kafka.password_file`", place.config(scram, &place.own, "guessed")),
        ("`log.kafka.password_file`", place.config(plain, &place.own, "guessed")),
        ("`log.kafka.mechanism`", place.config(Mechanism::ScramSha256, &place.own, "opensesame")),
        ("`log.kafka.security`", KafkaConfig { security: Security::Plaintext, ..right.clone() }),
        ("`log.kafka.security`", KafkaConfig { security: Security::Tls(tls), ..open }),
        ("`log.kafka.bootstrap`", KafkaConfig { bootstrap: "127.0.0.1:1".to_owned(), ..right }),
    ];
    let asked = wrong.into_iter().map(|(setting, config)| async move {
        let error = check(&config).await.unwrap_err().to_string();
        assert!(error.contains(setting), "expected {setting} in: {error}");
        assert!(!error.contains("guessed") && !error.contains("opensesame"), "{error}");
    });
    futures::future::join_all(asked).await;
}
