//! Reading a log over many faults: only what is new, and every chain on the way.

use std::collections::BTreeMap;

use event_log::chain::Chains;
use event_log::{Attribute, EventLog, Partition, Position, Record};
use serde_json::Value;
use uuid::Uuid;

use super::history::Found;

/// Follows all partitions of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Follower {
    next: BTreeMap<Partition, Position>,
    chains: Chains,
}

impl Follower {
    /// Reads what is new, and checks chain and sequence of every tenant on the way.
    pub(crate) async fn read(&mut self, log: &dyn EventLog) -> Vec<Record> {
        self.try_read(log).await.unwrap_or_else(|broken| panic!("{broken}"))
    }

    /// The same; an error says where a chain breaks.
    pub(crate) async fn try_read(&mut self, log: &dyn EventLog) -> Result<Vec<Record>, String> {
        let mut new = Vec::new();
        for partition in (0..log.partitions()).map(Partition) {
            self.read_partition(log, partition, &mut new).await?;
        }
        Ok(new)
    }

    async fn read_partition(
        &mut self,
        log: &dyn EventLog,
        partition: Partition,
        new: &mut Vec<Record>,
    ) -> Result<(), String> {
        let next = self.next.entry(partition).or_default();
        let end = log.end(partition).await.expect("the log has an end");
        assert!(*next <= end, "partition {partition} ended at {next} and now does at {end}");
        let mut reader = log.read(partition, *next).await.expect("the log can be read");
        while *next < end {
            for recorded in reader.next(4096).await.expect("the log can be read") {
                let followed = self.chains.follow(&recorded.record);
                followed.map_err(|it| format!("{partition} at {}: {it}", recorded.position))?;
                *next = recorded.position.next();
                new.push(recorded.record);
            }
        }
        Ok(())
    }
}

/// What the judge has to know of a record.
pub(crate) fn found(record: &Record) -> Found {
    let text = |it: Attribute| record.attribute(it);
    let (place, of) = text(Attribute::BatchPos).split_once('/').expect("a place `n/m`");
    Found {
        tenant: text(Attribute::Tenant).to_owned(),
        sequence: text(Attribute::Sequence).parse().expect("a sequence"),
        request: request(record),
        command: text(Attribute::CommandId).to_owned(),
        place: place.parse().expect("a place"),
        of: of.parse().expect("a count"),
    }
}

/// A request names itself in its conversation; one of usage, which has no such field, in the ids
/// of its entries.
fn request(record: &Record) -> Uuid {
    let body: Value = serde_json::from_slice(&record.value()).expect("values are not encrypted");
    let entry = body["entries"][0]["id"].as_str().and_then(|it| it.split('/').next());
    let name = entry.unwrap_or_else(|| record.attribute(Attribute::CorrelationId));
    name.parse().unwrap_or_else(|_| panic!("expected a request, got `{name}`"))
}
