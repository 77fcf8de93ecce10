//! How long callers wait behind a log that does not answer.
//!
//! What was given to the log is answered once the log has said what became of it, or once that has
//! taken too long to be waited for (`recovery`). Whoever waits for a later batch has less reason to
//! wait: nothing of what it asked for was decided, so it can be told to come back.

use std::pin::pin;
use std::time::Duration;

use event_log::Partition;

use super::envelope::{Envelope, Read};
use super::inbox::Inbox;
use crate::away::Away;
use crate::request::CommandError;

/// How long a batch may take before whoever waits behind it is told to come back. In seconds: 5,
/// as long as others are told to wait before they ask again.
const WAITING_MAX: Duration = Duration::from_secs(5);

/// What those are told who waited in vain, and those who come until the batch is done.
const AWAY: Away = Away::Log;

/// Does `work`: a batch of `partition`, with everything it takes to learn what became of it and of
/// the snapshot before. If that takes too long, turns away what waits in `inbox`, and what comes, until it is done.
pub(super) async fn patiently<T>(
    partition: Partition,
    inbox: &Inbox<Envelope, Read>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(WAITING_MAX, &mut work).await {
        return done;
    }
    let waiting = inbox.turn_away(AWAY);
    tracing::warn!(
        partition = partition.0,
        requests = waiting.len(),
        waited_s = WAITING_MAX.as_secs(),
        "what waits behind a batch that is not done yet is turned away"
    );
    for envelope in waiting {
        // Whoever is to own the partition now can be asked at once.
        envelope.refuse(match inbox.is_elsewhere() {
            true => CommandError::NotOwner(partition),
            false => CommandError::Unavailable(AWAY),
        });
    }
    let done = work.await;
    inbox.let_in();
    done
}
