//! Two processes on one log and one database: whatever is asked of either is answered the same,
//! and goes on when one of them ends.

mod on_kafka {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use outbound::{Limits, PeerClient, PeerError, PeerIdentity, Request};
    use serde_json::{Value, json};

    use crate::harness::{Api, Cluster, Ground, Installation, PATIENCE, Server, eventually};

    /// The operators' tenant.
    const SYSTEM: &str = "ten_00000000000000000000000000000000";

    /// Tenants are placed on the partition with the fewest: two for each of four.
    const TENANTS: [&str; 8] =
        ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath"];

    /// A cluster on the services of this run; none where there are none.
    async fn cluster() -> Option<Cluster> {
        Some(Cluster::on(&Ground::given()?).await)
    }

    /// A token for each tenant, all of which are there when this ends.
    async fn tenants(cluster: &Cluster, server: &Server) -> Vec<String> {
        let ids = TENANTS.map(|it| cluster.first.create_tenant(it));
        let tokens: Vec<String> = ids.iter().map(|it| cluster.first.token(it)).collect();
        for token in &tokens {
            let api = server.api(token);
            eventually("the tenant is there", async || {
                let answer = api.ask("{ tenant { name } }", &Value::Null).await.ok()?;
                let body: Value = serde_json::from_slice(&answer.body).ok()?;
                body["data"]["tenant"]["name"].is_string().then_some(())
            })
            .await;
        }
        tokens
    }

