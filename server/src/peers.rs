//! Carries requests to other processes of the installation: the port of `query-api`, on the client
//! of `outbound`.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use outbound::{Limits, PeerClient, PeerError, PeerIdentity, PeerIdentityError};
use query_api::auth::Credential;
use query_api::peers::{Carried, Carrier, NotCarried};

/// The longest a peer may take to answer. In seconds: 20, so that whoever asked still hears what
/// became of it.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// The other processes.
#[derive(Debug)]
pub(crate) struct Peers(PeerClient);

impl Peers {
    /// Asks them as `identity`.
    ///
    /// # Errors
    ///
    /// If its certificates cannot be used.
    pub(crate) fn new(identity: &PeerIdentity) -> Result<Self, PeerIdentityError> {
        let limits = Limits { time: ANSWER_TIME_MAX, ..Limits::default() };
        PeerClient::new(identity, limits).map(Self)
    }
}

#[async_trait]
impl Carrier for Peers {
    async fn carry(
        &self,
        address: &str,
        path: &str,
        credential: Option<&Credential>,
        body: Bytes,
    ) -> Result<Carried, NotCarried> {
        let authorization = credential.map(Credential::authorization);
        match self.0.post(address, path, authorization, body).await {
            Ok(answer) => Ok(Carried { status: answer.status, body: answer.body }),
            Err(error @ PeerError::NotSent { .. }) => Err(NotCarried::NotSent(error.to_string())),
            Err(error @ PeerError::NoAnswer { .. }) => Err(NotCarried::NoAnswer(error.to_string())),
        }
    }
}
