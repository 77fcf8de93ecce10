//! Clauses about readers.

use super::{
    Log, PARTITION, Partition, append, assert_damage_free, claim, command, next, read_all, reader,
    soon,
};
use crate::port::{LogError, Position};

/// A reader starts at the first record that stands at or after the position asked for.
pub async fn reads_from_any_position(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    for number in 1..=10 {
        append(&mut writer, command(number * 10, 3)).await;
    }
    let all = read_all(&log, PARTITION, Position::START).await;
    let end = soon(log.end(PARTITION)).await.expect("the log has an end");
    for from in (0..end.0).map(Position) {
        let expected = all.iter().filter(|it| it.position >= from).cloned().collect::<Vec<_>>();
        assert_eq!(read_all(&log, PARTITION, from).await, expected, "from {from}");
    }
}

/// The end can be waited at; beyond it there is nothing to wait for.
pub async fn refuses_to_read_beyond_the_end(log: Log) {
    let mut writer = claim(&log, PARTITION).await;
    for count in [0, 1, 5] {
        append(&mut writer, command(1, count)).await;
        let end = soon(log.end(PARTITION)).await.expect("the log has an end");
        assert_damage_free(&soon(log.read(PARTITION, end)).await);
        let asked = end.next();
        let beyond = soon(log.read(PARTITION, asked)).await;
        let Err(LogError::BeyondEnd { partition, asked: told, end: known }) = beyond else {
            panic!("expected `BeyondEnd`, got {beyond:?}");
        };
        assert_eq!((partition, told, known), (PARTITION, asked, end));
    }
}

/// However few records are asked for, a command comes whole, and not much more than asked for.
pub async fn never_splits_a_command(log: Log) {
    const COMMAND_RECORDS_MAX: u64 = 9;
    let mut writer = claim(&log, PARTITION).await;
    let mut number = 0;
    for batch in 1..=12 {
        let sizes = (1..=COMMAND_RECORDS_MAX).map(|it| (it * batch) % COMMAND_RECORDS_MAX + 1);
        let commands = sizes.flat_map(|size| {
            number += size;
            command(number, size)
        });
        let commands = commands.collect();
        append(&mut writer, commands).await;
    }
    let all = read_all(&log, PARTITION, Position::START).await;
    for records_max in [0, 1, 2, 3, 5, 8, 40, 1000] {
        let mut reader = reader(&log, PARTITION, Position::START).await;
        let mut read = Vec::new();
        while read.len() < all.len() {
            let found = next(&mut reader, records_max).await;
            assert!(found.last().is_some_and(|it| it.record.ends_command()), "a command is whole");
            let most = records_max.max(1) as u64 + COMMAND_RECORDS_MAX;
            assert!(found.len() as u64 <= most, "{} for {records_max}", found.len());
            read.extend(found);
        }
        assert_eq!(read, all);
    }
}

/// The end moves over a whole batch at once, and never comes back.
pub async fn shows_a_batch_at_once(log: Log) {
    const BATCHES: u64 = 50;
    let watched = log.clone();
    let watcher = tokio::spawn(async move {
        let mut ends = vec![Position::START];
        let mut reader = reader(&watched, PARTITION, Position::START).await;
        let mut read = 0;
        while read < BATCHES * 6 {
            read += next(&mut reader, 1).await.len() as u64;
            ends.push(soon(watched.end(PARTITION)).await.expect("the log has an end"));
        }
        ends
    });
    let mut writer = claim(&log, PARTITION).await;
    let mut possible = vec![Position::START];
    for number in 0..BATCHES {
        let batch = [command(number * 10, 2), command(number * 10 + 2, 4)].concat();
        let positions = append(&mut writer, batch).await;
        possible.extend(positions.last().map(|it| it.next()));
    }
    let seen = watcher.await.expect("the watcher does not fail");
    assert!(seen.is_sorted());
    assert!(seen.iter().all(|it| possible.contains(it)), "{seen:?} within {possible:?}");
}

/// A reader at the end waits and gets what comes, from every writer in turn.
pub async fn follows_the_live_end(log: Log) {
    let mut follower = reader(&log, PARTITION, Position::START).await;
    for number in 1..=10 {
        let mut writer = claim(&log, PARTITION).await;
        let batch = command(number, 2);
        let (found, positions) =
            tokio::join!(next(&mut follower, 100), append(&mut writer, batch.clone()));
        assert_eq!(found.iter().map(|it| it.position).collect::<Vec<_>>(), positions);
        assert_eq!(found.into_iter().map(|it| it.record).collect::<Vec<_>>(), batch);
    }
}

/// Many readers, some late, all get everything once, while a writer goes on.
pub async fn keeps_readers_apart(log: Log) {
    const COMMANDS: u64 = 200;
    const READERS: u64 = 8;
    let readers: Vec<_> = (0..READERS)
        .map(|index| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut reader = reader(&log, PARTITION, Position::START).await;
                let mut read = Vec::new();
                while (read.len() as u64) < COMMANDS * 3 {
                    let wanted = usize::try_from(index * index + 1).expect("a small number");
                    read.extend(next(&mut reader, wanted).await);
                }
                read
            })
        })
        .collect();
    let mut writer = claim(&log, PARTITION).await;
    for number in 0..COMMANDS {
        append(&mut writer, command(number * 3, 3)).await;
    }
    let all = read_all(&log, PARTITION, Position::START).await;
    for reader in readers {
        assert_eq!(reader.await.expect("a reader does not fail"), all);
    }
}

/// A read that is given up while it waits, or right when it would answer, loses nothing.
pub async fn loses_nothing_when_a_pending_read_is_dropped(log: Log) {
    const COMMANDS: u64 = 100;
    let mut reader = reader(&log, PARTITION, Position::START).await;
    let mut read = Vec::new();
    tokio::select! {
        biased;
        found = reader.next(3) => panic!("the log is empty, but {found:?} was read"),
        () = tokio::task::yield_now() => (),
    }
    let appending = log.clone();
    let appender = tokio::spawn(async move {
        let mut writer = claim(&appending, PARTITION).await;
        for number in 0..COMMANDS {
            append(&mut writer, command(number * 2, 2)).await;
            tokio::task::yield_now().await;
        }
    });
    while (read.len() as u64) < COMMANDS * 2 {
        tokio::select! {
            biased;
            found = next(&mut reader, 3) => read.extend(found),
            () = tokio::task::yield_now() => read.extend(next(&mut reader, 3).await),
        }
    }
    appender.await.expect("the appender does not fail");
    assert_eq!(read, read_all(&log, PARTITION, Position::START).await);
    assert_eq!(soon(log.end(Partition(1))).await.expect("the log has an end"), Position::START);
}