    const APPLY: &str = "mutation($input: ApplyEntitiesInput!) { applyEntities(input: $input) {
        outcome { position remembered } userErrors { message } } }";

    fn component(name: &str, description: &str) -> Value {
        let descriptor = json!({
            "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
            "metadata": {"name": name, "description": description},
            "spec": {"type": "service", "lifecycle": "production", "owner": "group:keepers"},
        });
        json!({"changes": [{"put": {"descriptor": descriptor}}]})
    }

    /// Registers a component; the position at which it can be seen.
    async fn register(api: &Api, name: &str, description: &str) -> String {
        let input = json!({"input": component(name, description)});
        let applied = api.graphql(APPLY, input).await["applyEntities"].clone();
        assert_eq!(applied["userErrors"], json!([]));
        applied["outcome"]["position"].as_str().expect("a position").to_owned()
    }

    /// What a tenant sees at `position`, of whatever process.
    async fn seen(api: &Api, position: &str) -> Vec<(String, String)> {
        let all = "{ entities(first: 50) { nodes { name description } } }";
        let data = api.graphql_at(position, all, Value::Null).await;
        let nodes = data["entities"]["nodes"].as_array().expect("a list").iter();
        let text = |it: &Value| it.as_str().expect("a text").to_owned();
        let mut seen: Vec<_> =
            nodes.map(|it| (text(&it["name"]), text(&it["description"]))).collect();
        seen.sort();
        seen
    }

    /// How many commands a process has decided for others.
    async fn decided_for_others(server: &Server, operator: &str) -> u64 {
        let answer = server.api(operator).send(Request::get(server.url("/metrics"))).await;
        let text = String::from_utf8_lossy(&answer.expect("it answers").body).into_owned();
        let of_peers = text.lines().filter(|it| {
            it.starts_with("http_requests_total")
                && it.contains("route=\"/peers/v1/commands\"")
                && it.contains("status=\"200\"")
        });
        of_peers.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    #[tokio::test]
    async fn what_is_written_at_either_process_is_read_at_the_other() {
        let Some(cluster) = cluster().await else { return };
        let (one, two) = (cluster.first.up().await, cluster.second.up().await);
        let tokens = tenants(&cluster, &one).await;
        for (tenant, token) in TENANTS.iter().zip(&tokens) {
            let (here, there) = (one.api(token), two.api(token));
            let mut expected = Vec::new();
            for (name, [write, read]) in [("a", [&here, &there]), ("b", [&there, &here])] {
                let position = register(write, name, tenant).await;
                expected.push((name.to_owned(), (*tenant).to_owned()));
                assert_eq!(seen(read, &position).await, expected, "{tenant}");
                assert_eq!(seen(write, &position).await, expected, "{tenant}");
            }
            usage(&here, &there).await;
            repeated_with_its_key(&here, &there).await;
        }
        let operator = cluster.first.token(SYSTEM);
        for server in [&one, &two] {
            // Positive control: each owns some, so each was asked for what the other does not own.
            let decided = decided_for_others(server, &operator).await;
            assert!(decided >= 4, "it decided {decided} commands for the other process");
        }
        one.stop().await;
        two.stop().await;
    }

    /// Records usage at one process and again at the other, which knows it.
    async fn usage(here: &Api, there: &Api) {
        let meter = "mutation { defineMeter(input: { key: \"rides\", name: \"Rides\",
            unit: \"ride\", aggregation: SUM }) { userErrors { message } } }";
        there.graphql(meter, Value::Null).await;
        let entries = json!([{"source": "desk", "id": "1", "meter": "rides", "value": "2.5",
            "at": "2026-03-01T10:00:00Z"}]);
        let mut results = Vec::new();
        for api in [here, there] {
            let answer = api.post("/api/v1/usage", &entries, &[]).await.expect("it answers");
            let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!(answer.status, 200, "{body}");
            results.push(body["results"][0]["result"].clone());
        }
        assert_eq!(results, [json!("accepted"), json!("duplicate")]);
    }

    async fn repeated_with_its_key(here: &Api, there: &Api) {
        let mutation = "mutation($input: ApplyEntitiesInput!, $options: CommandOptions) {
            applyEntities(input: $input, options: $options) {
                outcome { commandId remembered } userErrors { message } } }";
        let variables =
            json!({"input": component("c", "keyed"), "options": {"idempotencyKey": "once"}});
        let first = here.graphql(mutation, variables.clone()).await["applyEntities"].clone();
        let again = there.graphql(mutation, variables).await["applyEntities"].clone();
        assert_eq!(first["outcome"]["commandId"], again["outcome"]["commandId"]);
        assert_eq!(
            (&first["outcome"]["remembered"], &again["outcome"]["remembered"]),
            (&json!(false), &json!(true))
        );
    }

    /// A request to rename the tenant, as one process asks another.
    fn rename(name: &str) -> Value {
        json!({"operation": {"renameTenant": {"name": name}}, "expected": "any", "mode": "commit"})
    }

    #[tokio::test]
    async fn a_credential_is_all_that_counts_between_processes() {
        let Some(cluster) = cluster().await else { return };
        let (one, two) = (cluster.first.up().await, cluster.second.up().await);
        let tokens = tenants(&cluster, &one).await;
        let peer = PeerClient::new(&cluster.identity(), Limits::default()).expect("certificates");
        let ask = async |token: &str, body: &Value| {
            let mut answers = Vec::new();
            for address in &cluster.peers {
                let bearer = format!("Bearer {token}");
                let body = body.to_string().into();
                let answer = peer.post(address, "/peers/v1/commands", Some(&bearer), body).await;
                let answer = answer.expect("a peer answers");
                answers.push((answer.status, String::from_utf8_lossy(&answer.body).into_owned()));
            }
            answers
        };
        // Without a certificate nobody is heard, whatever the credential.
        for address in &cluster.peers {
            let url: url::Url =
                format!("https://{address}/peers/v1/commands").parse().expect("a URL");
            let request = Request::post(url, "application/json", rename("Taken").to_string());
            one.api(&tokens[0]).send(request).await.expect_err("there was no certificate");
        }
        let strangers = Installation::new();
        let shown = strangers.home().display().to_string();
        strangers.run(&["cluster", "certificates", &shown, "127.0.0.1"]).text();
        let read = |name: &str| std::fs::read(strangers.home().join(name)).expect("it was made");
        let stranger = PeerIdentity {
            certificate: read("127.0.0.1.pem"),
            key: read("127.0.0.1.key"),
            ..cluster.identity()
        };
        let stranger = PeerClient::new(&stranger, Limits::default()).expect("certificates");
        let bearer = format!("Bearer {}", tokens[0]);
        let refused = stranger
            .post(&cluster.peers[0], "/peers/v1/commands", Some(&bearer), "{}".into())
            .await;
        assert!(matches!(refused, Err(PeerError::NoAnswer { .. })), "{refused:?}");

        // With a certificate and no credential, or a forged one, nothing is decided.
        let (head, signature) = tokens[0].rsplit_once('.').expect("a token has three parts");
        let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
        for token in ["", &forged] {
            for (status, body) in ask(token, &rename("Taken")).await {
                assert_eq!(status, 401, "{body}");
            }
        }
        // One owns the partition, and changes the tenant of the credential and no other.
        let mut asserted = rename("Mine");
        asserted["tenant"] = json!("birch");
        let answers = ask(&tokens[0], &asserted).await;
        let mut statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 421], "{answers:?}");
        for (token, name) in tokens.iter().zip(["Mine", "birch", "cedar", "delta"]) {
            let api = two.api(token);
            eventually("everybody has the right name", async || {
                let data = api.graphql("{ tenant { name } }", Value::Null).await;
                (data["tenant"]["name"] == name).then_some(())
            })
            .await;
        }
        one.stop().await;
        two.stop().await;
    }

    /// Writes for all tenants at one process until it is told to stop.
    struct Writers {
        enough: Arc<AtomicBool>,
        written: Arc<AtomicUsize>,
        /// What was said instead.
        refused: Arc<Mutex<Vec<Value>>>,
        tasks: Vec<tokio::task::JoinHandle<()>>,
    }

    impl Writers {
        fn begin(server: &Server, tokens: &[String]) -> Self {
            let (enough, written, refused) = (Arc::default(), Arc::default(), Arc::default());
            let mut all = Self { enough, written, refused, tasks: Vec::new() };
            for token in tokens {
                let api = server.api(token);
                let (enough, written, refused) =
                    (all.enough.clone(), all.written.clone(), all.refused.clone());
                all.tasks.push(tokio::spawn(async move {
                    for number in 0_u64.. {
                        if enough.load(Ordering::Relaxed) {
                            return;
                        }
                        let input = json!({"input": component("moving", &number.to_string())});
                        let answer = api.ask(APPLY, &input).await.expect("the door is open");
                        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
                        let done = body["data"]["applyEntities"]["outcome"].is_object();
                        if done {
                            written.fetch_add(1, Ordering::Relaxed);
                        } else {
                            refused.lock().expect("nobody panics").push(body);
                        }
                    }
                }));
            }
            all
        }

        /// Waits until every writer has written some more.
        async fn go_on(&self) {
            let enough = self.written.load(Ordering::Relaxed) + 8 * self.tasks.len();
            eventually("writing goes on", async || {
                (self.written.load(Ordering::Relaxed) >= enough).then_some(())
            })
            .await;
        }

        /// What was said to requests that were refused.
        async fn end(self) -> Vec<Value> {
            self.enough.store(true, Ordering::Relaxed);
            for task in self.tasks {
                tokio::time::timeout(PATIENCE, task).await.expect("it ends").expect("it ends well");
            }
            std::mem::take(&mut *self.refused.lock().expect("nobody panics"))
        }
    }

    #[tokio::test]
    async fn requests_go_on_when_one_process_stops_and_after_one_was_killed() {
        let Some(cluster) = cluster().await else { return };
        let (one, two) = (cluster.first.up().await, cluster.second.up().await);
        let tokens = tenants(&cluster, &one).await;
        let writers = Writers::begin(&one, &tokens);
        writers.go_on().await;
        two.stop().await;
        writers.go_on().await;
        let refused = writers.end().await;
        assert!(refused.is_empty(), "a graceful stop refuses nobody: {refused:?}");

        // Back again, and gone without a word: what it owned is taken over once that is noticed.
        let mut two = cluster.second.up().await;
        for token in &tokens {
            register(&two.api(token), "before", "the end").await;
        }
        two.kill();
        for token in &tokens {
            let api = one.api(token);
            eventually("the other one takes over", async || {
                let input = json!({"input": component("after", "the end")});
                let answer = api.ask(APPLY, &input).await.ok()?;
                let body: Value = serde_json::from_slice(&answer.body).ok()?;
                let position = body["data"]["applyEntities"]["outcome"]["position"].as_str()?;
                let seen = seen(&api, position).await;
                let both = ["after", "before"].map(|it| (it.to_owned(), "the end".to_owned()));
                both.iter().all(|it| seen.contains(it)).then_some(())
            })
            .await;
        }
        one.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_lets_go_of_anything_for_a_process_that_cannot_serve_it() {
        let Some(cluster) = cluster().await else { return };
        let one = cluster.first.up().await;
        // Its read models cannot be opened, although the log and the vault can.
        let superuser =
            cluster.database.parse::<url::Url>().expect("an address").username().to_owned();
        let wrong =
            cluster.second.like().with("CALLBOARD_STORAGE_POSTGRESQL_READER_ROLE", superuser);
        let refused = tokio::task::block_in_place(|| wrong.run(&["up"]));
        assert!(refused.code != 0 && refused.stderr.contains("superuser"), "{}", refused.stderr);
        let log = cluster.first.home().join("server.log");
        let given =
            || std::fs::read_to_string(&log).expect("it has one").matches("order=Give").count();
        assert_eq!(given(), 0, "nothing moves for a process that has never served");

        // Positive control: half of it moves to one that can.
        let two = cluster.second.up().await;
        eventually("two are let go of", async || (given() == 2).then_some(())).await;
        two.stop().await;
        one.stop().await;
    }
}
