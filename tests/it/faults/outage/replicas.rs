//! Too few replicas in sync while a process runs: who is told what, and what goes on afterwards.

use super::*;

mod on_kafka {
    use std::collections::HashMap;
    use std::time::{Duration, Instant};

    use outbound::Request;
    use xtask::services::kafka::{Broker, Plan};

    use super::super::on_kafka::{has_time, records_read};
    use super::*;
    use crate::harness::kafka_distribution;

    /// How many components are registered before: more than what is read afterwards.
    const BEFORE: usize = 100;

    /// For how long commands are refused. In seconds: 12, longer than the client needs to give up on
    /// one, and than it may take until it says the same again.
    const REFUSED: Duration = Duration::from_secs(12);

    /// How often the same line of the client may be in the log. In seconds: 10.
    const SAID_AGAIN: u64 = 10;

    /// What a door says to a request to register something: the code of its error and the text.
    async fn refusal(api: &Api) -> (String, String) {
        let answer = api.ask(APPLY, &components("lost", 1)).await.expect("the process answers");
        let body: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
        let error = &body["errors"][0];
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        (text(&error["extensions"]["code"]), text(&error["message"]))
    }

    /// What `/readyz` says of what cannot be recorded.
    async fn trouble(server: &Server) -> Option<String> {
        let request = Request::get(server.url("/readyz"));
        let answer = server.api("").send(request).await.expect("the process answers");
        let said: Value = serde_json::from_slice(&answer.body).expect("it is JSON");
        said["trouble"].as_str().map(str::to_owned)
    }

    /// How often the client has said what it says most often, whatever numbers are in it.
    fn said_most_often(log: &str) -> usize {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for line in log.lines().filter(|it| it.contains("the Kafka client")) {
            let words = line.chars().filter(|it| !it.is_ascii_digit()).collect();
            *counts.entry(words).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn too_few_replicas_are_named_and_everything_goes_on_once_they_are_back() {
        if !has_time() {
            return;
        }
        let Some(distribution) = kafka_distribution() else { return };
        let brokers = tokio::task::block_in_place(|| Plan::new(3).start(&distribution));
        let brokers = brokers.expect("brokers start");
        // Two replicas, both of which writes need; what brokers keep of transactions has three.
        let installation = Installation::new()
            .with("CALLBOARD_LOG_KIND", "kafka")
            .with("CALLBOARD_LOG_KAFKA_BOOTSTRAP", brokers.bootstrap())
            .with("CALLBOARD_LOG_KAFKA_PREFIX", "short.")
            .with("CALLBOARD_LOG_KAFKA_REPLICATION", "2")
            .with("CALLBOARD_TELEMETRY_FILTER", "info,rdkafka=error");
        installation.run(&["kafka", "init", "--partitions", "1"]).text();
        let began = Instant::now();
        let server = installation.up().await;
        let tenant = installation.create_tenant("acme");
        let (token, operator) = (installation.token(&tenant), installation.token(SYSTEM));
        let api = server.api(&token);
        assert_eq!(registering(&api, "before", BEFORE).await, "OK");
        eventually("everything is shown", async || {
            let count = "{ entities(first: 1) { totalCount } }";
            let count = api.graphql(count, Value::Null).await["entities"]["totalCount"].as_u64();
            (count == Some(BEFORE as u64)).then_some(())
        })
        .await;
        let before = records_read(&server, &operator).await;
        assert_eq!(trouble(&server).await, None);

        let holds = |it: &&Broker| it.log().with_file_name("data").join("short.events-0").is_dir();
        let broker = brokers.brokers().iter().find(holds).expect("somebody has it");
        tokio::task::block_in_place(|| broker.kill()).expect("it can be killed");
        eventually("what is missing is said", async || {
            let (code, text) = refusal(&api).await;
            assert!(["UNAVAILABLE", "OUTCOME_UNKNOWN"].contains(&&*code), "{code}: {text}");
            text.contains("too few of its replicas are in sync").then_some(())
        })
        .await;
        // Nobody waits for what is known.
        let refused = Instant::now();
        while refused.elapsed() < REFUSED {
            let (code, text) = refusal(&api).await;
            assert_eq!(code, "UNAVAILABLE", "{text}");
            assert!(text.contains("replicas are in sync"), "{text}");
        }
        assert_eq!(trouble(&server).await.as_deref(), Some("replicas"));
        let words = "partition 0 of topic `short.events` has 1 of the 2 replicas in sync that \
                     writes need (`min.insync.replicas`)";
        let count = "{ entities(first: 1) { totalCount } }";
        let shown = api.graphql(count, Value::Null).await;
        assert_eq!(shown["entities"]["totalCount"], BEFORE, "what is shown can be read");
        let log = log_of(&installation);
        assert_eq!(log.matches("nothing is taken").count(), 1, "{log}");
        assert!(log.contains(words), "{log}");
        let refusals = log.matches("nothing of a batch was recorded").count();
        assert!(refusals < 10, "{refusals} refusals are in the log");
        let often_max = began.elapsed().as_secs() / SAID_AGAIN + 1;
        let often = said_most_often(&log);
        assert!(often as u64 <= often_max, "{often} times the same: {log}");

        tokio::task::block_in_place(|| broker.restart()).expect("it starts again");
        eventually("it records again", async || {
            (registering(&api, "after", 1).await == "OK").then_some(())
        })
        .await;
        assert_eq!(trouble(&server).await, None);
        let read = records_read(&server, &operator).await - before;
        assert!(read < 20, "{read} records were read again");
        server.stop().await;
    }
}
