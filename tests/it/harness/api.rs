//! A client of the doors, for one credential.

use outbound::{Client, OutboundError, Request, Response, StreamedResponse};
use serde_json::{Value, json};
use url::Url;

/// The client of one tenant.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    base: Url,
    authorization: String,
}

impl Api {
    pub(crate) fn new(client: Client, base: Url, token: &str) -> Self {
        Self { client, base, authorization: format!("Bearer {token}") }
    }

    /// Sends a request with the credential.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, OutboundError> {
        self.client.send(request.with_header("authorization", &self.authorization)).await
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        self.base.join(path).expect("a path")
    }

    /// Posts JSON.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Response, OutboundError> {
        let request = Request::post(self.url(path), "application/json", body.to_string());
        let with = |it: Request, (name, value): &(&str, &str)| it.with_header(name, value);
        self.send(headers.iter().fold(request, with)).await
    }

    /// Gets JSON from a door that has some.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.send(Request::get(self.url(path))).await.expect("the server answers");
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{path}: {text}");
        serde_json::from_slice(&answer.body).expect("the answer is JSON")
    }

    /// Asks the GraphQL door, which may refuse or be gone.
    pub(crate) async fn ask(
        &self,
        query: &str,
        variables: &Value,
    ) -> Result<Response, OutboundError> {
        self.post("/graphql", &json!({"query": query, "variables": variables}), &[]).await
    }

    /// The `data` of an answer of the GraphQL door that has no errors.
    pub(crate) async fn graphql(&self, query: &str, variables: Value) -> Value {
        let answer = self.ask(query, &variables).await.expect("the server answers");
        data(&answer)
    }

    /// The same, of a state of the read models that has seen `position`.
    pub(crate) async fn graphql_at(&self, position: &str, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables});
        let seen = [("callboard-position", position)];
        let answer = self.post("/graphql", &body, &seen).await.expect("the server answers");
        data(&answer)
    }

    /// Follows a subscription of the GraphQL door.
    pub(crate) async fn follow(&self, subscription: &str) -> StreamedResponse {
        let body = json!({"query": subscription}).to_string();
        let request = Request::post(self.url("/graphql"), "application/json", body)
            .with_header("accept", "text/event-stream")
            .with_header("authorization", &self.authorization);
        let answer = self.client.stream(request).await.expect("the server answers");
        assert_eq!(answer.status, 200, "{subscription}");
        answer
    }
}

#[track_caller]
fn data(answer: &Response) -> Value {
    let body: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    assert!(answer.status == 200 && body["errors"].is_null(), "{}: {body}", answer.status);
    body["data"].clone()
}
