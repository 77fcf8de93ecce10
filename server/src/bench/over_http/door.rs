//! The doors of the measured server, as one tenant uses them.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use outbound::{Client, Limits, Reach, Request};
use query_api::context::POSITION_HEADER;
use serde_json::{Value, json};
use url::Url;

/// How many usage entries one request holds.
pub(in crate::bench) const ENTRIES: u64 = 100;

/// The doors of the measured server, for one tenant.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Door {
    pub(in crate::bench) client: Client,
    pub(in crate::bench) base: Url,
    pub(in crate::bench) bearer: Arc<str>,
}

/// A client with connections of its own.
pub(in crate::bench) fn client() -> Client {
    Client::new(Reach::Loopback, Limits::default())
}

impl Door {
    /// The same doors over connections of their own.
    pub(in crate::bench) fn apart(&self) -> Self {
        Self { client: client(), ..self.clone() }
    }

    /// Says something and reads at its position.
    pub(in crate::bench) async fn round(&self, number: u64) -> Result<()> {
        let position = self.apply(number, 1).await?;
        let query = json!({"query": "{ entities(first: 1) { totalCount } }"});
        let request = Request::post(
            self.base.join("/graphql")?,
            "application/json",
            serde_json::to_vec(&query)?,
        );
        let answer = self.send(request.with_header(POSITION_HEADER, &position)).await?;
        answer["data"]["entities"]["totalCount"].as_u64().with_context(|| format!("{answer}"))?;
        Ok(())
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Value> {
        self.send(Request::post(self.base.join(path)?, "application/json", body)).await
    }

    async fn send(&self, request: Request) -> Result<Value> {
        let request = request.with_header("authorization", &self.bearer);
        let answer = self.client.send(request).await?;
        if answer.status != 200 {
            bail!(
                "the server answered {}: {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }

    pub(in crate::bench) async fn graphql(&self, query: &str, variables: Value) -> Result<Value> {
        let body = serde_json::to_vec(&json!({"query": query, "variables": variables}))?;
        let answer = self.post("/graphql", body).await?;
        if let Some(error) = answer["errors"].get(0) {
            bail!("the server answered {error}");
        }
        Ok(answer["data"].clone())
    }

    /// Writes so many entities; their position.
    pub(in crate::bench) async fn apply(&self, first: u64, count: u64) -> Result<String> {
        let changes = (first..first + count).map(|number| {
            json!({"put": {"descriptor": {
                "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
                "metadata": {"name": format!("c-{number}"), "title": format!("Component {number}")},
                "spec": {"type": "service", "lifecycle": "production", "owner": "group:team"},
            }}})
        });
        let input = json!({"changes": changes.collect::<Vec<_>>()});
        let query = "mutation($input: ApplyEntitiesInput!) {
            applyEntities(input: $input) { outcome { position } userErrors { message } }
        }";
        let answer = self.graphql(query, json!({"input": input})).await?;
        if let Some(error) = answer["applyEntities"]["userErrors"].get(0) {
            bail!("an entity was refused: {error}");
        }
        let position = answer["applyEntities"]["outcome"]["position"].as_str();
        Ok(position.context("the server names a position")?.to_owned())
    }

    pub(in crate::bench) async fn usage(&self, caller: usize, times: u64) -> Result<()> {
        let entries = (0..ENTRIES).map(|number| {
            json!({"source": "bench", "id": format!("{caller}-{times}-{number}"),
                "meter": "api.calls", "value": "1"})
        });
        let body = serde_json::to_vec(&entries.collect::<Vec<_>>())?;
        self.post("/api/v1/usage", body).await.map(drop)
    }

    pub(in crate::bench) async fn count(&self) -> Result<u64> {
        let answer = self.graphql("{ entities(first: 1) { totalCount } }", json!({})).await?;
        answer["entities"]["totalCount"].as_u64().context("the server counts")
    }

    /// How many events the read model that is furthest behind has not applied. For operators.
    pub(in crate::bench) async fn behind(&self) -> Result<u64> {
        let status = self.send(Request::get(self.base.join("/api/v1/projections")?)).await?;
        let models = status.as_array().context("the server lists its models")?;
        let partitions = models.iter().filter_map(|it| it["partitions"].as_array()).flatten();
        let behind = partitions.map(|it| it["eventsBehind"].as_u64());
        let behind: Option<Vec<u64>> = behind.collect();
        Ok(behind.context("the server counts")?.into_iter().max().unwrap_or(0))
    }
}
