//! Exports of a made-up tenant: what is in them, how they are taken up again, and what verifying says.
//! `tampering` does everything to one that can be done.

mod tampering;

use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{
    Asked, CHECKPOINT_EVERY, Earlier, Exporter, Fault, Frame, Frames, Place, Relation, Report,
    Verifier, VerifyError, What, verify,
};
use crate::chain::{Broken, Link};
use crate::conformance::seal;
use crate::note::tests::signer;
use crate::note::{Note, NoteError};
use crate::record::Record;
use crate::tree::{Frontier, Node};

/// When everything is exported.
const AT: &str = "2026-12-01T00:00:00+00:00";

const TENANT: &str = "ten_of_the_test";
const ORIGIN: &str = "callboard/ins_of_the_test/ten_of_the_test";

/// The history of a tenant, chained.
fn history(count: u64) -> Vec<Record> {
    let mut link = Link::GENESIS;
    let records = (1..=count).map(|sequence| {
        let record = seal(TENANT, &sequence.to_string(), "1/1", b"{\"of\":\"the test\"}", link);
        link = record.link();
        record
    });
    records.collect()
}

static HISTORY: LazyLock<Vec<Record>> = LazyLock::new(|| history(10_000));

/// The export of `records` from sequence `first` on of which `shown` are whole, from its checkpoint `after`
/// that sequence on.
fn export(records: &[Record], first: u64, shown: impl Fn(u64) -> bool, after: u64) -> Vec<u8> {
    let records_asked = &records[usize::try_from(first - 1).unwrap()..];
    let is_filtered = (first..).zip(records_asked).any(|(it, _)| !shown(it));
    let actor = is_filtered.then(|| "usr_somebody".to_owned());
    let asked = Asked { actor, ..Asked::default() };
    let mut exporter = Exporter::new(signer(ORIGIN, 1), TENANT, asked, after);
    let mut file = Vec::new();
    for (record, sequence) in records.iter().zip(1..) {
        if sequence == first {
            exporter.begin();
        }
        match exporter.has_begun() {
            false => exporter.pass(record).unwrap(),
            true if shown(sequence) => exporter.show(record).unwrap(),
            true => exporter.leave_out(record).unwrap(),
        }
        file.extend(exporter.take());
    }
    if !exporter.has_begun() {
        exporter.begin();
    }
    file.extend(exporter.end(AT).unwrap());
    file
}

fn check(file: &[u8]) -> Result<Report, Fault> {
    check_after(file, None)
}

fn check_after(file: &[u8], earlier: Option<Earlier>) -> Result<Report, Fault> {
    let keys = [signer(ORIGIN, 1).key().clone()];
    match verify(file, &keys, earlier, |_| ()) {
        Ok(report) => Ok(report),
        Err(VerifyError::Fault(fault)) => Err(fault),
        Err(VerifyError::Io(error)) => panic!("{error}"),
    }
}

fn root(records: &[Record]) -> Node {
    let mut frontier = Frontier::default();
    records.iter().for_each(|it| frontier.push(Node::leaf(it.canonical())));
    frontier.root()
}

#[test]
fn an_export_holds_the_stored_bytes_and_proves_itself() {
    let file = export(&HISTORY, 1, |_| true, 0);
    let report = check(&file).unwrap();
    assert_eq!((report.header.first, report.last, &*report.at), (1, 10_000, AT));
    assert_eq!((report.shown, report.left_out, report.gaps), (10_000, 0, 0));
    assert_eq!(report.checkpoints, 10_000 / CHECKPOINT_EVERY + 1);
    assert_eq!(report.root, root(&HISTORY));
    let mut frames = Frames::open(&*file).unwrap();
    let mut records = HISTORY.iter();
    while let Some(frame) = frames.read().unwrap() {
        if let Frame::Event { link, canonical } = frame {
            let record = records.next().unwrap();
            assert_eq!((canonical, link), (&**record.canonical(), record.link()));
        }
    }
    assert_eq!(records.next(), None);
}

