//! Three processes, of which one decides, one fills the tables, and one has the doors that are used:
//! what is written there is read there, and seen there as it happens.
//!
//! No setting keeps the parts of a process apart, so what each does follows from what it has. Where
//! the log has one partition, whoever comes first owns it, and the others own nothing. Where the
//! owner's read models are its own, those of the others are filled by whoever notices first that
//! nobody does.

mod on_kafka {
    use std::sync::{Arc, Mutex};

    use futures::StreamExt as _;
    use outbound::{Request, StreamedResponse};
    use serde_json::{Value, json};

    use crate::harness::{Api, Cluster, Ground, Server, eventually};

    /// The operators' tenant.
    const SYSTEM: &str = "ten_00000000000000000000000000000000";

    /// How many components are registered that everything must have of.
    const COUNT: usize = 20;

    /// Registers a component; the position at which it can be seen.
    async fn register(api: &Api, name: &str) -> String {
        let descriptor = json!({
            "apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": {"name": name},
            "spec": {"type": "service", "lifecycle": "production", "owner": "group:keepers"},
        });
        let apply = "mutation($input: ApplyEntitiesInput!) { applyEntities(input: $input) {
            outcome { position } userErrors { message } } }";
        let input = json!({"input": {"changes": [{"put": {"descriptor": descriptor}}]}});
        let applied = api.graphql(apply, input).await["applyEntities"].clone();
        assert_eq!(applied["userErrors"], json!([]));
        applied["outcome"]["position"].as_str().expect("a position").to_owned()
    }

    /// What the samples of a metric that have `labels` add up to.
    async fn counted(server: &Server, operator: &str, metric: &str, labels: &str) -> u64 {
        let answer = server.api(operator).send(Request::get(server.url("/metrics"))).await;
        let text = String::from_utf8_lossy(&answer.expect("it answers").body).into_owned();
        let samples = text.lines().filter(|it| it.starts_with(metric) && it.contains(labels));
        samples.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// How many requests of others a process has decided.
    async fn decided(server: &Server, operator: &str) -> u64 {
        let labels = "route=\"/peers/v1/commands\",status=\"200\"";
        counted(server, operator, "http_requests_total", labels).await
    }

    /// How many events a process has filled into the catalog.
    async fn filled(server: &Server, operator: &str) -> u64 {
        counted(server, operator, "projection_events_total", "model=\"catalog\"").await
    }

    /// The names of the components that are said to be registered, in order.
    fn heard(mut live: StreamedResponse) -> Arc<Mutex<Vec<String>>> {
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let hears = heard.clone();
        tokio::spawn(async move {
            let mut text = String::new();
            while let Some(Ok(piece)) = live.body.next().await {
                text.push_str(&String::from_utf8_lossy(&piece));
                while let Some((line, rest)) = text.split_once('\n') {
                    let said = line.strip_prefix("data: ").map(serde_json::from_str::<Value>);
                    let (said, rest) = (said.and_then(Result::ok), rest.to_owned());
                    text = rest;
                    let name = said.as_ref().and_then(|it| {
                        it["data"]["entityChanged"]["entity"]["name"].as_str().map(str::to_owned)
                    });
                    hears.lock().expect("nobody panics with it").extend(name);
                }
            }
        });
        heard
    }

    #[tokio::test]
    async fn what_one_process_decides_and_another_fills_in_is_read_and_seen_live_at_a_third() {
        let Some(ground) = Ground::given() else { return };
        let cluster = Cluster::of(&ground, 1).await;
        let third = cluster.third();
        let Cluster { first, second, .. } = cluster;
        let first = first.with("CALLBOARD_STORAGE_READ_MODELS", "sqlite");
        let owner = first.up().await;
        let tenant = first.create_tenant("acme");
        let (token, operator) = (first.token(&tenant), first.token(SYSTEM));
        let projector = second.up().await;
        let door = third.up().await;
        let api = door.api(&token);

        let live = "subscription { entityChanged { change entity { name } } }";
        let heard = heard(api.follow(live).await);
        let mut first_ones = 0;
        eventually("the stream has begun", async || {
            register(&api, &format!("begun-{first_ones}")).await;
            first_ones += 1;
            (!heard.lock().expect("nobody panics with it").is_empty()).then_some(())
        })
        .await;
        let names: Vec<_> = (0..COUNT).map(|it| format!("web-{it}")).collect();
        for name in &names {
            let position = register(&api, name).await;
            let query = "query($reference: String!) { entity(reference: $reference) { name } }";
            let reference = json!({"reference": format!("component:default/{name}")});
            let seen = api.graphql_at(&position, query, reference).await;
            assert_eq!(seen["entity"]["name"], **name, "what was written is read");
        }
        eventually("everything is heard, once and in order", async || {
            let heard = heard.lock().expect("nobody panics with it");
            let told: Vec<_> = heard.iter().filter(|it| it.starts_with("web-")).cloned().collect();
            assert!(names.starts_with(&told), "{told:?}");
            (told == names).then_some(())
        })
        .await;

        // Who did what.
        let all = COUNT as u64;
        assert!(decided(&owner, &operator).await >= all, "the first one decides everything");
        assert_eq!(decided(&projector, &operator).await, 0);
        assert_eq!(decided(&door, &operator).await, 0, "nothing is owned at the door");
        assert!(filled(&projector, &operator).await >= all, "the second one fills everything");
        assert_eq!(filled(&door, &operator).await, 0, "nothing is filled at the door");
        for it in [door, projector, owner] {
            it.stop().await;
        }
    }
}
