//! What a process does while its brokers, or its database, are away: whom it keeps waiting, what it
//! says to whom, how it starts then, and what it reads again afterwards.

use serde_json::{Value, json};

use crate::harness::{Api, Installation, Server, eventually};

/// The tenant whose members run the installation.
const SYSTEM: &str = "ten_00000000000000000000000000000000";

const APPLY: &str = "mutation($input: ApplyEntitiesInput!) { applyEntities(input: $input) {
    outcome { position } userErrors { message } } }";

/// What registers components called `name-0` and so on.
fn components(name: &str, count: usize) -> Value {
    let change = |number: usize| {
        let descriptor = json!({
            "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
            "metadata": {"name": format!("{name}-{number}")},
            "spec": {"type": "service", "lifecycle": "production", "owner": "group:keepers"},
        });
        json!({"put": {"descriptor": descriptor}})
    };
    json!({"input": {"changes": (0..count).map(change).collect::<Vec<_>>()}})
}

/// What a door says to a request to register something: `OK`, or the code of its error.
async fn registering(api: &Api, name: &str, count: usize) -> String {
    let answer = api.ask(APPLY, &components(name, count)).await.expect("the process answers");
    let body: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    if body["data"]["applyEntities"]["outcome"]["position"].is_string() {
        return "OK".to_owned();
    }
    body["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
}

/// What a process says of itself at `/readyz`, once it answers at all.
async fn readiness(server: &Server, installation: &Installation) -> Value {
    let api = server.api("");
    eventually("it says whether it is ready", async || {
        let answer = api.send(outbound::Request::get(server.url("/readyz"))).await.ok()?;
        assert_eq!(answer.status, 503, "{}", log_of(installation));
        serde_json::from_slice(&answer.body).ok()
    })
    .await
}

fn log_of(installation: &Installation) -> String {
    std::fs::read_to_string(installation.home().join("server.log")).unwrap_or_default()
}

mod removed;
mod replicas;

mod on_kafka {
    use std::time::Duration;

    use outbound::Request;
    use xtask::services::kafka::{Cluster as Brokers, Plan};

    use super::*;
    use crate::harness::{Profile, kafka_distribution};

    /// How many components are registered before an outage: more than what is read after it.
    const BEFORE: usize = 400;

    /// How long a request takes at most to be given to the log. In milliseconds: 1,500.
    const ALONE: Duration = Duration::from_millis(1_500);

    /// Whether this run has the time for tests that take a minute.
    pub(super) fn has_time() -> bool {
        Profile::of_this_run().count(0, 1, 1) > 0
    }

    /// A broker of its own, and an installation with its log there.
    fn on_a_broker() -> Option<(Brokers, Installation)> {
        let brokers = Plan::new(1).start(&kafka_distribution()?).expect("a broker starts");
        let installation = Installation::new()
            .with("CALLBOARD_LOG_KIND", "kafka")
            .with("CALLBOARD_LOG_KAFKA_BOOTSTRAP", brokers.bootstrap())
            .with("CALLBOARD_LOG_KAFKA_REPLICATION", "1")
            .with("CALLBOARD_TELEMETRY_FILTER", "info,rdkafka=error");
        Some((brokers, installation))
    }

    /// How many records the write side of a process has read from its log so far.
    pub(super) async fn records_read(server: &Server, operator: &str) -> u64 {
        let request = Request::get(server.url("/metrics"));
        let answer = server.api(operator).send(request).await.expect("it answers");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let line = text.lines().find(|it| it.starts_with("owner_records_read_total"));
        line.and_then(|it| it.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_waits_behind_brokers_that_are_down_and_nothing_old_is_read_when_they_return() {
        if !has_time() {
            return;
        }
        let Some((brokers, installation)) = on_a_broker() else { return };
        installation.run(&["kafka", "init", "--partitions", "1"]).text();
        let mut server = installation.up().await;
        let tenant = installation.create_tenant("acme");
        let (token, operator) = (installation.token(&tenant), installation.token(SYSTEM));
        let api = server.api(&token);
        for part in 0..4 {
            let name = format!("before-{part}");
            assert_eq!(registering(&api, &name, BEFORE / 4).await, "OK");
        }
        // Whoever has much that is not shown yet waits before it is let in.
        eventually("everything is shown", async || {
            let count = "{ entities(first: 1) { totalCount } }";
            let count = api.graphql(count, Value::Null).await["entities"]["totalCount"].as_u64();
            (count == Some(BEFORE as u64)).then_some(())
        })
        .await;
        let before = records_read(&server, &operator).await;

        // What is sent to it now may have come to it, for all that anybody knows.
        brokers.broker(0).pause().expect("it can be paused");
        let sent = {
            let api = api.clone();
            tokio::spawn(async move { registering(&api, "sent", 1).await })
        };
        // It is to be the only one of its batch.
        tokio::time::sleep(ALONE).await;
        brokers.broker(0).kill().expect("it can be killed");
        // Whoever comes while the first one's fate is not known is told at once, or soon.
        let mut turned_away = 0;
        while turned_away < 3 && !sent.is_finished() {
            let said = registering(&api, "behind", 1).await;
            assert_eq!(said, "UNAVAILABLE", "{}", log_of(&installation));
            turned_away += 1;
        }
        assert!(turned_away == 3 && !sent.is_finished(), "they did not wait for the first one");
        assert_eq!(readiness(&server, &installation).await["waitsFor"], "the log");
        // As long as there is nobody who could say.
        assert_eq!(
            sent.await.expect("it is answered"),
            "OUTCOME_UNKNOWN",
            "{}",
            log_of(&installation)
        );
        brokers.broker(0).restart().expect("it starts again");
        eventually("it records again", async || {
            (registering(&api, "after", 1).await == "OK").then_some(())
        })
        .await;
        let read = records_read(&server, &operator).await - before;
        // At most what was recorded without anybody knowing, and what one process reads of itself.
        assert!(read < 20, "{read} records were read again");

        // A process that starts without a snapshot reads them all, and that is counted.
        server.kill();
        let server = installation.up().await;
        let read = records_read(&server, &operator).await;
        assert!(read >= BEFORE as u64, "{read} were read");
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_that_is_told_to_end_does_so_while_no_broker_is_there() {
        if !has_time() {
            return;
        }
        for is_asked in [false, true] {
            let Some((brokers, installation)) = on_a_broker() else { return };
            installation.run(&["kafka", "init", "--partitions", "2"]).text();
            let server = installation.up().await;
            let tenant = installation.create_tenant(if is_asked { "asked" } else { "idle" });
            let api = server.api(&installation.token(&tenant));
            assert_eq!(registering(&api, "before", 1).await, "OK");
            brokers.broker(0).kill().expect("it can be killed");
            if is_asked {
                // So its owner does not know what became of that, and has to claim the partition.
                let api = api.clone();
                tokio::spawn(async move { api.ask(APPLY, &components("asked", 1)).await.is_ok() });
                tokio::time::sleep(ALONE).await;
            }
            server.stop().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_that_starts_before_its_broker_waits_for_it() {
        if !has_time() {
            return;
        }
        let Some((brokers, installation)) = on_a_broker() else { return };
        let missing = installation.run(&["up"]);
        assert_ne!(missing.code, 0, "nobody makes the topics by waiting");
        assert!(missing.stderr.contains("callboard kafka init"), "{}", missing.stderr);
        installation.run(&["kafka", "init", "--partitions", "1"]).text();
        brokers.broker(0).kill().expect("it can be killed");

        // It can be ended while it waits, in good order.
        let server = Server::begin(&installation, &[]);
        waits_for_the_log(&server, &installation).await;
        let refused = server.api("").send(Request::get(server.url("/api/v1/events"))).await;
        let refused = refused.expect("it answers");
        assert_eq!(refused.status, 503);
        assert!(refused.retry_after.is_some());
        server.stop().await;

        let mut server = Server::begin(&installation, &[]);
        waits_for_the_log(&server, &installation).await;
        brokers.broker(0).restart().expect("it starts again");
        assert!(server.ready_or_ended().await, "{}", log_of(&installation));
        let tenant = installation.create_tenant("acme");
        let api = server.api(&installation.token(&tenant));
        eventually("it records", async || {
            (registering(&api, "web", 1).await == "OK").then_some(())
        })
        .await;
        server.stop().await;
    }

    async fn waits_for_the_log(server: &Server, installation: &Installation) {
        eventually("it says what it waits for", async || {
            let said = readiness(server, installation).await;
            (said["waitsFor"] == "the log").then_some(())
        })
        .await;
        let log = log_of(installation);
        assert!(log.contains("waiting for the log before the start"), "{log}");
        assert!(log.contains("log.kafka.bootstrap"), "it says which setting to look at: {log}");
    }
}

mod on_postgres {
    use xtask::services::Purpose;
    use xtask::services::postgres::Server as Postgres;

    use super::*;
    use crate::harness::postgres_binaries;

    /// What no caller may read: how the database says that it is away, and where it is.
    const OF_THE_DATABASE: [&str; 6] =
        ["os error", "onnection", "sqlx", "postgres", "callboard_", "SQLSTATE"];

    /// What a door said to a question: its error, and whether that says when to ask again.
    type Said = (Value, bool);

    async fn ask(api: &Api, query: &str, accept: &str) -> String {
        let accept = [("accept", accept)];
        let answer = api.post("/graphql", &json!({"query": query}), &accept).await;
        String::from_utf8_lossy(&answer.expect("the process answers").body).into_owned()
    }

    fn error_in(body: &str) -> Said {
        let body: Value = serde_json::from_str(body).expect("it is JSON");
        let error = body["errors"][0].clone();
        let may_retry = error["extensions"]["retryAfterMs"].is_u64();
        (error, may_retry)
    }

    /// Questions of a tenant, and of operators, to the doors that read tables.
    async fn questions(api: &Api, operator: &Api) -> Vec<Said> {
        let mut said = Vec::new();
        for query in [
            "{ entities(first: 1) { totalCount } }",
            "{ audit(first: 1) { totalCount } }",
            "{ customers(first: 1) { nodes { id } } }",
        ] {
            said.push(error_in(&ask(api, query, "application/json").await));
        }
        let usage = "/api/v1/usage?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z";
        for (who, path) in
            [(api, usage), (api, "/api/v1/events?after=1"), (operator, "/api/v1/projections")]
        {
            let request = outbound::Request::get(who.url(path));
            let answer = who.send(request).await.expect("the process answers");
            assert!([200, 503].contains(&answer.status), "{path}: {}", answer.status);
            let body = serde_json::from_slice(&answer.body).expect("it is JSON");
            said.push((body, answer.retry_after.is_some()));
        }
        said
    }

    /// What becomes of a stream that begins with what tables hold.
    async fn live(api: &Api) -> Said {
        let query = "subscription { events(afterSequence: 1) { sequence } }";
        let text = ask(api, query, "text/event-stream").await;
        error_in(text.lines().find_map(|it| it.strip_prefix("data: ")).expect("one event"))
    }

    #[tokio::test]
    async fn reads_say_what_is_away_and_nothing_of_the_database() {
        let Some(binaries) = postgres_binaries() else { return };
        let postgres = Postgres::start(&binaries, Purpose::Tests).expect("a server starts");
        let installation = Installation::new()
            .with("CALLBOARD_STORAGE_READ_MODELS", "postgresql")
            .with("CALLBOARD_STORAGE_VAULT", "postgresql")
            .with("CALLBOARD_STORAGE_POSTGRESQL_URL", postgres.url());
        let server = installation.up().await;
        let operator = server.api(&installation.token(SYSTEM));
        let is_served = |it: &Said| it.0["code"].is_null() && it.0["extensions"]["code"].is_null();
        let tenant = installation.create_tenant("acme");
        let api = server.api(&installation.token(&tenant));
        assert_eq!(registering(&api, "web", 2).await, "OK");
        eventually("all is well", async || {
            questions(&api, &operator).await.iter().all(is_served).then_some(())
        })
        .await;

        postgres.kill().expect("it can be killed");
        let mut all = questions(&api, &operator).await;
        all.push(live(&api).await);
        for (said, may_retry) in all {
            let code = said["extensions"]["code"].as_str().or(said["code"].as_str());
            assert_eq!((code, may_retry), (Some("UNAVAILABLE"), true), "{said}");
            let message = said["message"].as_str().or(said["detail"].as_str()).expect("a text");
            assert!(message.contains("database") || message.contains("vault"), "{message}");
            for it in OF_THE_DATABASE {
                assert!(!said.to_string().contains(it), "`{it}` is told: {said}");
            }
        }
        let said = readiness(&server, &installation).await;
        assert_eq!(said["waitsFor"], "the database of the read models", "{said}");
        postgres.restart().expect("it starts again");
        eventually("everything is served again", async || {
            questions(&api, &operator).await.iter().all(is_served).then_some(())
        })
        .await;
        server.stop().await;
    }

    #[tokio::test]
    async fn a_process_that_starts_before_its_database_waits_for_it() {
        let Some(binaries) = postgres_binaries() else { return };
        let postgres = Postgres::start(&binaries, Purpose::Tests).expect("a server starts");
        for (setting, what) in [
            ("CALLBOARD_STORAGE_VAULT", "the vault"),
            ("CALLBOARD_STORAGE_READ_MODELS", "the database of the read models"),
        ] {
            let installation = Installation::new()
                .with(setting, "postgresql")
                .with("CALLBOARD_STORAGE_POSTGRESQL_URL", postgres.url());
            postgres.kill().expect("it can be killed");
            let waits = async |server: &Server| {
                eventually("it says what it waits for", async || {
                    (readiness(server, &installation).await["waitsFor"] == what).then_some(())
                })
                .await;
            };
            // It can be ended while it waits, in good order.
            let server = Server::begin(&installation, &[]);
            waits(&server).await;
            server.stop().await;
            let mut server = Server::begin(&installation, &[]);
            waits(&server).await;
            postgres.restart().expect("it starts again");
            assert!(server.ready_or_ended().await, "{}", log_of(&installation));
            server.stop().await;
            // What waiting does not mend ends it.
            let wrong = postgres.url().replacen("@", "_wrong@", 1);
            let wrong = installation.with("CALLBOARD_STORAGE_POSTGRESQL_URL", wrong);
            let refused = wrong.run(&["up"]);
            assert_ne!(refused.code, 0, "{}{}", refused.stdout, refused.stderr);
            assert!(!refused.stderr.contains("_wrong"), "{}", refused.stderr);
        }
    }
}
