//! Who waits for whom. No broker is asked anything.

use std::sync::Barrier;
use std::sync::mpsc;

use super::pool::SCANS_MAX;
use super::*;
use crate::kafka::{SESSION_TIMEOUT, Security};

/// How long anything may take that must come. In seconds: 60.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

fn scanner() -> Scanner {
    Scanner::new(&KafkaConfig {
        bootstrap: "127.0.0.1:1".to_owned(),
        prefix: "none.".to_owned(),
        replication: 1,
        session_timeout: SESSION_TIMEOUT,
        security: Security::Plaintext,
    })
}

/// Has `then` run while everything of `pool` is in use by those who are told nothing meanwhile.
fn while_taken<T: Send>(pool: &Pool, then: impl FnOnce() -> T + Send) -> T {
    let taken = Barrier::new(SCANS_MAX + 1);
    let released = Barrier::new(SCANS_MAX + 1);
    std::thread::scope(|scope| {
        for _ in 0..SCANS_MAX {
            scope.spawn(|| {
                let held = pool.with(nobody_asks, |_| {
                    taken.wait();
                    released.wait();
                    Ok(())
                });
                held.unwrap();
            });
        }
        taken.wait();
        let (sender, receiver) = mpsc::channel();
        scope.spawn(move || drop(sender.send(then())));
        let done = receiver.recv_timeout(PATIENCE_MAX);
        released.wait();
        done.expect("it waits no longer than it should")
    })
}

fn nobody_asks() -> Result<(), LogError> {
    panic!("it had to wait")
}

#[test]
fn who_looks_for_an_end_does_not_wait_for_those_who_read_whole_topics() {
    let scanner = scanner();
    while_taken(&scanner.topics, || scanner.ends.with(nobody_asks, |_| Ok(()))).unwrap();
}

#[test]
fn who_waits_for_those_who_are_told_nothing_reads_all_the_same() {
    let scanner = scanner();
    let mut asked = false;
    let answers = || {
        asked = true;
        Ok(())
    };
    while_taken(&scanner.ends, || scanner.ends.with(answers, |_| Ok(()))).unwrap();
    assert!(asked, "whether its own broker answers");
}

#[test]
fn who_waits_is_told_what_is_wrong_with_its_own_broker() {
    let scanner = scanner();
    let is_away = || Err(trouble("asking", "it is away"));
    let read = |_: &Consumer| -> Result<(), LogError> { panic!("nothing is read") };
    let error = while_taken(&scanner.ends, || scanner.ends.with(is_away, read)).unwrap_err();
    assert!(format!("{error:?}").contains("it is away"), "{error:?}");
    // It has given back what it had.
    for _ in 0..=SCANS_MAX {
        scanner.ends.with(nobody_asks, |_| Ok(())).unwrap();
    }
}
