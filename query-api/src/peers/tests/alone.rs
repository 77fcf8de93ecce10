//! A process that can ask no other: it waits for what it may be given, and says what is missing.

use std::sync::Arc;
use std::time::Duration;

use commands::{Away, CommandError, Commands, SystemClock};
use event_log::EventLog;
use projections::Projections;
use projections::temporary::{Kind, Temporary};
use tempfile::TempDir;

use super::processes::{ITS, Two};
use super::rename;
use crate::Context;
use crate::peers::alone;
use crate::testing::SOON;

/// The third process of the group.
const BARE: usize = 2;

/// Too short for anything to happen meanwhile.
const AT_ONCE: Duration = Duration::ZERO;

/// A process without a door for others, and what it stands on.
struct Bare {
    context: Context,
    _folder: TempDir,
    _place: Temporary,
}

impl Bare {
    async fn start(two: &Two) -> Self {
        let (place, folder) = (Temporary::new(Kind::Sqlite).await, TempDir::new().unwrap());
        let log: Arc<dyn EventLog> = Arc::new(two.log.clone());
        let keyring = two.keyring.clone();
        let settings = commands::Settings::new(folder.path().join("identities"));
        let clock = Arc::new(SystemClock);
        let commands = Commands::start(log.clone(), keyring.clone(), clock, settings).await;
        let projections = Projections::start(place.settings(), log.clone(), keyring.clone()).await;
        let projections = Arc::new(projections.unwrap());
        let context = Context::new(commands.unwrap(), projections, log, keyring, SOON);
        Self { context, _folder: folder, _place: place }
    }

    async fn refused(&self, two: &Two) -> CommandError {
        let refused = alone::submit(&self.context, &two.session.principal, rename("No"), AT_ONCE);
        refused.await.unwrap_err()
    }
}

#[tokio::test]
async fn a_request_waits_until_its_partition_is_given_to_a_process_that_is_alone() {
    let two = Two::start().await;
    let bare = Bare::start(&two).await;
    let refused = bare.refused(&two).await;
    assert!(matches!(refused, CommandError::Unavailable(Away::Owner)), "{refused:?}");
    let why = alone::missing(&bare.context, ITS);
    assert!(why.contains(&two.one.address) && why.contains("`cluster.listen` is empty"), "{why}");

    let waiting = alone::submit(&bare.context, &two.session.principal, rename("Given"), SOON);
    let giving = async {
        tokio::task::yield_now().await;
        two.group.hand_over(ITS, BARE).await;
    };
    let (outcome, ()) = tokio::join!(waiting, giving);
    assert_eq!(outcome.unwrap().events.len(), 1);
}
