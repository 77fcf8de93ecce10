//! The settings that `deploy/compose.yaml` gives its processes, on services of this machine: two
//! processes from the same file, of which only addresses and places of files are overridden.

mod on_kafka {
    use std::path::Path;
    use std::process::Command;

    use serde_json::{Value, json};
    use uuid::Uuid;

    use crate::harness::{
        Installation, database, eventually, free_address, given_kafka, given_postgres,
    };

    /// The command that compose asks a process with whether it is well, for another port.
    fn health_check(port: u16) -> bool {
        let compose: Value = serde_saphyr::from_str(include_str!("../../../deploy/compose.yaml"))
            .expect("it is YAML");
        let test = compose["services"]["node-1"]["healthcheck"]["test"].as_array();
        let words: Vec<&str> =
            test.expect("there is one").iter().filter_map(Value::as_str).collect();
        let [kind, program, arguments @ ..] = &words[..] else { panic!("{words:?}") };
        assert_eq!(*kind, "CMD");
        let arguments = arguments.iter().map(|it| it.replace("7420", &port.to_string()));
        let ran = Command::new(program).args(arguments).output().expect("it starts");
        ran.status.success()
    }

    #[tokio::test]
    async fn two_processes_run_from_the_example() {
        let (Some(bootstrap), Some(postgres)) = (given_kafka(), given_postgres()) else { return };
        let example =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/development.toml");
        let name = format!("deploy_{}", Uuid::now_v7().simple());
        let database = database(&postgres, &name).await;
        let place = Installation::new();
        let file = |name: &str| place.home().join(name).display().to_string();
        std::fs::write(file("postgresql-url"), &database).expect("a file can be written");
        let certificates = file("certificates");
        place.run(&["cluster", "certificates", &certificates, "127.0.0.1"]).text();
        let node = || {
            Installation::new()
                .with("CALLBOARD_CONFIG", example.display().to_string())
                // Where things are on this machine.
                .with("CALLBOARD_LOG_KAFKA_BOOTSTRAP", &bootstrap)
                .with("CALLBOARD_LOG_KAFKA_PREFIX", format!("{name}."))
                .with("CALLBOARD_STORAGE_POSTGRESQL_URL_FILE", file("postgresql-url"))
                .with("CALLBOARD_STORAGE_ROOT_KEY_FILE", file("root.key"))
                .with("CALLBOARD_CLUSTER_LISTEN", free_address().to_string())
                .with("CALLBOARD_CLUSTER_AUTHORITIES_FILE", format!("{certificates}/authority.pem"))
                .with("CALLBOARD_CLUSTER_CERTIFICATE_FILE", format!("{certificates}/127.0.0.1.pem"))
                .with("CALLBOARD_CLUSTER_KEY_FILE", format!("{certificates}/127.0.0.1.key"))
        };
        let (first, second) = (node(), node());
        first.run(&["kafka", "init", "--partitions", "8"]).text();
        assert!(!health_check(first.address().port()), "nobody is there yet");
        let (one, two) = (first.up().await, second.up().await);
        for installation in [&first, &second] {
            assert!(health_check(installation.address().port()), "it is ready and says so");
        }
        let token = first.token(&first.create_tenant("compose"));
        let (here, there) = (one.api(&token), two.api(&token));
        let renamed = eventually("the tenant is there", async || {
            let rename = "mutation { renameTenant(name: \"Two\") { outcome { position }
                userErrors { message } } }";
            let answer = here.ask(rename, &json!({})).await.ok()?;
            let body: Value = serde_json::from_slice(&answer.body).ok()?;
            body["data"]["renameTenant"]["outcome"]["position"].as_str().map(str::to_owned)
        })
        .await;
        let read = there.graphql_at(&renamed, "{ tenant { name } }", Value::Null).await;
        assert_eq!(read["tenant"]["name"], "Two");
        one.stop().await;
        two.stop().await;
    }
}
