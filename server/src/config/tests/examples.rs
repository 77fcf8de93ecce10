//! The examples in `deploy/config`: each is complete, and says what its stage needs.

use std::path::Path;

use event_log::kafka::{Mechanism, Security};

use super::super::*;
use super::variables;

const EXAMPLES: [(&str, &str); 3] = [
    ("development.toml", include_str!("../../../../deploy/config/development.toml")),
    ("staging.toml", include_str!("../../../../deploy/config/staging.toml")),
    ("production.toml", include_str!("../../../../deploy/config/production.toml")),
];

/// The settings of an example, with the files it names in `folder`.
fn load(name: &str, text: &str, folder: &Path) -> Result<Config> {
    let file = |name: &str| {
        let path = folder.join(name);
        std::fs::write(&path, "postgres://callboard@db/callboard").unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut files = vec![
        ("CALLBOARD_STORAGE_POSTGRESQL_URL_FILE", file("url")),
        ("CALLBOARD_CLUSTER_AUTHORITIES_FILE", file("authority.pem")),
        ("CALLBOARD_CLUSTER_CERTIFICATE_FILE", file("node.pem")),
        ("CALLBOARD_CLUSTER_KEY_FILE", file("node.key")),
        ("CALLBOARD_LOG_KAFKA_AUTHORITIES_FILE", file("ca.pem")),
        ("CALLBOARD_LOG_KAFKA_PASSWORD_FILE", file("password")),
    ];
    if name == "development.toml" {
        // As in compose.yaml.
        files.push(("CALLBOARD_CLUSTER_ADDRESS", "node-1:7421".to_owned()));
    }
    let set: Vec<_> = files.iter().map(|(name, path)| (*name, path.as_str())).collect();
    Config::layered(Some((name, text)), variables(&set))
}

#[test]
fn every_example_is_complete_and_refused_with_a_key_that_does_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in EXAMPLES {
        let config = load(name, text, folder.path()).unwrap();
        config.log.kafka.cluster().unwrap();
        config.storage.tables("models".into()).unwrap();
        config.storage.postgresql.url("vault").unwrap();
        let membership = config.membership().unwrap().unwrap();
        assert!(membership.address.ends_with(":7421"), "{name}: {}", membership.address);
        assert_eq!(config.log.kind, LogKind::Kafka, "{name}");
        assert_eq!(config.storage.vault, StorageKind::Postgresql, "{name}");
        assert_eq!(config.storage.read_models, StorageKind::Postgresql, "{name}");
        assert!(!config.storage.root_key_file.as_os_str().is_empty(), "{name}");

        let unknown = text.replace("[http]", "[http]\nlissen = \"x\"");
        let refused = format!("{:#}", load(name, &unknown, folder.path()).unwrap_err());
        let complaint = format!("in `{name}`: unknown setting `http.lissen`");
        assert!(refused.contains(&complaint), "{refused}");
    }
}

#[test]
fn an_example_says_nothing_that_holds_without_it() {
    fn same(defaults: &Table, layer: &Table, path: &str, found: &mut Vec<String>) {
        for (key, value) in layer {
            let path = format!("{path}.{key}");
            match (defaults.get(key), value) {
                (Some(Value::Table(defaults)), Value::Table(layer)) => {
                    same(defaults, layer, &path, found);
                }
                (Some(default), value) if default == value => found.push(path),
                _ => {}
            }
        }
    }
    let defaults: Table = DEFAULTS.parse().unwrap();
    // Said all the same, since so much depends on them.
    let told = [".environment", ".log.kafka.replication", ".log.kafka.mechanism"];
    for (name, text) in EXAMPLES {
        let mut found = Vec::new();
        same(&defaults, &text.parse().unwrap(), "", &mut found);
        found.retain(|it| !told.contains(&it.as_str()));
        assert_eq!(found, [""; 0], "{name}");
    }
}

#[test]
fn what_serves_others_keeps_every_record_three_times_and_talks_to_brokers_over_tls_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in &EXAMPLES[1..] {
        let config = load(name, text, folder.path()).unwrap();
        assert_eq!(config.environment, Environment::Production, "{name}");
        let kafka = config.log.kafka.cluster().unwrap();
        assert_eq!((kafka.replication, kafka.bootstrap.split(',').count()), (3, 3), "{name}");
        let Security::Sasl { tls: Some(tls), mechanism, .. } = kafka.security else {
            panic!("{name}: {:?}", kafka.security)
        };
        assert!(tls.authorities.is_some(), "{name}");
        assert_eq!(mechanism, Mechanism::ScramSha512, "{name}");
        let database = text.lines().find(|it| it.starts_with("# postgres://")).unwrap();
        assert!(database.contains("sslmode=verify-full"), "{name}: {database}");
    }
    let (_, production) = EXAMPLES[2];
    for asked in ["min.insync.replicas=2", "unclean.leader.election.enable=false"] {
        assert!(production.contains(asked), "{asked}");
    }
}