#[test]
fn a_part_of_the_history_proves_itself_as_well() {
    for (first, last) in [(1, 1), (2, 9), (4_097, 4_096), (4_096, 8_192), (9_999, 10_000)] {
        let records = &HISTORY[..usize::try_from(last).unwrap()];
        for every in [1, 2, 3_000, 20_000] {
            let file = export(records, first, |it| it % every == 0, 0);
            let report = check(&file).unwrap();
            assert_eq!((report.header.first, report.last), (first, last));
            assert_eq!(report.shown + report.left_out, last + 1 - first, "{first} to {last}");
            assert_eq!(report.root, root(records));
        }
    }
}

#[test]
fn whoever_has_a_part_up_to_a_checkpoint_gets_the_rest_of_the_same_file() {
    for every in [1, 7, 5_000] {
        let shown = |it: u64| it.is_multiple_of(every);
        let whole = export(&HISTORY, 3, shown, 0);
        let mut frames = Frames::open(&*whole).unwrap();
        let mut verifier = Verifier::new(frames.read().unwrap(), &[], None).unwrap();
        let mut checkpoints = 0;
        while let Some(frame) = frames.read().unwrap() {
            let is_checkpoint = matches!(frame, Frame::Checkpoint(_));
            verifier.take(frame).unwrap();
            if is_checkpoint {
                let at = usize::try_from(frames.reached()).unwrap();
                let rest = export(&HISTORY, 3, shown, verifier.reached());
                assert!(whole[at..] == rest, "after {}", verifier.reached());
                checkpoints += 1;
            }
        }
        assert_eq!(checkpoints, 3);
    }
}

#[test]
fn nothing_is_signed_of_a_chain_that_is_broken() {
    let mut exporter = Exporter::new(signer(ORIGIN, 1), TENANT, Asked::default(), 0);
    let records = &HISTORY[..3];
    exporter.pass(&records[0]).unwrap();
    assert!(matches!(exporter.pass(&records[2]), Err(Broken::Sequence { expected: 2, .. })));
    let changed = seal(TENANT, "2", "1/1", b"changed", Link::GENESIS);
    assert!(matches!(exporter.show(&changed), Err(Broken::Link { sequence: 2, .. })));
    let foreign = seal("ten_other", "2", "1/1", b"", records[0].link());
    assert!(exporter.leave_out(&foreign).is_err());
    exporter.pass(&records[1]).unwrap();
    let beyond = Exporter::new(signer(ORIGIN, 1), TENANT, Asked::default(), 7);
    assert_eq!(beyond.end(AT), None, "nobody can have more than there is");
}

#[test]
fn an_earlier_export_is_the_beginning_of_a_later_one_or_that_is_said() {
    let earlier = check(&export(&HISTORY[..5_000], 1, |_| true, 0)).unwrap().as_earlier();
    let relation = |first, last, earlier: &Earlier| {
        let file = export(&HISTORY[..last], first, |it| it % 2 == 0, 0);
        check_after(&file, Some(earlier.clone())).map(|it| it.relation)
    };
    assert_eq!(relation(1, 10_000, &earlier), Ok(Relation::Beginning));
    assert_eq!(relation(5_001, 10_000, &earlier), Ok(Relation::Beginning));
    assert_eq!(relation(5_002, 10_000, &earlier), Ok(Relation::Unknown));
    let fault = Fault { place: Place::After(4_000), what: What::EndsBeforeEarlier };
    assert_eq!(relation(1, 4_000, &earlier), Err(fault));
    let other = Earlier { root: Node::of_nothing(), ..earlier.clone() };
    let fault = Fault { place: Place::Between(1, 5_000), what: What::NotEarlier };
    assert_eq!(relation(1, 10_000, &other), Err(fault));
    let elsewhere = Earlier { origin: "elsewhere".to_owned(), ..earlier };
    let fault = Fault { place: Place::Header, what: What::NotEarlier };
    assert_eq!(relation(1, 10_000, &elsewhere), Err(fault));
}

#[test]
fn another_key_verifies_nothing_and_none_says_so() {
    let file = export(&HISTORY[..9], 1, |_| true, 0);
    let another = [signer(ORIGIN, 2).key().clone()];
    assert!(verify(&*file, &another, None, |_| ()).is_err());
    let unsigned = verify(&*file, &[], None, |_| ()).unwrap();
    assert!(!unsigned.is_signed);
    assert!(check(&file).unwrap().is_signed);
}

