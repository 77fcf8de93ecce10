use std::sync::Arc;

use super::{Fault, MemoryLog};
use crate::conformance::{TENANT, record};
use crate::port::{AppendError, EventLog, LogError, Partition};

crate::conformance_tests!((Arc::new(MemoryLog::new(2)), ()));

const PARTITION: Partition = Partition(0);

#[tokio::test]
async fn a_refused_append_leaves_nothing_and_keeps_the_writer() {
    let log = MemoryLog::new(1);
    let mut writer = log.claim(PARTITION).await.unwrap();
    log.faults().fail_next(Fault::Refused);
    let refused = writer.append(vec![record(TENANT, 1, "1/1")]).await;
    assert!(matches!(refused, Err(AppendError::Refused(LogError::Full))));
    assert_eq!(log.end(PARTITION).await.unwrap().0, 0);
    assert_eq!(writer.append(vec![record(TENANT, 1, "1/1")]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_unknown_append_is_there_or_not_and_ends_the_writer() {
    for (fault, end) in [(Fault::UnknownWritten, 1), (Fault::UnknownLost, 0)] {
        let log = MemoryLog::new(1);
        let mut writer = log.claim(PARTITION).await.unwrap();
        log.faults().fail_next(fault);
        let unknown = writer.append(vec![record(TENANT, 1, "1/1")]).await;
        assert!(matches!(unknown, Err(AppendError::Unknown(_))));
        assert_eq!(log.end(PARTITION).await.unwrap().0, end);
        let after = writer.append(vec![record(TENANT, 1, "1/1")]).await;
        assert!(matches!(after, Err(AppendError::Fenced)));
    }
}

#[tokio::test]
async fn a_held_append_waits_until_it_is_let_go() {
    let log = MemoryLog::new(1);
    let mut writer = log.claim(PARTITION).await.unwrap();
    let held = log.faults().hold();
    let append = tokio::spawn(async move { writer.append(vec![record(TENANT, 1, "1/1")]).await });
    tokio::task::yield_now().await;
    assert_eq!(log.end(PARTITION).await.unwrap().0, 0);
    drop(held);
    assert_eq!(append.await.unwrap().unwrap().len(), 1);
}
