use super::*;

mod examples;

fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect::<Vec<_>>()
        .into_iter()
}

#[track_caller]
fn refused(file: Option<&str>, pairs: &[(&str, &str)], with: &str) {
    let file = file.map(|text| ("my.toml", text));
    let error = format!("{:#}", Config::layered(file, variables(pairs)).unwrap_err());
    assert!(error.contains(with), "expected `{with}` in `{error}`");
}

#[test]
fn the_defaults_are_complete_and_for_development() {
    let config = Config::layered(None, variables(&[])).unwrap();
    assert_eq!(config.environment, Environment::Development);
    assert!(config.http.listen.ip().is_loopback());
}

#[test]
fn the_file_overrides_the_defaults_and_the_environment_the_file() {
    let file = Some(("my.toml", "[http]\nlisten = \"127.0.0.1:1\"\nbody_bytes_max = 5000\n"));
    let set = [("CALLBOARD_HTTP_LISTEN", "127.0.0.1:2"), ("CALLBOARD_ENVIRONMENT", "production")];
    let config = Config::layered(file, variables(&set)).unwrap();
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!(config.http.body_bytes_max, 5000);
    assert_eq!(config.environment, Environment::Production);
}

#[test]
fn an_address_that_is_shown_names_nobody_who_may_come_in() {
    let set = |address| [("CALLBOARD_TELEMETRY_OTLP_ENDPOINT", address)];
    for address in ["https://me:secret@collector", "https://me@collector:4318/x", "me:secret@host"]
    {
        refused(None, &set(address), "OTEL_EXPORTER_OTLP_HEADERS");
        let error = Config::layered(None, variables(&set(address))).unwrap_err();
        assert!(!format!("{error:#}").contains("secret"), "{error:#}");
    }
    for address in ["", "https://collector:4318", "https://collector/a@b"] {
        Config::layered(None, variables(&set(address))).unwrap();
    }
}

#[test]
fn a_number_that_cannot_work_is_refused_with_what_it_may_be() {
    for (variable, value, with) in [
        ("LOG_PARTITIONS", "0", "expected `log.partitions` to be from 1 to 256, got 0"),
        ("LOG_PARTITIONS", "100000", "expected `log.partitions` to be from 1 to 256, got 100000"),
        ("LOG_SEGMENT_BYTES", "0", "`log.segment_bytes` to be from 1048576 to 4294967296, got 0"),
        ("HTTP_BODY_BYTES_MAX", "0", "`http.body_bytes_max` to be from 1024 to 1073741824, got 0"),
        ("HTTP_CONNECTIONS_MAX", "0", "`http.connections_max` to be from 1 to 1000000, got 0"),
        ("HTTP_HEAD_TIME_MAX_MS", "0", "`http.head_time_max_ms` to be from 1 to 3600000, got 0"),
        ("HTTP_IDLE_TIME_MAX_MS", "0", "`http.idle_time_max_ms` to be from 1 to 3600000, got 0"),
        ("GRAPHQL_DEPTH_MAX", "0", "`graphql.depth_max` to be from 1 to 128, got 0"),
        ("COMMANDS_WAITING_PER_TENANT_MAX", "0", "`commands.waiting_per_tenant_max` to be from 1"),
        ("COMMANDS_SNAPSHOT_EVERY_EVENTS", "0", "`commands.snapshot_every_events` to be from 1"),
        ("READS_CONNECTIONS_MAX", "0", "`reads.connections_max` to be from 1 to 1000, got 0"),
        ("READS_TIME_MAX_MS", "-1", "`reads.time_max_ms` to be from 1 to 3600000, got -1"),
        ("TOKENS_LIFETIME_SECONDS", "86401", "`tokens.lifetime_seconds` to be from 1 to 86400"),
    ] {
        refused(None, &[(&format!("CALLBOARD_{variable}"), value)], with);
    }
    refused(Some("[log]\npartitions = 0\n"), &[], "in `my.toml`: expected `log.partitions`");
}

