use std::fmt::Write as _;
use std::path::Path;

use super::{Broken, Chains, Link};
use crate::conformance::{TENANT, seal};
use crate::identity::hex;
use crate::record::{Attribute, Draft, Record};

/// Three records of one tenant: the least there can be, one with every attribute set, and one
/// whose text and value are not ASCII.
fn vectors() -> Vec<Record> {
    let mut full = Attribute::ALL.map(Attribute::header);
    full[Attribute::SpecVersion as usize] = "1.0";
    full[Attribute::Sequence as usize] = "2";
    full[Attribute::ContentType as usize] = "application/json";
    let mut foreign = [""; Attribute::ALL.len()];
    foreign[Attribute::Subject as usize] = "Straße 東京";
    let drafts: [([&str; Attribute::ALL.len()], &[u8]); 3] = [
        ([""; Attribute::ALL.len()], b""),
        (full, br#"{"name":"web"}"#),
        (foreign, &[0, 0xff, 0x80, b'\n']),
    ];
    let mut link = Link::GENESIS;
    let records = drafts.iter().map(|(attributes, value)| {
        let draft = Draft { attributes: *attributes, value };
        let record = Record::seal(&draft, link, Some("not part of the chain")).unwrap();
        link = record.link();
        record
    });
    records.collect()
}

/// The published file: everything somebody needs to check another implementation.
fn published(records: &[Record]) -> String {
    let mut text = String::from("{\n  \"about\": [\n");
    text += concat!(
        "    \"chain = SHA-256(previous chain, then canonical); the first previous is 32 zero bytes\",\n",
        "    \"canonical = `callboard-v1`, then every attribute in this order and the value,\",\n",
        "    \"each as its length (u32, big-endian) and its bytes; all bytes here are in hex\"\n",
        "  ],\n",
    );
    let names: Vec<_> = Attribute::ALL.iter().map(|it| format!("{:?}", it.header())).collect();
    writeln!(text, "  \"attributes\": [{}],", names.join(", ")).unwrap();
    text += "  \"records\": [\n";
    let mut previous = Link::GENESIS;
    let entries = records.iter().map(|record| {
        let texts = Attribute::ALL.map(|it| format!("{:?}", record.attribute(it)));
        let entry = format!(
            "    {{\n      \"attributes\": [{}],\n      \"value\": \"{}\",\n      \
             \"canonical\": \"{}\",\n      \"previous\": \"{previous}\",\n      \
             \"chain\": \"{}\"\n    }}",
            texts.join(", "),
            hex(&record.value()),
            hex(record.canonical()),
            record.link(),
        );
        previous = record.link();
        entry
    });
    text += &entries.collect::<Vec<_>>().join(",\n");
    text + "\n  ]\n}\n"
}

/// `UPDATE_SCHEMAS=1` writes the file; it changes only together with the format's name.
#[test]
fn the_published_vectors_are_what_the_code_computes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/chain-vectors.json");
    let computed = published(&vectors());
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &computed).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), computed);
}

#[test]
fn a_link_is_the_hash_of_the_one_before_and_the_record() {
    // SHA-256 of 32 zero bytes and of nothing else.
    let empty = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
    assert_eq!(Link::GENESIS.then(&[]).to_string(), empty);
    let mut both = [0; 35];
    both[32..].copy_from_slice(b"abc");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &both);
    assert_eq!(Link::GENESIS.then(b"abc").0, digest.as_ref());
}

fn chain(count: u64) -> Vec<Record> {
    let mut link = Link::GENESIS;
    let records = (1..=count).map(|sequence| {
        let record = seal(TENANT, &sequence.to_string(), "1/1", b"x", link);
        link = record.link();
        record
    });
    records.collect()
}

/// The first of `records` at which a chain is broken.
fn first_broken(records: &[Record]) -> Option<(usize, Broken)> {
    let mut chains = Chains::default();
    let mut broken = records.iter().map(|it| chains.follow(it).err()).enumerate();
    broken.find_map(|(index, it)| Some((index, it?)))
}

#[test]
fn chains_of_several_tenants_are_followed_apart() {
    let other = seal("ten_other", "1", "1/1", b"y", Link::GENESIS);
    let mut records = chain(3);
    records.insert(1, other);
    assert_eq!(first_broken(&records), None);
    assert_eq!(first_broken(&[]), None);
}

#[test]
fn whatever_is_done_to_a_chain_shows_at_the_first_wrong_record() {
    let tenant = TENANT.to_owned();
    let link = |sequence| Broken::Link { tenant: tenant.clone(), sequence };
    let sequence = |expected, found: &str| Broken::Sequence {
        tenant: tenant.clone(),
        expected,
        found: found.to_owned(),
    };
    let whole = chain(4);
    let without = |index: usize| [&whole[..index], &whole[index + 1..]].concat();
    assert_eq!(first_broken(&without(1)), Some((1, sequence(2, "3"))));
    assert_eq!(first_broken(&without(0)), Some((0, sequence(1, "2"))));
    let doubled = [&whole[..2], &whole[1..]].concat();
    assert_eq!(first_broken(&doubled), Some((2, sequence(3, "2"))));
    let mut changed = whole.clone();
    changed[1] = seal(TENANT, "2", "1/1", b"z", whole[0].link());
    assert_eq!(first_broken(&changed), Some((2, link(3))));
    let (canonical, old_link) = (changed[1].canonical().clone(), whole[1].link());
    changed[1] = Record::from_stored(canonical, old_link, None).unwrap();
    assert_eq!(first_broken(&changed), Some((1, link(2))));
    let unnumbered = seal(TENANT, "one", "1/1", b"", Link::GENESIS);
    assert_eq!(first_broken(&[unnumbered]), Some((0, sequence(1, "one"))));
}
