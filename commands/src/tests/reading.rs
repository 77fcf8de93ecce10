//! A log that stops being readable just when its owner has to know what became of a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::id::TenantId;
use domain::operation::Operation;
use event_log::memory::Fault;
use event_log::{LogError, Reader, Recorded};
use uuid::Uuid;

use super::installation::{Installation, SOON, operator};
use super::wrapped::WrappedLog;
use crate::Commands;
use crate::request::{CommandError, Outcome, Request};
use crate::settings::Sabotage;

/// A reader that fails after the first command it has read.
#[derive(Debug)]
struct CutReader {
    reader: Box<dyn Reader>,
    has_read: bool,
}

#[async_trait]
impl Reader for CutReader {
    async fn next(&mut self, _: usize) -> Result<Vec<Recorded>, LogError> {
        if std::mem::replace(&mut self.has_read, true) {
            let source = std::io::Error::other("made to fail by a test");
            return Err(LogError::Storage { doing: "reading".to_owned(), source });
        }
        self.reader.next(1).await
    }
}

/// Registers two tenants in one batch whose outcome is unknown although it was written, while
/// the log can be read only in part at first.
async fn register_two(
    sabotage: Option<Sabotage>,
) -> (Installation, [TenantId; 2], [Result<Outcome, CommandError>; 2]) {
    let mut installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    installation.commands.stop().await;
    let cut = Arc::<AtomicBool>::default();
    let cuts = cut.clone();
    let log = WrappedLog::new(installation.log.clone(), move |reader| {
        if cuts.swap(false, Ordering::SeqCst) {
            return Box::new(CutReader { reader, has_read: false });
        }
        reader
    });
    let (keyring, clock) = (installation.keyring.clone(), Arc::new(installation.clock.clone()));
    let mut settings = installation.settings.clone();
    settings.identities = settings.identities.with_file_name("cut");
    installation.commands = Commands::start(Arc::new(log), keyring, clock, settings).await.unwrap();

    // Whoever has to wait for a key does not come into the same batch.
    installation.keyring.tenant(TenantId::SYSTEM).await.unwrap();
    cut.store(true, Ordering::SeqCst);
    installation.log.faults().fail_next(Fault::UnknownWritten);
    let tenants = [TenantId(Uuid::now_v7()), TenantId(Uuid::now_v7())];
    let register = |tenant, slug: &str| Operation::RegisterTenant {
        tenant,
        slug: slug.parse().unwrap(),
        name: slug.parse().unwrap(),
        owner: None,
    };
    let principal = operator();
    let commands = &installation.commands;
    let one = commands.submit(&principal, Request::new(register(tenants[0], "acme")));
    let other = commands.submit(&principal, Request::new(register(tenants[1], "umbrella")));
    let (one, other) = tokio::time::timeout(SOON, async { tokio::join!(one, other) })
        .await
        .expect("an answer comes soon");
    assert!(!cut.load(Ordering::SeqCst), "a reader was cut");
    (installation, tenants, [one, other])
}

#[tokio::test]
async fn what_was_read_before_reading_failed_is_not_decided_twice() {
    let (installation, tenants, outcomes) = register_two(None).await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap().events.len(), 1);
    }
    for tenant in tenants {
        installation.commands.created(tenant, SOON).await.expect("what follows is not lost");
    }
}

#[tokio::test]
async fn forgetting_what_was_read_would_decide_it_twice() {
    let (_, _, outcomes) = register_two(Some(Sabotage::ForgetRead)).await;
    let [one, other] = outcomes;
    assert_ne!(one.unwrap().events.len(), 1, "the check would notice");
    assert_eq!(other.unwrap().events.len(), 1);
}
