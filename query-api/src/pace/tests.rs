//! Who waits, for what, and for how long. Time is paused: it passes while everybody waits.

use commands::EventSummary;
use commands::request::Repetition;
use domain::Stream;
use domain::id::{CommandId, EntityId, EventId};
use event_log::Partition;
use futures::{FutureExt as _, poll};
use uuid::Uuid;

use super::*;
use crate::testing::Site;

const PARTITION: Partition = Partition(0);

/// A position that no model will ever show.
const NEVER: Position = Position(1 << 40);

/// The most that may be unseen of somebody beside others of whom no speed is known.
const ALLOWED: usize = 16;

/// A request that came to so many events.
fn written(position: Position, events: usize) -> Result<Outcome, CommandError> {
    let nil = Uuid::nil();
    let (id, stream) = (EventId(nil), Stream::Entity(EntityId(nil)));
    let event = EventSummary { id, stream, revision: 1, name: "entity.updated.v1".into() };
    Ok(Outcome {
        command: CommandId(nil),
        partition: PARTITION,
        position,
        sequence: 1,
        at: chrono::Utc::now(),
        events: vec![event; events],
        verdicts: Vec::new(),
        repetition: Repetition::First,
    })
}

fn rejected() -> Result<Outcome, CommandError> {
    Err(CommandError::Rejected { code: "NO".into(), reason: "no".to_owned() })
}

struct World {
    site: Site,
    pace: Pace,
    begin: Instant,
}

impl World {
    /// Two tenants that write beside each other; time stands still.
    async fn new() -> Self {
        let (site, pace) = (Site::start().await, Pace::default());
        tokio::time::pause();
        let world = Self { site, pace, begin: Instant::now() };
        for tenant in [world.hasty(), world.quiet()] {
            world.enter(tenant, 1).await.end(&written(Position::START, 1));
        }
        world
    }

    fn hasty(&self) -> TenantId {
        self.site.a.tenant
    }

    fn quiet(&self) -> TenantId {
        self.site.b.tenant
    }

    async fn enter(&self, tenant: TenantId, events: usize) -> Entry<'_> {
        self.pace.enter(tenant, events, &self.site.projections).await.expect("there is room")
    }

    fn waited(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Whether somebody has waited in vain, and nobody for longer.
    fn has_waited(&self) -> bool {
        (PATIENCE..PATIENCE + Duration::from_millis(10)).contains(&self.waited())
    }
}

#[tokio::test]
async fn whoever_is_too_far_ahead_waits_and_nobody_else_does() {
    let world = World::new().await;
    let (hasty, quiet) = (world.hasty(), world.quiet());
    world.enter(hasty, ALLOWED).await.end(&written(NEVER, ALLOWED));
    assert!(world.enter(hasty, 1).now_or_never().is_none(), "what it wrote is not shown");
    world.enter(quiet, 1).await.end(&written(NEVER, 1));
    world.enter(quiet, ALLOWED - 1).await.end(&written(NEVER, 1));
    assert_eq!(world.waited(), Duration::ZERO);
    drop(world.enter(hasty, 1).await);
    assert!(world.has_waited(), "but not for ever");
}

#[tokio::test]
async fn whoever_sees_what_it_wrote_does_not_wait() {
    let world = World::new().await;
    for _ in 0..9 {
        world.enter(world.hasty(), 500).await.end(&written(Position::START, 500));
    }
    assert_eq!(world.waited(), Duration::ZERO);
}

#[tokio::test]
async fn those_who_wait_go_on_in_order_and_never_all_together() {
    let world = World::new().await;
    let hasty = world.hasty();
    let large = world.enter(hasty, 500).await;
    let mut first = std::pin::pin!(world.enter(hasty, 10));
    let mut second = std::pin::pin!(world.enter(hasty, 10));
    let mut third = std::pin::pin!(world.enter(hasty, 1));
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending());
    assert!(poll!(&mut third).is_pending());

    large.end(&rejected());
    assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
    let first = first.await;
    assert!(poll!(&mut second).is_pending(), "the first one has taken the room");
    assert!(poll!(&mut third).is_pending(), "for it there would be room");
    assert!(world.enter(hasty, 1).now_or_never().is_none(), "also for who comes last");
    first.end(&rejected());
    let (_second, _third) = (second.await, third.await);
    assert_eq!(world.waited(), Duration::ZERO);
}

#[tokio::test]
async fn whoever_hangs_up_counts_until_its_write_would_be_shown() {
    let world = World::new().await;
    let hasty = world.hasty();
    drop(world.enter(hasty, ALLOWED).await);
    tokio::time::advance(PATIENCE - Duration::from_millis(1)).await;
    assert!(world.enter(hasty, 1).now_or_never().is_none());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(world.enter(hasty, 1).now_or_never().is_some());

    let unknown = world.enter(hasty, ALLOWED - 1).await;
    unknown.end(&Err(CommandError::Unknown));
    assert!(world.enter(hasty, 1).now_or_never().is_none(), "nor is what became of that known");
}

#[tokio::test]
async fn models_that_show_nothing_hold_up_nobody_for_long() {
    let world = World::new().await;
    let hasty = world.hasty();
    world.enter(hasty, ALLOWED).await.end(&written(NEVER, ALLOWED));
    let many = (0..100).map(|_| world.enter(hasty, 500));
    let many = futures::future::join_all(many).await;
    assert!(many.len() == 100 && world.has_waited(), "{:?}", world.waited());
}

#[tokio::test]
async fn no_more_tenants_are_remembered_than_there_is_room_for() {
    let world = World::new().await;
    let tenant = |it: usize| TenantId(Uuid::from_u128(it as u128));
    let mut entries = Vec::new();
    for it in 0..2 * REMEMBERED_MAX {
        entries.push(world.enter(tenant(it), ALLOWED).await);
    }
    let remembered = || world.pace.tenants.lock().expect("nobody panics").len();
    assert_eq!(remembered(), REMEMBERED_MAX);
    assert!(world.enter(tenant(0), 1).now_or_never().is_none());
    assert!(world.enter(tenant(2 * REMEMBERED_MAX), 1).now_or_never().is_some());
    drop(entries);
    drop(world.enter(tenant(2 * REMEMBERED_MAX), 1).await);
    assert_eq!(remembered(), 1, "those who are idle make room");
}

#[tokio::test]
async fn who_would_take_more_than_half_of_the_room_to_wait_in_is_refused() {
    let world = World::new().await;
    let hasty = world.hasty();
    let entry = world.enter(hasty, ALLOWED).await;
    let mut waiting: Vec<_> = (0..HELD_MAX).map(|_| Box::pin(world.enter(hasty, 1))).collect();
    for it in &mut waiting {
        assert!(poll!(it).is_pending());
    }
    let refused = world.pace.enter(hasty, 1, &world.site.projections).await;
    assert!(matches!(refused, Err(CommandError::Busy { .. })), "{refused:?}");
    drop(world.enter(world.quiet(), ALLOWED).await);
    waiting.pop();
    assert!(world.enter(hasty, 1).now_or_never().is_none(), "one who left makes room");
    drop((waiting, entry));
}
