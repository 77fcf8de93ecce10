//! How large each number among the settings may be, in one place.
//!
//! What is outside cannot work, or would take more of a machine than any has. A test holds the list
//! against the defaults, so no number is without a range.

use std::ops::RangeInclusive;

use anyhow::{Result, bail};
use toml::{Table, Value};

const MIB: i64 = 1024 * 1024;

/// Each number and what it may be.
const RANGES: [(&str, RangeInclusive<i64>); 23] = [
    ("storage.postgresql.vault_connections_max", 1..=1_000),
    // Less holds no request.
    ("http.body_bytes_max", 1024..=1024 * MIB),
    ("http.connections_max", 1..=1_000_000),
    ("http.connections_per_address_max", 1..=1_000_000),
    ("http.head_time_max_ms", 1..=3_600_000),
    ("http.idle_time_max_ms", 1..=3_600_000),
    // A request that waits longer has nobody waiting for it.
    ("http.visibility_wait_ms", 0..=300_000),
    ("graphql.depth_max", 1..=128),
    ("graphql.complexity_max", 1..=100_000_000),
    ("graphql.aliases_max", 0..=100_000),
    ("graphql.batch_max", 1..=1_000),
    // Each has two threads, about three segments of files, and a worker in every read model.
    ("log.partitions", 1..=256),
    // The first segment has 1 MiB; a start reads about two of them again.
    ("log.segment_bytes", MIB..=4096 * MIB),
    ("log.kafka.replication", 1..=32),
    ("log.kafka.session_timeout_ms", 500..=3_600_000),
    ("commands.waiting_per_tenant_max", 1..=1_000_000),
    ("commands.snapshot_every_events", 1..=1_000_000_000),
    ("commands.remembered_in_common_max", 0..=1_000_000_000),
    ("commands.large_bytes_max", 1..=65_536 * MIB),
    ("reads.connections_max", 1..=1_000),
    ("reads.time_max_ms", 1..=3_600_000),
    // An answer of one page.
    ("reads.bytes_max", MIB..=65_536 * MIB),
    // What is longer would be cut to a day.
    ("tokens.lifetime_seconds", 1..=86_400),
];

/// Says whether every number in `table` may be what it is.
///
/// # Errors
///
/// Names the first that may not, what it is, and what it may be.
pub(super) fn check(table: &Table) -> Result<()> {
    for (key, range) in &RANGES {
        let found = find(table, key).and_then(Value::as_integer);
        if let Some(found) = found.filter(|it| !range.contains(it)) {
            let (start, end) = (range.start(), range.end());
            bail!("expected `{key}` to be from {start} to {end}, got {found}");
        }
    }
    Ok(())
}

fn find<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of all numbers in `table`.
    fn numbers(table: &Table, above: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (key, value) in table {
            let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
            match value {
                Value::Table(inner) => found.extend(numbers(inner, &path)),
                Value::Integer(_) => found.push(path),
                Value::Float(_) => panic!("`{path}` has no range, for it is no whole number"),
                _ => {}
            }
        }
        found
    }

    #[test]
    fn every_number_has_a_range_that_holds_its_default() {
        let defaults: Table = super::super::DEFAULTS.parse().unwrap();
        let mut listed: Vec<_> = RANGES.iter().map(|(key, _)| (*key).to_owned()).collect();
        let mut numbers = numbers(&defaults, "");
        listed.sort();
        numbers.sort();
        assert_eq!(listed, numbers);
        check(&defaults).unwrap();
    }
}
