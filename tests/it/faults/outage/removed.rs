//! A topic of the log that somebody removes while a process runs.

use super::*;

mod on_kafka {
    use xtask::services::kafka::Plan;

    use super::super::on_kafka::has_time;
    use super::*;
    use crate::harness::{PATIENCE, kafka_distribution};

    /// How many requests are refused in a row: more than there is patience for where each waits for an
    /// owner, 5 s.
    const REFUSALS: usize = 20;

    /// What tells of snapshots.
    const SNAPSHOTS: &str = "commands::owner::snapshotting";

    /// The code and the words with which a door refuses to register something.
    async fn refusal(api: &Api) -> (String, String) {
        let answer = api.ask(APPLY, &components("lost", 1)).await.expect("the process answers");
        let body: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
        let error = if body["code"].is_string() { &body } else { &body["errors"][0] };
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let code = [&error["extensions"]["code"], &error["code"]].map(text).concat();
        (code, [&error["message"], &error["detail"]].map(text).concat())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_topic_that_was_removed_is_named_and_nothing_is_recorded_until_the_next_start() {
        if !has_time() {
            return;
        }
        let Some(distribution) = kafka_distribution() else { return };
        let brokers = tokio::task::block_in_place(|| Plan::new(1).start(&distribution));
        let brokers = brokers.expect("brokers start");
        for (topic, prefix) in [("events", "one."), ("owners", "two."), ("snapshots", "three.")] {
            let installation = Installation::new()
                .with("CALLBOARD_LOG_KIND", "kafka")
                .with("CALLBOARD_LOG_KAFKA_BOOTSTRAP", brokers.bootstrap())
                .with("CALLBOARD_LOG_KAFKA_PREFIX", prefix)
                .with("CALLBOARD_LOG_KAFKA_REPLICATION", "1")
                .with("CALLBOARD_COMMANDS_SNAPSHOT_EVERY_EVENTS", "1")
                .with(
                    "CALLBOARD_TELEMETRY_FILTER",
                    format!("info,rdkafka=error,{SNAPSHOTS}=debug"),
                );
            installation.run(&["kafka", "init", "--partitions", "1"]).text();
            let server = installation.up().await;
            let tenant = installation.create_tenant("acme");
            let api = server.api(&installation.token(&tenant));
            eventually("it records", async || {
                (registering(&api, "before", 1).await == "OK").then_some(())
            })
            .await;

            let is_made = |it: &str| it.contains("DEBUG snapshot");
            eventually("a snapshot is made", async || {
                log_of(&installation).lines().any(is_made).then_some(())
            })
            .await;
            let name = format!("{prefix}{topic}");
            tokio::task::block_in_place(|| brokers.remove(&name)).expect("it can be removed");
            eventually("it is said what is gone", async || {
                let (code, said) = refusal(&api).await;
                assert!(["", "UNAVAILABLE", "OUTCOME_UNKNOWN"].contains(&&*code), "{code}: {said}");
                said.contains("a part of the log was removed").then_some(())
            })
            .await;
            let refusing = async {
                for _ in 0..REFUSALS {
                    assert_eq!(refusal(&api).await.0, "UNAVAILABLE");
                }
            };
            tokio::time::timeout(PATIENCE, refusing).await.expect("nobody waits");
            let said = readiness(&server, &installation).await;
            assert_eq!(said["trouble"], "gone", "{said}");
            let log = log_of(&installation);
            assert_eq!(log.matches("a topic of the log is gone").count(), 1, "{log}");
            assert!(log.contains(&format!("topic=\"{name}\"")), "{log}");

            // What is made in its place is another log.
            installation.run(&["kafka", "init", "--partitions", "1"]).text();
            for _ in 0..20 {
                let (_, said) = refusal(&api).await;
                assert!(said.contains("a part of the log was removed"), "{said}");
            }
            server.stop().await;
            if topic == "events" {
                nothing_is_restored_beside_what_is_left(&installation);
            }
        }
    }

    /// Snapshots of what was removed would be taken for those of what is restored. The copy of what is
    /// left has no events, and the place for it none either.
    fn nothing_is_restored_beside_what_is_left(installation: &Installation) {
        let backup = installation.home().join("backup").display().to_string();
        installation.run(&["backup", &backup]).text();
        let new = installation.like();
        std::fs::create_dir_all(new.folder()).expect("a folder");
        let key = |it: &Installation| it.folder().join("root.key");
        std::fs::copy(key(installation), key(&new)).expect("a copy");
        let refused = new.run(&["restore", &backup]);
        assert_eq!(refused.code, 1, "{}{}", refused.stdout, refused.stderr);
        assert!(
            refused.stderr.contains("was served before: its records were removed"),
            "{}",
            refused.stderr
        );
    }
}
