//! Processes of two versions: what the older one does not know is refused and named, what it knows
//! is done.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use commands::{Away, CommandError, Outcome};
use event_log::EventLog;
use outbound::PeerClient;
use serde_json::{Value, json};

use super::processes::{ITS, Two};
use super::{carried, client, rename};
use crate::auth::Credential;
use crate::peers::{Carried, Carrier, NotCarried, Sender};

/// What a newer version would send.
#[derive(Clone, Copy, Debug)]
enum Newer {
    /// An operation that did not exist.
    Operation,
    /// The same question with more said about it.
    Field,
    /// Something that must not be ignored, and so is asked for at another place.
    Place,
    /// More than the older one takes.
    Size,
}

/// The real client, which says what a newer one would.
#[derive(Debug)]
struct Rewriting {
    client: PeerClient,
    newer: Newer,
}

#[async_trait]
impl Carrier for Rewriting {
    async fn carry(
        &self,
        address: &str,
        path: &str,
        credential: Option<&Credential>,
        body: Bytes,
    ) -> Result<Carried, NotCarried> {
        let mut said: Value = serde_json::from_slice(&body).unwrap();
        let mut path = path.to_owned();
        match self.newer {
            Newer::Operation => said["operation"] = json!({"splitTenant": {"into": 2}}),
            Newer::Field => said["urgency"] = json!({"high": true}),
            Newer::Place => path = path.replace("/v1/", "/v2/"),
            Newer::Size => said["ignored"] = "x".repeat(3 * 1024 * 1024).into(),
        }
        carried(&self.client, address, &path, credential, said.to_string().into()).await
    }
}

/// What becomes of a change of a tenant's name that the second process passes on to the first.
async fn passed_on(two: &Two, newer: Newer) -> Result<Outcome, CommandError> {
    let client = client(&two.authority.identity("127.0.0.1"));
    let sender = Sender::new(two.log.owners(), Arc::new(Rewriting { client, newer }));
    sender.submit(&two.two.context, &two.session, rename(&format!("{newer:?}"))).await
}

#[tokio::test]
async fn what_an_older_process_does_not_know_is_unavailable_and_named() {
    let two = Two::start().await;
    let end = two.log.end(ITS).await.unwrap();
    for newer in [Newer::Operation, Newer::Place, Newer::Size] {
        let refused = passed_on(&two, newer).await.unwrap_err();
        let is_named = matches!(refused, CommandError::Unavailable(Away::Version));
        assert!(is_named, "{newer:?}: {refused:?}");
    }
    assert_eq!(two.log.end(ITS).await.unwrap(), end, "nothing was done");
    // Positive control: what is only said on top does no harm.
    assert_eq!(passed_on(&two, Newer::Field).await.unwrap().events.len(), 1);
}
