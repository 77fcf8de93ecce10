use super::{Attribute, Record};
use crate::chain::Link;
use crate::conformance::{TENANT, command, record};
use crate::port::{Position, Recorded};

use super::whole_commands;

#[test]
fn a_record_keeps_what_it_was_given() {
    let record = record(TENANT, 12, "1/1");
    assert_eq!(record.attribute(Attribute::Tenant), TENANT);
    assert_eq!(record.attribute(Attribute::Sequence), "12");
    assert_eq!(&record.value()[..], b"{\"number\":12}");
    let link = Link::GENESIS.then(record.canonical());
    let stored = Record::from_stored(record.canonical().clone(), link, record.traceparent());
    assert_eq!(stored, Ok(record));
}

#[test]
fn only_the_last_record_ends_its_command() {
    for (batchpos, ends) in [("1/1", true), ("1/2", false), ("2/2", true), ("", true)] {
        assert_eq!(record(TENANT, 1, batchpos).ends_command(), ends, "{batchpos}");
    }
}

#[test]
fn a_cut_falls_between_commands() {
    let records: Vec<_> = [command(1, 3), command(4, 1), command(5, 2)].concat();
    let records: Vec<_> = (0..)
        .zip(records)
        .map(|(at, record)| Recorded { position: Position(at), record })
        .collect();
    let cuts = [(0, 3), (1, 3), (3, 3), (4, 4), (5, 6), (6, 6), (100, 6)];
    for (records_max, count) in cuts {
        assert_eq!(whole_commands(&records, records_max), count, "{records_max}");
    }
    assert_eq!(whole_commands(&[], 5), 0);
}
