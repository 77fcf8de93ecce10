//! What is known of who somebody is while the owner of their partition waits for the log.

use domain::id::{ActorId, TenantId};
use domain::principal::Principal;
use event_log::Partition;
use event_log::memory::Fault;
use uuid::Uuid;

use super::cluster::Cluster;
use super::outage::{BUSY, DOORS, answer, ask};
use crate::request::CommandError;

/// Whether the first node says who somebody is, in a tenant that is there and in one that never was.
async fn says_who_is_who(cluster: &Cluster, acme: &Principal) -> bool {
    let actor = ActorId(Uuid::now_v7());
    for tenant in [acme.tenant(), TenantId(Uuid::now_v7())] {
        // It waits for as long as a door does.
        let asked = cluster.nodes[0].principal(tenant, actor);
        if !matches!(tokio::time::timeout(DOORS, asked).await, Ok(Ok(_))) {
            return false;
        }
    }
    true
}

#[tokio::test(start_paused = true)]
async fn who_somebody_is_is_known_while_the_log_says_nothing_of_an_append_or_a_claim() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let (node, faults) = (&cluster.nodes[0], cluster.log.faults());
    let held = faults.hold();
    let sent = ask(node, &acme, "sent").await;
    tokio::time::sleep(BUSY).await;
    assert!(says_who_is_who(&cluster, &acme).await, "nothing was recorded since");
    let in_turn = node.owner(Partition(0)).read(|_| ()).await;
    assert!(matches!(in_turn, Err(CommandError::Unavailable(_))), "the owner itself is busy");
    let claims = faults.hold_claims();
    faults.fail_next(Fault::UnknownLost);
    drop(held);
    tokio::time::sleep(BUSY).await;
    assert!(says_who_is_who(&cluster, &acme).await, "nothing was recorded since");
    assert!(!sent.is_finished(), "the claim is still under way");
    drop(claims);
    answer(sent).await.expect("it is decided anew");
}

#[tokio::test(start_paused = true)]
async fn nobody_says_who_somebody_is_of_whom_more_is_recorded_than_is_shown() {
    let cluster = Cluster::new(2, 1, None).await;
    cluster.hand_over(0, 0).await;
    let acme = cluster.tenant("acme").await;
    let faults = cluster.log.faults();
    let claims = faults.hold_claims();
    faults.fail_next(Fault::UnknownWritten);
    let sent = ask(&cluster.nodes[0], &acme, "sent").await;
    assert!(!says_who_is_who(&cluster, &acme).await, "it may be about them");
    drop(claims);
    answer(sent).await.expect("it was written");
    assert!(says_who_is_who(&cluster, &acme).await);
}
