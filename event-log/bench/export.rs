//! How many events a second of an export one core writes and verifies.
//!
//! `cargo bench -p event-log --bench export [events]`. Both are measured in memory, on one thread, without
//! disk or network: what hashing and signatures alone allow. Events are as long as those of the bench `append`
//! and three times that. Absolute figures mean something on an idle machine only.

#![expect(clippy::print_stdout, reason = "printing figures is what this program does")]

use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use event_log::export::{Asked, Exporter, verify};
use event_log::note::{Signer, VerifierKey};
use event_log::{Attribute, Draft, Link, Record};

const TENANT: &str = "ten_00000000000000000000000000000001";

fn main() {
    let count: u64 = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(1_000_000);
    println!("event bytes  written/s  verified/s  left out, verified/s");
    for bytes in [300, 900] {
        let records = history(count, bytes);
        let (file, writing) = export(&records, |_| true);
        let (filtered, _) = export(&records, |it| it % 100 == 0);
        println!(
            "{bytes:11}  {:9}  {:10}  {:20}",
            rate(count, writing),
            rate(count, verified(&file)),
            rate(count, verified(&filtered)),
        );
    }
}

fn rate(events: u64, took: Duration) -> u128 {
    u128::from(events) * 1_000_000_000 / took.as_nanos()
}

/// Events of one tenant whose canonical form has so many bytes.
fn history(count: u64, bytes: usize) -> Vec<Record> {
    let mut link = Link::GENESIS;
    let record = |sequence: u64| {
        let sequence = format!("{sequence:07}");
        let attributes = Attribute::ALL.map(|it| match it {
            Attribute::Tenant => TENANT,
            Attribute::Sequence => &sequence,
            _ => "",
        });
        let empty = Record::seal(&Draft { attributes, value: &[] }, link, None);
        let value = vec![b'x'; bytes - empty.expect("it is small").canonical().len()];
        let record = Record::seal(&Draft { attributes, value: &value }, link, None);
        let record = record.expect("it is small");
        link = record.link();
        record
    };
    (1..=count).map(record).collect()
}

fn signer() -> Signer {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("the seed is long enough");
    let public = pair.public_key().as_ref().try_into().expect("a public key has 32 bytes");
    let key = VerifierKey::new(TENANT, public).expect("the name is one");
    Signer::new(key, move |text| pair.sign(text).as_ref().try_into().expect("it has 64 bytes"))
}

fn export(records: &[Record], shown: impl Fn(u64) -> bool) -> (Vec<u8>, Duration) {
    let started = Instant::now();
    let mut exporter = Exporter::new(signer(), TENANT, Asked::default(), 0);
    let mut file = Vec::new();
    exporter.begin();
    for (record, sequence) in records.iter().zip(1..) {
        let taken =
            if shown(sequence) { exporter.show(record) } else { exporter.leave_out(record) };
        taken.expect("the chain is whole");
        if sequence % 64 == 0 {
            file.extend(exporter.take());
        }
    }
    file.extend(exporter.end("2026-12-01T00:00:00+00:00").expect("it has begun"));
    (file, started.elapsed())
}

fn verified(file: &[u8]) -> Duration {
    let keys = [signer().key().clone()];
    let started = Instant::now();
    verify(file, &keys, None, |_| ()).expect("it is as it was stored");
    started.elapsed()
}