#[test]
fn a_setting_that_does_not_exist_or_fit_is_named_with_its_source() {
    refused(Some("[http]\nlissen = \"x\"\n"), &[], "in `my.toml`: unknown setting `http.lissen`");
    refused(Some("[http]\nlisten = 7\n"), &[], "expected `http.listen` to be of type string");
    refused(None, &[("CALLBOARD_HTTP_LISSEN", "x")], "`CALLBOARD_HTTP_LISSEN`: unknown setting");
    refused(None, &[("CALLBOARD_LOG_PARTITIONS", "x")], "expected a number, got `x`");
    let address = "expected `http.listen` to be an address and a port like `127.0.0.1:7420`";
    let everybody = [("CALLBOARD_HTTP_TRUSTED_PROXIES", "10.0.0.7,0.0.0.0/0")];
    refused(None, &everybody, "`http.trusted_proxies`: expected addresses or networks of proxies");
    let got = format!("{address}, got `nowhere`");
    refused(None, &[("CALLBOARD_HTTP_LISTEN", "nowhere")], &got);
}

#[test]
fn the_command_lines_own_variables_are_not_settings() {
    Config::layered(None, variables(&[("CALLBOARD_CONFIG", "my.toml")])).unwrap();
    for nobodys in ["CALLBOARD_TOKEN", "CALLBOARD_SERVER"] {
        refused(None, &[(nobodys, "secret")], "unknown setting");
    }
}

#[test]
fn a_section_within_a_section_can_be_set_by_the_environment() {
    let file = Some(("my.toml", "[log.kafka]\nbootstrap = \"a:1\"\nprefix = \"mine.\"\n"));
    let set = [("CALLBOARD_LOG_KIND", "kafka"), ("CALLBOARD_LOG_KAFKA_BOOTSTRAP", "b:2")];
    let config = Config::layered(file, variables(&set)).unwrap();
    assert_eq!(config.log.kind, LogKind::Kafka);
    let kafka = config.log.kafka.cluster().unwrap();
    assert_eq!((kafka.bootstrap.as_str(), kafka.prefix.as_str()), ("b:2", "mine."));
    refused(None, &[("CALLBOARD_LOG_KAFKA", "x")], "unknown setting");
    refused(None, &[("CALLBOARD_LOG_KAFKA_BROKERS", "x")], "unknown setting");
    refused(None, &[("CALLBOARD_LOG_KIND", "paper")], "unknown variant `paper`");
}

#[test]
fn a_password_comes_from_a_file_or_the_environment_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, "from a file\n").unwrap();
    let sasl = ("CALLBOARD_LOG_KAFKA_SECURITY", "sasl_tls");
    let user = ("CALLBOARD_LOG_KAFKA_USER", "ali");
    let file = ("CALLBOARD_LOG_KAFKA_PASSWORD_FILE", path.to_str().unwrap());
    let given = ("CALLBOARD_LOG_KAFKA_PASSWORD", "open sesame");
    for (set, password) in
        [([sasl, user, file], "from a file"), ([sasl, user, given], "open sesame")]
    {
        let config = Config::layered(None, variables(&set)).unwrap();
        let cluster = config.log.kafka.cluster().unwrap();
        let event_log::kafka::Security::Sasl { password: found, .. } = &cluster.security else {
            panic!("{cluster:?}")
        };
        assert_eq!(*found, event_log::kafka::Password::new(password.to_owned()));
        for shown in [format!("{config:?}{cluster:?}"), toml::to_string(&config).unwrap()] {
            assert!(!shown.contains(password), "{shown}");
        }
    }
    let cluster = |set: &[(&str, &str)]| {
        let config = Config::layered(None, variables(set)).unwrap();
        format!("{:#}", config.log.kafka.cluster().unwrap_err())
    };
    assert!(cluster(&[sasl, given]).contains("`log.kafka.user`"));
    assert!(cluster(&[sasl, user]).contains("`log.kafka.password_file`"));
    assert!(cluster(&[sasl, user, file, given]).contains("both"));
    let certificate = ("CALLBOARD_LOG_KAFKA_CERTIFICATE_FILE", "x");
    let tls = ("CALLBOARD_LOG_KAFKA_SECURITY", "tls");
    assert!(cluster(&[tls, certificate]).contains("`log.kafka.key_file`"));
}

