//! A log of as many partitions as it has where nobody says otherwise: one process alone owns all of
//! them, then two share them, then one does again.

mod on_kafka {
    use std::process::Stdio;

    use event_log::kafka::{KafkaConfig, SESSION_TIMEOUT, Security};
    use event_log::{EventLog, KafkaLog};
    use serde_json::{Value, json};

    use crate::harness::{Api, Cluster, Ground, PATIENCE, Profile, Server, eventually};

    const MODELS: [&str; 5] = ["catalog", "organisation", "billing", "analytics", "audit"];

    /// As `callboard kafka init` makes them.
    const PARTITIONS: usize = 64;

    /// The most memory that a process of a debug build may hold. In MiB: 768, several times what it
    /// holds, and less than what every reader of every partition could.
    const MEMORY_MAX_MIB: u64 = 768;

    /// The most threads: 10 for each partition and 200 beside them, as the guide leaves room for. A producer
    /// has seven, of its own and of the client's.
    const THREADS_MAX: u64 = 64 * 10 + 200;

    const APPLY: &str = "mutation($input: ApplyEntitiesInput!) { applyEntities(input: $input) {
        outcome { commandId } userErrors { message } } }";

    /// A tenant, and what it has registered.
    struct Tenant {
        token: String,
        names: Vec<String>,
    }

    impl Tenant {
        /// Registers one more component at one process and sees all of them at another.
        async fn goes_on(&mut self, write: &Server, read: &Server) {
            let name = format!("part-{:04}", self.names.len());
            let descriptor = json!({
                "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
                "metadata": {"name": &name},
                "spec": {"type": "service", "lifecycle": "production", "owner": "group:keepers"},
            });
            let input = json!({"input": {"changes": [{"put": {"descriptor": descriptor}}]}});
            let (write, read) = (write.api(&self.token), read.api(&self.token));
            // Right after a change of owners it may be too early once; twice changes nothing.
            eventually("it is registered", async || applied(&write, &input).await).await;
            self.names.push(name);
            eventually("all are seen", async || (seen(&read).await? == self.names).then_some(()))
                .await;
        }
    }

    /// Whether it was accepted.
    async fn applied(api: &Api, input: &Value) -> Option<()> {
        let answer = api.ask(APPLY, input).await.ok()?;
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let applied = &body["data"]["applyEntities"];
        assert!(applied.is_null() || applied["userErrors"] == json!([]), "{body}");
        applied["outcome"].is_object().then_some(())
    }

    /// What a tenant sees.
    async fn seen(api: &Api) -> Option<Vec<String>> {
        let answer =
            api.ask("{ entities(first: 100) { nodes { name } } }", &Value::Null).await.ok()?;
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let nodes = body["data"]["entities"]["nodes"].as_array()?.iter();
        let mut seen: Vec<_> =
            nodes.map(|it| it["name"].as_str().map(str::to_owned)).collect::<Option<_>>()?;
        seen.sort();
        Some(seen)
    }

    async fn go_on(tenants: &mut [Tenant], write: &Server, read: &Server) {
        futures::future::join_all(tenants.iter_mut().map(|it| it.goes_on(write, read))).await;
    }

    /// Waits until so many partitions are served by these addresses, each the same number of them.
    async fn is_shared_by(log: &KafkaLog, addresses: &[&String]) {
        let mut owners = log.owners();
        let shared = owners.wait_for(|owners| {
            let served =
                |address: &str| owners.iter().filter(|it| it.as_deref() == Some(address)).count();
            addresses.iter().all(|it| served(it) == PARTITIONS / addresses.len())
        });
        let shared = tokio::time::timeout(PATIENCE, shared).await;
        shared.expect("they share them").expect("the log goes on");
    }

    /// The log as one more process would open it.
    async fn log(ground: &Ground, cluster: &Cluster) -> KafkaLog {
        let config = KafkaConfig {
            bootstrap: ground.bootstraps[0].clone(),
            prefix: cluster.prefix.clone(),
            replication: 1,
            session_timeout: SESSION_TIMEOUT,
            security: Security::Plaintext,
        };
        KafkaLog::open(config).await.expect("the log is there")
    }

    fn is_bounded(server: &Server) {
        let (memory, threads) = (server.memory_mib(), server.threads());
        assert!(memory <= MEMORY_MAX_MIB, "it holds {memory} MiB");
        assert!(threads <= THREADS_MAX, "it has {threads} threads");
    }

    #[tokio::test]
    async fn one_process_owns_64_partitions_two_share_them_and_one_goes_on() {
        let Some(ground) = Ground::given() else { return };
        let cluster = Cluster::of(&ground, u32::try_from(PARTITIONS).expect("it is few")).await;
        let one = cluster.first.up().await;
        let count = Profile::of_this_run().count(16, PARTITIONS, 2 * PARTITIONS);
        let mut tenants = Vec::new();
        for number in 0..count {
            let id = cluster.first.create_tenant(&format!("tenant-{number}"));
            tenants.push(Tenant { token: cluster.first.token(&id), names: Vec::new() });
        }
        go_on(&mut tenants, &one, &one).await;
        is_bounded(&one);

        // Every set is filled a second time beside the one that is read, all at once.
        let rebuilding = MODELS.map(|model| {
            let mut command = cluster.first.command(&["projections", "rebuild", model]);
            command.stdout(Stdio::null()).spawn().expect("the binary starts")
        });
        for mut rebuilding in rebuilding {
            let ended = eventually("it is rebuilt", async || {
                go_on(&mut tenants, &one, &one).await;
                rebuilding.try_wait().expect("a process of ours can be waited for")
            });
            assert!(ended.await.success());
        }
        is_bounded(&one);

        let log = log(&ground, &cluster).await;
        let [first, second] = &cluster.peers;
        is_shared_by(&log, &[first]).await;
        let two = cluster.second.up().await;
        is_shared_by(&log, &[first, second]).await;
        go_on(&mut tenants, &two, &one).await;
        go_on(&mut tenants, &one, &two).await;
        is_bounded(&two);
        one.stop().await;
        is_shared_by(&log, &[second]).await;
        go_on(&mut tenants, &two, &two).await;
        is_bounded(&two);
        two.stop().await;
    }
}
