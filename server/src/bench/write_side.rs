//! Validated durable commands in process, against the bare log with the same bytes.
//!
//! The baseline is what the log makes durable for as many callers as ask for commands, each of
//! which waits for its own record before it comes again, as in `cargo bench -p event-log`: the same
//! records, no decision. How fast one caller is who has full batches ready is told beside it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use commands::{Commands, Request};
use domain::Principal;
use domain::operation::{EntityChange, ExpectedRevision, Operation};
use event_log::embedded::{EmbeddedLog, Settings};
use event_log::{EventLog, Partition, Position, Record};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::child::processor_time_of;
use super::in_process::{InProcess, tenant};
use super::{Row, Verdict, percent, rate};

/// How many callers wait at a time.
const CALLERS: usize = 256;

/// Measures commands, then the bare log with the records that were written.
///
/// # Errors
///
/// If a part does not start.
pub(crate) async fn commands(folder: &Path, seconds: Duration) -> Result<Row> {
    let InProcess { folder, log, commands, .. } = InProcess::start(folder).await?;
    let member = tenant(&commands, "bench").await?;
    let cpu = processor_time_of("self")?;
    let (count, took) = saturate(&commands, &member, seconds).await?;
    let cpu = (processor_time_of("self")? - cpu).as_micros() / u128::from(count.max(1));
    commands.stop().await;
    let sample = sample(log.as_ref()).await?;
    drop(commands);
    drop(log);

    let bare = EmbeddedLog::open(folder.path().join("bare"), Settings::default())?;
    let full = full_batches(&bare, &sample, seconds).await?;
    let bare = waiting_writers(&bare, &sample, seconds).await?;
    let commanded = rate(count, took);
    let ratio = percent(commanded, bare);
    Ok(Row {
        what: "durable commands in process, 256 waiting",
        measured: format!("{commanded}/s, {ratio} %, {cpu} µs CPU each"),
        baseline: format!(
            "bare log, same bytes, {CALLERS} waiting writers: {bare}/s (one writer of ready \
             batches of {CALLERS}: {full}/s)"
        ),
        target: ">= 60 %",
        verdict: Verdict::of(ratio >= 60),
    })
}

async fn saturate(
    commands: &Commands,
    member: &Principal,
    seconds: Duration,
) -> Result<(u64, Duration)> {
    let (began, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let callers = (0..CALLERS).map(|_| {
        let (commands, next, member) = (commands.clone(), next.clone(), member.clone());
        tokio::spawn(async move {
            let mut done = 0_u64;
            while began.elapsed() < seconds {
                let operation = register(next.fetch_add(1, Ordering::Relaxed));
                commands.submit(&member, Request::new(operation)).await?;
                done += 1;
            }
            Ok::<_, commands::CommandError>(done)
        })
    });
    let mut count = 0;
    for caller in callers.collect::<Vec<_>>() {
        count += caller.await??;
    }
    Ok((count, began.elapsed()))
}

pub(super) fn register(number: u64) -> Operation {
    let descriptor = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
        "metadata": {"name": format!("c-{number}")},
        "spec": {"type": "service", "lifecycle": "production", "owner": "group:team"},
    });
    let expected = ExpectedRevision::Any;
    let change = EntityChange::Put { descriptor, location: None, expected };
    Operation::ApplyEntities { changes: vec![change] }
}

/// Records as they were just written, as many as callers waited.
pub(super) async fn sample(log: &dyn EventLog) -> Result<Vec<Record>> {
    let mut reader = log.read(Partition(0), Position::START).await?;
    let mut records = Vec::new();
    while records.len() < CALLERS * 2 {
        records.extend(reader.next(CALLERS).await?.into_iter().map(|it| it.record));
    }
    // Those of the set-up come first and are of other sizes.
    Ok(records.split_off(records.len() - CALLERS))
}

/// Appends one record for each of as many waiting writers as there were callers: whatever waits
/// goes into one append, and whoever has his answer comes again.
async fn waiting_writers(log: &EmbeddedLog, records: &[Record], seconds: Duration) -> Result<u64> {
    let mut writer = log.claim(Partition(0)).await.context("the bare log cannot be claimed")?;
    let (requests, mut inbox) = mpsc::channel::<(Record, oneshot::Sender<Position>)>(CALLERS);
    let began = Instant::now();
    let writers = records.iter().cloned().map(|record| {
        let requests = requests.clone();
        tokio::spawn(async move {
            let mut done = 0_u64;
            while began.elapsed() < seconds {
                let (reply, answer) = oneshot::channel();
                // Cloning a record shares its bytes.
                requests.send((record.clone(), reply)).await?;
                answer.await?;
                done += 1;
            }
            Ok::<_, anyhow::Error>(done)
        })
    });
    let writers = writers.collect::<Vec<_>>();
    drop(requests);
    let mut waiting = Vec::with_capacity(CALLERS);
    while inbox.recv_many(&mut waiting, CALLERS).await > 0 {
        let (records, replies): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
        for (reply, position) in replies.into_iter().zip(writer.append(records).await?) {
            // Who stopped waiting does not want to know.
            let _ = reply.send(position);
        }
    }
    let took = began.elapsed();
    let mut count = 0;
    for writer in writers {
        count += writer.await??;
    }
    Ok(rate(count, took))
}

/// Appends batches that are ready, one after the other, for nobody who waits.
async fn full_batches(log: &EmbeddedLog, batch: &[Record], seconds: Duration) -> Result<u64> {
    let mut writer = log.claim(Partition(0)).await.context("the bare log cannot be claimed")?;
    let (began, mut count) = (Instant::now(), 0_u64);
    while began.elapsed() < seconds {
        count += writer.append(batch.to_vec()).await?.len() as u64;
    }
    Ok(rate(count, began.elapsed()))
}