#[test]
fn the_database_is_named_only_where_it_is_needed_and_its_address_never_shown() {
    let url = "postgres://me:hush@db/callboard";
    let tables = |pairs: &[(&str, &str)]| {
        let config = Config::layered(None, variables(pairs)).unwrap();
        let shown = format!("{config:?} {}", toml::to_string(&config).unwrap());
        assert!(!shown.contains("hush"), "{shown}");
        config.storage.tables("models".into()).map_err(|it| format!("{it:#}"))
    };
    let read_models = ("CALLBOARD_STORAGE_READ_MODELS", "postgresql");
    let given = ("CALLBOARD_STORAGE_POSTGRESQL_URL", url);
    assert!(matches!(tables(&[given]), Ok(projections::Tables::Folder(_))));
    assert!(matches!(tables(&[read_models, given]), Ok(projections::Tables::Postgres(_))));
    let missing = tables(&[read_models]).unwrap_err();
    assert!(missing.contains("CALLBOARD_STORAGE_POSTGRESQL_URL"), "{missing}");
    let file = ("CALLBOARD_STORAGE_POSTGRESQL_URL_FILE", "/nowhere/url");
    let unread = tables(&[read_models, file]).unwrap_err();
    assert!(unread.contains("could not read `storage.postgresql.url_file`"), "{unread}");
    assert!(tables(&[read_models, given, file]).unwrap_err().contains("set one"));
    refused(None, &[("CALLBOARD_STORAGE_VAULT", "mysql")], "unknown variant `mysql`");
}

#[test]
fn a_process_that_is_one_of_several_says_how_it_is_reached_and_proves_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.pem");
    std::fs::write(&path, "hush").unwrap();
    let file = path.to_str().unwrap();
    let complete = [
        ("CALLBOARD_CLUSTER_LISTEN", "127.0.0.1:7421"),
        ("CALLBOARD_LOG_KIND", "kafka"),
        ("CALLBOARD_STORAGE_VAULT", "postgresql"),
        ("CALLBOARD_CLUSTER_AUTHORITIES_FILE", file),
        ("CALLBOARD_CLUSTER_CERTIFICATE_FILE", file),
        ("CALLBOARD_CLUSTER_KEY_FILE", file),
    ];
    let membership = |changed: &[(&str, &str)]| {
        let set = [&complete[..], changed].concat();
        let config = Config::layered(None, variables(&set)).unwrap();
        config.membership().map_err(|it| format!("{it:#}"))
    };
    let address = |changed: &[(&str, &str)]| membership(changed).unwrap().unwrap().address;
    assert_eq!(address(&[]), "127.0.0.1:7421");
    let named = ("CALLBOARD_CLUSTER_ADDRESS", "node-1.internal:7421");
    let anywhere = ("CALLBOARD_CLUSTER_LISTEN", "0.0.0.0:7421");
    assert_eq!(address(&[anywhere, named]), "node-1.internal:7421");
    assert!(!format!("{:?}", membership(&[])).contains("hush"));
    assert!(membership(&[("CALLBOARD_CLUSTER_LISTEN", "")]).unwrap().is_none(), "alone on Kafka");
    for (changed, with) in [
        (("CALLBOARD_LOG_KIND", "embedded"), "`log.kind` is \"embedded\""),
        (("CALLBOARD_STORAGE_VAULT", "sqlite"), "`storage.vault` is \"sqlite\""),
        (("CALLBOARD_CLUSTER_LISTEN", "node-1:7421"), "expected `cluster.listen`"),
        (anywhere, "set `cluster.address`"),
        (("CALLBOARD_CLUSTER_ADDRESS", "node-1"), "expected `cluster.address`"),
        (("CALLBOARD_CLUSTER_KEY_FILE", ""), "needs `cluster.key_file`"),
        (("CALLBOARD_CLUSTER_CERTIFICATE_FILE", "/nowhere/x"), "could not read `cluster.certifi"),
    ] {
        let error = membership(&[changed]).unwrap_err();
        assert!(error.contains(with), "expected `{with}` in `{error}`");
    }
}
