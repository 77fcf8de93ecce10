//! Who waits, for what, and for how long. Time is paused: it passes while everybody waits.

use futures::poll;

use super::*;
use crate::testing::Site;

const PARTITION: Partition = Partition(0);

/// A position that no model will ever show.
const NEVER: Position = Position(1 << 40);

#[tokio::test]
async fn whoever_has_written_what_is_not_shown_waits_and_nobody_else_does() {
    let site = Site::start().await;
    let (models, pace) = (site.projections.models(), Pace::default());
    let (hasty, quiet) = (site.a.tenant, site.b.tenant);
    tokio::time::pause();
    let begin = Instant::now();

    pace.keep(hasty, &models).await;
    pace.wrote(hasty, PARTITION, NEVER, 1);
    pace.wrote(quiet, PARTITION, NEVER, 1);
    tokio::time::advance(UNSEEN_MAX).await;
    pace.wrote(hasty, PARTITION, NEVER.next(), AHEAD_MIN - 1);
    pace.keep(hasty, &models).await;
    assert_eq!(begin.elapsed(), UNSEEN_MAX, "a moment is not long enough to wait");

    tokio::time::advance(Duration::from_millis(1)).await;
    let mut waiting = std::pin::pin!(pace.keep(hasty, &models));
    assert!(poll!(&mut waiting).is_pending(), "what it wrote first is not shown");
    pace.keep(quiet, &models).await;
    assert_eq!(begin.elapsed(), UNSEEN_MAX + Duration::from_millis(1), "one event is no flood");
    waiting.await;
    assert!(begin.elapsed() >= UNSEEN_MAX + PATIENCE, "but not for ever");
    pace.keep(hasty, &models).await;
    assert!(!pace.lock().contains_key(&hasty), "it has waited for that");
}

#[tokio::test]
async fn whoever_sees_what_it_wrote_does_not_wait() {
    let site = Site::start().await;
    let (models, pace) = (site.projections.models(), Pace::default());
    tokio::time::pause();
    pace.wrote(site.a.tenant, PARTITION, Position::START, AHEAD_MIN);
    tokio::time::advance(UNSEEN_MAX + Duration::from_millis(1)).await;
    let mut waiting = std::pin::pin!(pace.keep(site.a.tenant, &models));
    assert!(poll!(&mut waiting).is_ready());
}
