//! PostgreSQL ends under a running process, in good order or at once, and comes back: so does
//! everything that is kept there, without being filled again.

mod on_postgres {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::{Value, json};
    use sqlx::{Connection, PgConnection, Row};
    use xtask::services::Purpose;
    use xtask::services::postgres::Server as Postgres;

    use crate::faults::dump::{MODELS, differences};
    use crate::faults::tables;
    use crate::harness::{Api, Installation, eventually, postgres_binaries};

    const APPLY: &str = "mutation($input: ApplyEntitiesInput!) { applyEntities(input: $input) {
        outcome { position } userErrors { message } } }";

    /// Registers a component; the position at which it can be seen, once it can be registered.
    async fn register(api: &Api, name: &str) -> String {
        let descriptor = json!({
            "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
            "metadata": {"name": name},
            "spec": {"type": "service", "lifecycle": "production", "owner": "group:keepers"},
        });
        let input = json!({"input": {"changes": [{"put": {"descriptor": descriptor}}]}});
        eventually("it is registered", async || {
            let answer = api.ask(APPLY, &input).await.ok()?;
            let body: Value = serde_json::from_slice(&answer.body).ok()?;
            Some(body["data"]["applyEntities"]["outcome"]["position"].as_str()?.to_owned())
        })
        .await
    }

    /// How many entities and events are shown at `position`, once they can be.
    async fn shown(api: &Api, position: &str) -> (u64, u64) {
        let query = "{ entities(first: 1) { totalCount } audit(first: 1) { totalCount } }";
        eventually("it can be read", async || {
            let body = json!({"query": query});
            let at = [("callboard-position", position)];
            let answer = api.post("/graphql", &body, &at).await.ok()?;
            let data: Value = serde_json::from_slice(&answer.body).ok()?;
            let count = |it: &str| data["data"][it]["totalCount"].as_u64();
            Some((count("entities")?, count("audit")?))
        })
        .await
    }

    /// The schemas of read models, each with what the database knows it by.
    async fn schemas(url: &str) -> BTreeMap<String, i64> {
        let mut connection = PgConnection::connect(url).await.expect("it lets us in");
        let schemas = "SELECT nspname::text, oid::bigint FROM pg_namespace
            WHERE nspname ~ '^callboard_[a-z]+_v[0-9]+_g[0-9]+$'";
        let schemas = sqlx::query(schemas).fetch_all(&mut connection).await.expect("it answers");
        schemas.iter().map(|it| (it.get(0), it.get(1))).collect()
    }

    #[tokio::test]
    async fn every_model_comes_back_with_what_it_had() {
        let Some(binaries) = postgres_binaries() else { return };
        let postgres = Postgres::start(&binaries, Purpose::Tests).expect("a server starts");
        let postgres = Arc::new(postgres);
        let installation = Installation::new()
            .with("CALLBOARD_STORAGE_READ_MODELS", "postgresql")
            .with("CALLBOARD_STORAGE_VAULT", "postgresql")
            .with("CALLBOARD_STORAGE_POSTGRESQL_URL", postgres.url())
            .with("CALLBOARD_HTTP_VISIBILITY_WAIT_MS", "30000");
        let server = installation.up().await;
        let tenant = installation.create_tenant("acme");
        let api = server.api(&installation.token(&tenant));
        let mut position = register(&api, "first").await;
        let (mut count, events) = shown(&api, &position).await;
        let others = events - count;
        let before = schemas(&postgres.url()).await;
        assert_eq!(before.len(), MODELS.len());

        for round in 0..4 {
            // At rest: what was committed last may be lost, and nothing comes by which that is seen.
            postgres.kill().expect("it can be killed");
            postgres.restart().expect("it starts again");
            eventually("everything is shown again", async || {
                (shown(&api, &position).await == (count, count + others)).then_some(())
            })
            .await;
            // While somebody writes.
            let writing = async {
                for number in 0..20 {
                    register(&api, &format!("r{round}-{number}")).await;
                }
            };
            let broken = postgres.clone();
            let breaking = tokio::task::spawn_blocking(move || {
                if round % 2 == 0 {
                    broken.kill().expect("it can be killed");
                } else {
                    broken.stop().expect("it can be stopped");
                }
                broken.restart().expect("it starts again");
            });
            let ((), broken) = tokio::join!(writing, breaking);
            broken.expect("it was broken and mended");
            position = register(&api, &format!("after-{round}")).await;
            count += 21;
            assert_eq!(shown(&api, &position).await, (count, count + others));
        }

        let operator = installation.token("ten_00000000000000000000000000000000");
        let operator = server.api(&operator);
        let models = eventually("every model goes on, to the end of the log", async || {
            let models = operator.get("/api/v1/projections").await;
            let is_done = |it: &Value| {
                let partition = &it["partitions"][0];
                partition["eventsBehind"] == 0 && partition["stopped"] == Value::Null
            };
            models.as_array()?.iter().all(is_done).then_some(models)
        })
        .await;
        for it in models.as_array().expect("a list") {
            assert_eq!((&it["generation"], &it["live"]), (&json!(1), &json!(true)), "{it}");
        }
        let after = schemas(&postgres.url()).await;
        assert_eq!(after, before, "they are still the same tables");
        let kept = tables::dump(&postgres.url()).await;
        for model in MODELS {
            installation.run(&["projections", "rebuild", model]).text();
        }
        let fresh = tables::dump(&postgres.url()).await;
        let differences = differences(&kept, &fresh);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        server.stop().await;
    }
}
