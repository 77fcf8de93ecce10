//! The same journey as on the data folder, with the log on Kafka: what was acknowledged is there
//! after the process was killed.

mod on_kafka {
    use std::path::Path;

    use serde_json::{Value, json};
    use uuid::Uuid;

    use crate::harness::{Api, Installation, given_kafka};
    use crate::journeys::imports::counts;

    /// An installation whose log is on the cluster at `bootstrap`, on topics of its own.
    fn installation(bootstrap: &str) -> Installation {
        Installation::new()
            .with("CALLBOARD_LOG_KIND", "kafka")
            .with("CALLBOARD_LOG_KAFKA_BOOTSTRAP", bootstrap)
            .with("CALLBOARD_LOG_KAFKA_PREFIX", format!("journey-{}.", Uuid::now_v7().simple()))
            .with("CALLBOARD_LOG_KAFKA_REPLICATION", "1")
            // So small that the journey takes snapshots.
            .with("CALLBOARD_COMMANDS_SNAPSHOT_EVERY_EVENTS", "10")
    }

    /// Everything that is answered of the catalog.
    async fn answers(api: &Api) -> Value {
        let query = "{ entities(first: 100) { totalCount nodes { reference document revision } } }";
        api.graphql(query, json!({})).await
    }

    #[tokio::test]
    async fn what_was_imported_is_there_after_the_process_was_killed() {
        let Some(bootstrap) = given_kafka() else { return };
        let installation = installation(&bootstrap);
        let refused = installation.run(&["up"]);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("`callboard kafka init` makes it"), "{}", refused.stderr);
        let checked = installation.run(&["kafka", "init", "--check"]);
        assert_eq!(checked.code, 1, "nothing is made by a check");
        let made = installation.run(&["kafka", "init", "--partitions", "2", "--json"]).json();
        assert_eq!((&made["partitions"], &made["replication"]), (&json!(2), &json!(1)));
        let checked = installation.run(&["kafka", "init", "--check", "--json"]).json();
        assert_eq!(checked, made);

        let mut server = installation.up().await;
        installation.create_tenant("wheelhouse");
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/catalog-info.yaml");
        let samples = samples.display().to_string();
        let import = ["import", &samples, "--tenant", "wheelhouse", "--json"];
        let first = installation.run(&import);
        assert_eq!((first.code, counts(&first)), (0, [5, 17, 0, 0, 0]), "{}", first.stderr);
        let token = installation.token("wheelhouse");
        let before = answers(&server.api(&token)).await;
        assert_eq!(before["entities"]["totalCount"], json!(17));
        server.kill();

        // Once from the tables that are there, once from the log alone.
        for models in ["kept", "deleted"] {
            if models == "deleted" {
                std::fs::remove_dir_all(installation.folder().join("models"))
                    .expect("tables can be deleted");
            }
            let mut server = installation.up().await;
            assert_eq!(answers(&server.api(&token)).await, before, "tables {models}");
            let again = installation.run(&import);
            assert_eq!((again.code, counts(&again)), (0, [5, 0, 0, 17, 0]), "tables {models}");
            server.kill();
        }
    }
}
