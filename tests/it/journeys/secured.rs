//! Brokers and a database that are reached over TLS alone, each with an authority of its own: the
//! whole program on them, and what it says where something does not fit.

mod on_kafka {
    use std::path::{Path, PathBuf};

    use serde_json::{Value, json};
    use xtask::services::Purpose;
    use xtask::services::kafka::{Cluster, Plan, Secured};
    use xtask::services::postgres::{Certificate, Server};

    use crate::harness::{Installation, kafka_distribution, postgres_binaries};

    const PASSWORD: &str = "opensesame";

    /// Certificates of an authority of its own, for this machine.
    struct Authority {
        /// The authority's.
        pem: PathBuf,
        certificate: String,
        key: String,
    }

    impl Authority {
        fn new(installation: &Installation, name: &str) -> Self {
            let folder = installation.home().join(name);
            let shown = folder.display().to_string();
            installation.run(&["cluster", "certificates", &shown, "127.0.0.1"]).text();
            let read =
                |name: &str| std::fs::read_to_string(folder.join(name)).expect("it was made");
            Self {
                pem: folder.join("authority.pem"),
                certificate: read("127.0.0.1.pem"),
                key: read("127.0.0.1.key"),
            }
        }
    }

    /// The services, and settings that fit them.
    struct Place {
        kafka: Cluster,
        postgres: Server,
        authorities: [Authority; 2],
        home: Installation,
    }

    impl Place {
        fn start() -> Option<Self> {
            let (distribution, binaries) = (kafka_distribution()?, postgres_binaries()?);
            let home = Installation::new();
            let [brokers, database] = ["brokers", "database"].map(|it| Authority::new(&home, it));
            let secured = Secured {
                certificate: brokers.certificate.clone(),
                key: brokers.key.clone(),
                user: "callboard".to_owned(),
                password: PASSWORD.to_owned(),
            };
            let kafka = Plan::new(1).with_secured(secured).start(&distribution);
            let Authority { certificate, key, .. } = &database;
            let certificate = Certificate { certificate: certificate.clone(), key: key.clone() };
            let postgres = Server::start_encrypted(&binaries, Purpose::Tests, &certificate);
            std::fs::write(home.home().join("password"), PASSWORD).expect("a file can be written");
            Some(Self {
                kafka: kafka.expect("a cluster starts"),
                postgres: postgres.expect("a server starts"),
                authorities: [brokers, database],
                home,
            })
        }

        /// The address of the database, which is checked against this authority.
        fn database(&self, authority: &Path) -> String {
            let (url, authority) = (self.postgres.url(), authority.display());
            format!("{url}?sslmode=verify-full&sslrootcert={authority}")
        }

        fn installation(&self) -> Installation {
            let [brokers, database] = &self.authorities;
            let password = self.home.home().join("password");
            Installation::new()
                .with("CALLBOARD_LOG_KIND", "kafka")
                .with("CALLBOARD_LOG_KAFKA_BOOTSTRAP", self.kafka.secured())
                .with("CALLBOARD_LOG_KAFKA_REPLICATION", "1")
                .with("CALLBOARD_LOG_KAFKA_SECURITY", "sasl_tls")
                .with("CALLBOARD_LOG_KAFKA_AUTHORITIES_FILE", brokers.pem.display().to_string())
                .with("CALLBOARD_LOG_KAFKA_USER", "callboard")
                .with("CALLBOARD_LOG_KAFKA_PASSWORD_FILE", password.display().to_string())
                .with("CALLBOARD_STORAGE_VAULT", "postgresql")
                .with("CALLBOARD_STORAGE_READ_MODELS", "postgresql")
                .with("CALLBOARD_STORAGE_POSTGRESQL_URL", self.database(&database.pem))
        }
    }

    /// What a command says on standard error that must fail.
    #[track_caller]
    fn refused(installation: &Installation, arguments: &[&str], with: &str) {
        let ran = installation.run(arguments);
        assert_ne!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(with), "expected `{with}` in {}", ran.stderr);
        assert!(!ran.stderr.contains(PASSWORD), "{}", ran.stderr);
    }

    #[tokio::test]
    async fn the_whole_program_runs_over_tls_with_a_password() {
        let Some(place) = Place::start() else { return };
        let installation = place.installation();
        installation.run(&["kafka", "init", "--partitions", "2"]).text();
        let server = installation.up().await;
        installation.create_tenant("vault");
        let api = server.api(&installation.token("vault"));
        let rename = "mutation { renameTenant(name: \"Behind locks\") {
            outcome { position } userErrors { message } } }";
        let renamed = api.graphql(rename, Value::Null).await["renameTenant"].clone();
        assert_eq!(renamed["userErrors"], json!([]));
        let position = renamed["outcome"]["position"].as_str().expect("a position");
        let read = api.graphql_at(position, "{ tenant { name } }", Value::Null).await;
        assert_eq!(read["tenant"]["name"], "Behind locks");
        server.stop().await;

        let [brokers, database] = &place.authorities;
        let others = database.pem.display().to_string();
        let wrong = place.installation().with("CALLBOARD_LOG_KAFKA_AUTHORITIES_FILE", others);
        refused(&wrong, &["kafka", "init", "--check"], "`log.kafka.authorities_file`");
        refused(&wrong, &["up"], "`log.kafka.authorities_file`");
        let wrong = place.installation().with("CALLBOARD_LOG_KAFKA_USER", "somebody");
        refused(&wrong, &["up"], "`log.kafka.user`");
        let wrong = place.installation().with("CALLBOARD_LOG_KAFKA_SECURITY", "plaintext");
        refused(&wrong, &["up"], "`log.kafka.security`");
        let missing = place.installation().with("CALLBOARD_LOG_KAFKA_AUTHORITIES_FILE", "/nowhere");
        refused(&missing, &["up"], "could not read `log.kafka.authorities_file` at `/nowhere`");

        // The database proves who it is as well, and takes nobody who does not encrypt.
        let url = place.database(&brokers.pem);
        let wrong = place.installation().with("CALLBOARD_STORAGE_POSTGRESQL_URL", url);
        refused(&wrong, &["up"], "`storage.postgresql.url`");
        let url = format!("{}?sslmode=disable", place.postgres.url());
        let wrong = place.installation().with("CALLBOARD_STORAGE_POSTGRESQL_URL", url);
        refused(&wrong, &["up"], "`storage.postgresql.url`");
    }
}