#[test]
fn what_a_key_has_signed_for_another_tenant_proves_nothing_of_this_one() {
    let whole = export(&HISTORY[..9], 1, |_| true, 0);
    let mut frames = Frames::open(&*whole).unwrap();
    let Some(Frame::Header(note)) = frames.read().unwrap() else { panic!("a header is first") };
    let text = Note::parse(note).unwrap().text();
    let key = [signer(ORIGIN, 1).key().clone()];
    let begun = |text: &str| {
        // As it is signed, under the name of this tenant.
        let note = signer(ORIGIN, 1).note(text);
        Verifier::new(Some(Frame::Header(note.as_bytes())), &key, None).map(|it| it.reached())
    };
    assert_eq!(begun(text), Ok(0));
    // Nor does what somebody else has signed, whose key is trusted for something else.
    let theirs = signer("callboard/ins_of_another/ten_of_the_test", 2);
    let both = [key[0].clone(), theirs.key().clone()];
    let note = theirs.note(text);
    let begun_by_them = Verifier::new(Some(Frame::Header(note.as_bytes())), &both, None);
    let fault = Fault { place: Place::Header, what: What::Note(NoteError::Unsigned) };
    assert_eq!(begun_by_them.map(|it| it.reached()), Err(fault));
    let other = text.replace("ten_of_the_test", "ten_of_another");
    let fault = Fault { place: Place::Header, what: What::Header };
    assert_eq!(begun(&other), Err(fault));
}

#[test]
fn whatever_is_given_for_an_export_is_refused_and_never_panics() {
    let file = export(&HISTORY[..20], 1, |it| it % 3 > 0, 0);
    for cut in 0..file.len() {
        let what = check(&file[..cut]).unwrap_err().what;
        assert_eq!(what, What::BrokenOff, "cut at {cut}");
    }
    for at in 0..file.len() {
        let mut changed = file.clone();
        for byte in [0x00, 0xff, changed[at] ^ 0x20] {
            if byte != file[at] {
                changed[at] = byte;
                assert!(check(&changed).is_err(), "changed at {at}");
                let _ = verify(&*changed, &[], None, |_| ());
            }
        }
    }
    // As many events before the first one as can be counted.
    let peaks = vec!["00".repeat(32); 64];
    for first in [u64::MAX, u64::MAX - 1, 1 << 63] {
        let header = json!({ "origin": ORIGIN, "tenant": TENANT, "first": first,
            "chain": "00".repeat(32), "frontier": peaks[..(first - 1).count_ones() as usize],
            "asked": { "actor": "usr_somebody" } });
        let text = header.to_string() + "\n";
        let note = signer(ORIGIN, 1).note(&text);
        assert!(Verifier::new(Some(Frame::Header(note.as_bytes())), &[], None).is_err(), "{first}");
    }
    let longest = [super::MAGIC, b"E\xff\xff\xff\xff"].concat();
    assert_eq!(check(&longest).unwrap_err().what, What::Misplaced, "no such length is reserved");
    assert!(check(&[&*file, b"E"].concat()).is_err(), "nothing follows the end");
    assert!(check(&[&*file, &*file].concat()).is_err());
}

/// `UPDATE_SCHEMAS=1` writes the file; it changes only together with the format's name.
#[test]
fn the_published_exports_are_what_the_code_writes() {
    let records = history(5);
    let files = [("whole", 1, [1, 2, 3, 4, 5]), ("part", 3, [0, 0, 0, 4, 0])];
    let exports = files.map(|(name, first, shown)| {
        let file = export(&records, first, |it| shown.contains(&it), 0);
        json!({ "name": name, "export": STANDARD.encode(file) })
    });
    let published = json!({
        "about": "Exports of one tenant's five events, in base64: all of them, and the last three, of which \
            the fourth alone is shown. Signed by the private key that is 32 bytes of 1.",
        "vkey": signer(ORIGIN, 1).key().to_string(),
        "root": root(&records).to_string(),
        "exports": exports,
    });
    let computed = serde_json::to_string_pretty(&published).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/audit-vectors.json");
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &computed).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), computed);
}
