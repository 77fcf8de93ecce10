use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{
    ATTRIBUTE_BYTES_MAX, Attribute, CANONICAL_MAGIC, Draft, Record, RecordError, VALUE_BYTES_MAX,
    whole_commands,
};
use crate::chain::Link;
use crate::conformance::{TENANT, command, record};
use crate::port::{Position, Recorded};

fn draft<'a>(attribute: Attribute, text: &'a str, value: &'a [u8]) -> Draft<'a> {
    let mut attributes = [""; Attribute::ALL.len()];
    attributes[attribute as usize] = text;
    Draft { attributes, value }
}

fn stored(canonical: &[u8]) -> Result<Record, RecordError> {
    Record::from_stored(Bytes::copy_from_slice(canonical), Link::GENESIS, None)
}

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
fn attributes_stand_in_the_order_of_their_numbers() {
    for (index, attribute) in Attribute::ALL.into_iter().enumerate() {
        assert_eq!(attribute as usize, index);
    }
}

#[test]
fn limits_hold_exactly() {
    let longest = "x".repeat(ATTRIBUTE_BYTES_MAX);
    let largest = vec![0; VALUE_BYTES_MAX];
    let seal = |draft: &Draft<'_>, trace: &str| Record::seal(draft, Link::GENESIS, Some(trace));
    assert!(seal(&draft(Attribute::Actor, &longest, &largest), &longest).is_ok());
    let longer = format!("{longest}x");
    let too_long = |name| RecordError::AttributeTooLarge { name, bytes: longer.len() };
    let refused = seal(&draft(Attribute::Actor, &longer, &[]), "");
    assert_eq!(refused, Err(too_long("ce_actor")));
    assert_eq!(seal(&draft(Attribute::Actor, "", &[]), &longer), Err(too_long("traceparent")));
    let larger = vec![0; VALUE_BYTES_MAX + 1];
    let refused = seal(&draft(Attribute::Actor, "", &larger), "");
    assert_eq!(refused, Err(RecordError::ValueTooLarge(larger.len())));
}

#[test]
fn an_attribute_that_is_not_text_is_named() {
    let record = Record::seal(&draft(Attribute::Actor, "é", b"v"), Link::GENESIS, None).unwrap();
    assert_eq!(record.attribute(Attribute::Actor), "é");
    let mut canonical = record.canonical().to_vec();
    let place = canonical.windows(2).position(|it| it == "é".as_bytes()).unwrap();
    canonical[place] = 0xff;
    assert_eq!(stored(&canonical), Err(RecordError::Encoding("ce_actor")));
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

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        texts in vec(".{0,40}", Attribute::ALL.len()),
        value in vec(any::<u8>(), 0..300),
        previous in any::<[u8; 32]>(),
        trace in proptest::option::of(".{0,60}"),
    ) {
        let attributes = std::array::from_fn(|it| texts[it].as_str());
        let draft = Draft { attributes, value: &value };
        let sealed = Record::seal(&draft, Link(previous), trace.as_deref()).unwrap();
        let again = Record::from_stored(
            sealed.canonical().clone(),
            sealed.link(),
            sealed.traceparent(),
        );
        prop_assert_eq!(again.as_ref(), Ok(&sealed));
        for attribute in Attribute::ALL {
            prop_assert_eq!(sealed.attribute(attribute), &texts[attribute as usize]);
        }
        prop_assert_eq!(&sealed.value()[..], &value[..]);
        prop_assert_eq!(sealed.traceparent(), trace.as_deref());
        prop_assert_eq!(sealed.link(), Link(previous).then(sealed.canonical()));
    }

    /// Bytes either are no record, or are the canonical form of the record they make.
    #[test]
    fn hostile_bytes_are_refused_or_canonical(
        mut bytes in vec(any::<u8>(), 0..400),
        with_magic in any::<bool>(),
    ) {
        if with_magic {
            bytes.splice(..0, CANONICAL_MAGIC.iter().copied());
        }
        refused_or_canonical(&bytes);
    }

    #[test]
    fn a_changed_record_is_refused_or_canonical(
        place in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        length in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = record(TENANT, 7, "1/1").canonical().to_vec();
        *place.get_mut(&mut bytes) = byte;
        refused_or_canonical(&bytes);
        bytes.truncate(length.index(bytes.len()));
        prop_assert!(stored(&bytes).is_err());
    }
}

#[track_caller]
fn refused_or_canonical(bytes: &[u8]) {
    let Ok(record) = stored(bytes) else { return };
    let value = record.value();
    let attributes = Attribute::ALL.map(|it| record.attribute(it));
    let draft = Draft { attributes, value: &value };
    let sealed = Record::seal(&draft, Link::GENESIS, None).unwrap();
    assert_eq!(sealed.canonical(), bytes);
}
