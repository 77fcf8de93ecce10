//! How identity providers are talked to: through the one HTTP client.

use std::time::Duration;

use async_trait::async_trait;
use outbound::{Client, Limits, Reach, Request};
use query_api::federation::{Fetch, Fetched, Unfetched};
use url::Url;

use crate::config::ProviderReach;

/// What an answer may cost. In seconds: 10; in bytes: 1 MiB. Where one leads elsewhere it is not followed:
/// what is sent is for nobody else.
const LIMITS: Limits =
    Limits { time: Duration::from_secs(10), body_bytes: 1024 * 1024, redirects: 0 };

/// Talks to providers.
#[derive(Debug)]
pub(crate) struct Outbound(Client);

impl Outbound {
    /// Talks to those that are there.
    pub(crate) fn new(reach: ProviderReach) -> Self {
        let reach = match reach {
            ProviderReach::Public => Reach::Public,
            ProviderReach::Loopback => Reach::Loopback,
        };
        Self(Client::new(reach, LIMITS))
    }

    async fn send(&self, request: Request) -> Result<Fetched, Unfetched> {
        let answer = self.0.send(request.with_header("accept", "application/json")).await;
        let answer = answer.map_err(|it| Unfetched(it.into()))?;
        Ok(Fetched { status: answer.status, body: answer.body })
    }
}

#[async_trait]
impl Fetch for Outbound {
    async fn get(&self, url: &str) -> Result<Fetched, Unfetched> {
        self.send(Request::get(address(url)?)).await
    }

    async fn post(
        &self,
        url: &str,
        form: String,
        authorization: Option<String>,
    ) -> Result<Fetched, Unfetched> {
        let mut request = Request::post(address(url)?, "application/x-www-form-urlencoded", form);
        if let Some(authorization) = authorization {
            request = request.with_header("authorization", &authorization);
        }
        self.send(request).await
    }
}

fn address(url: &str) -> Result<Url, Unfetched> {
    Url::parse(url).map_err(|it| Unfetched(it.into()))
}
