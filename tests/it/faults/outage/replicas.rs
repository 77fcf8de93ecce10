//! Too few replicas in sync while a process runs: who is told what, and what goes on afterwards.

use super::*;

mod on_kafka {
    use std::collections::HashMap;
    use std::time::{Duration, Instant};

    use outbound::Request;
    use xtask::services::kafka::{Broker, Cluster, Plan};

    use super::super::on_kafka::{has_time, records_read};
    use super::*;
    use crate::harness::{PATIENCE, kafka_distribution};

    /// How many components are registered before: more than what is read afterwards.
    const BEFORE: usize = 100;

    /// For how long commands are refused. In seconds: 12, longer than the client needs to give up on
    /// one, and than it may take until it says the same again.
    const REFUSED: Duration = Duration::from_secs(12);

    /// How many of these refusals name what is missing at least: more than the client could give up on
    /// in the time that there is, 10 s each.
    const NAMED_MIN: usize = 40;

    /// How many reads are answered, or refused since nobody can answer them: more than there is time for
    /// where each of them waits for an answer, 5 s.
    const UNREAD: usize = 30;

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

    /// How many components are shown, or what is said instead.
    async fn counted(api: &Api) -> Result<usize, String> {
        let count = "{ entities(first: 1) { totalCount } }";
        let answer = api.ask(count, &Value::Null).await.expect("the process answers");
        let body: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
        let count = body["data"]["entities"]["totalCount"].as_u64();
        let count = count.and_then(|it| usize::try_from(it).ok());
        count.ok_or_else(|| body["errors"][0]["message"].to_string())
    }

    /// How many components are shown, unless that is refused.
    async fn shown(api: &Api) -> Option<usize> {
        counted(api).await.ok()
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

    /// What is missing is said in the log once, refusals a few times, and what the client says of it at most as
    /// often as it says the same again in the time since the process `began`.
    fn is_said_once(log: &str, began: Instant) {
        let words = "partition 0 of topic `short.events` has 1 of the 2 replicas in sync that \
                     writes need (`min.insync.replicas`)";
        assert_eq!(log.matches("nothing is taken").count(), 1, "{log}");
        assert!(log.contains(words), "{log}");
        let refusals = log.matches("nothing of a batch was recorded").count();
        assert!(refusals < 10, "{refusals} refusals are in the log");
        let often_max = began.elapsed().as_secs() / SAID_AGAIN + 1;
        let often = said_most_often(log);
        assert!(often as u64 <= often_max, "{often} times the same: {log}");
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
        eventually("everything is shown", async || shown(&api).await.filter(|it| *it == BEFORE))
            .await;
        let before = records_read(&server, &operator).await;
        assert_eq!(trouble(&server).await, None);

        let holds = |it: &Broker| it.log().with_file_name("data").join("short.events-0").is_dir();
        let leads = |it: &Broker| Some(it.address()) == leader(&brokers).map(Broker::address);
        let follows = |it: &&Broker| holds(it) && !leads(it);
        let broker = brokers.brokers().iter().find(follows).expect("somebody has it");
        tokio::task::block_in_place(|| broker.kill()).expect("it can be killed");
        eventually("what is missing is said", async || {
            let (code, text) = refusal(&api).await;
            assert!(["UNAVAILABLE", "OUTCOME_UNKNOWN"].contains(&&*code), "{code}: {text}");
            text.contains("too few of its replicas are in sync").then_some(())
        })
        .await;
        eventually("what is shown can be read", async || {
            shown(&api).await.filter(|it| *it == BEFORE)
        })
        .await;
        // Nobody waits for what is known. A door that cannot tell for a moment who asks says that.
        let (refused, mut named) = (Instant::now(), 0);
        let refusing = async {
            while refused.elapsed() < REFUSED || named < NAMED_MIN {
                let (code, text) = refusal(&api).await;
                assert_eq!(code, "UNAVAILABLE", "{text}");
                named += usize::from(text.contains("replicas are in sync"));
            }
        };
        tokio::time::timeout(PATIENCE, refusing).await.expect("they are refused at once");
        assert_eq!(trouble(&server).await.as_deref(), Some("replicas"));
        eventually("it can be read all the while", async || {
            shown(&api).await.filter(|it| *it == BEFORE)
        })
        .await;
        is_said_once(&log_of(&installation), began);

        tokio::task::block_in_place(|| broker.restart()).expect("it starts again");
        eventually("it records again", async || {
            (registering(&api, "after", 1).await == "OK").then_some(())
        })
        .await;
        assert_eq!(trouble(&server).await, None);
        let read = records_read(&server, &operator).await - before;
        assert!(read < 20, "{read} records were read again");

        eventually("that is shown too", async || shown(&api).await.filter(|it| *it == BEFORE + 1))
            .await;
        tokio::task::block_in_place(|| leader(&brokers).expect("it is led").kill()).unwrap();
        reads_without_a_leader(&api).await;
        tokio::task::block_in_place(|| brokers.restart()).expect("it starts again");
        eventually("it is read again", async || shown(&api).await.filter(|it| *it == BEFORE + 1))
            .await;
        server.stop().await;
    }

    /// The broker that leads the events, if one does.
    fn leader(brokers: &Cluster) -> Option<&Broker> {
        tokio::task::block_in_place(|| brokers.leader("short.events")).ok()
    }

    /// What is read just after the leader of the events was killed, when the last of two replicas may not
    /// know yet what both had: either what is recorded, or at once that nobody can tell.
    async fn reads_without_a_leader(api: &Api) {
        eventually("what is missing is said", async || {
            refusal(api).await.1.contains("replicas are in sync").then_some(())
        })
        .await;
        let (mut answered, mut refused) = (0, 0);
        let reading = async {
            while answered < UNREAD && refused < UNREAD {
                match counted(api).await {
                    Ok(count) => {
                        answered += 1;
                        assert_eq!(count, BEFORE + 1);
                    }
                    Err(text) => {
                        refused += 1;
                        assert!(text.contains("too few of its replicas are in sync"), "{text}");
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, reading).await;
        assert!(
            done.is_ok(),
            "{answered} reads were answered and {refused} refused in all that time"
        );
    }
}
