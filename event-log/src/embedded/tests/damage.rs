//! Files that are not what was written: cut short, or changed by a bit.

use std::path::PathBuf;

use super::{batch_after, oldest_file, open_on, read_all, runtime};
use crate::conformance::{PARTITION, TENANT, seal};
use crate::embedded::files::simulated::{Random, Simulated};
use crate::embedded::frame;
use crate::embedded::{Depth, EmbeddedLog};
use crate::port::{EventLog, LogError, Position};
use crate::record::Record;

const SEGMENT_BYTES: u64 = 32 * 1024;

/// A log that was written and closed.
struct Sample {
    files: Simulated,
    segment: PathBuf,
    records: Vec<Record>,
    /// Where each batch begins in the segment and in `records`, and where the last one ends.
    starts: Vec<(usize, usize)>,
}

/// Batches of these sizes in one segment.
fn sample(sizes: &[u64]) -> Sample {
    let files = Simulated::new(1);
    let mut records = Vec::new();
    let mut starts = vec![(0, 0)];
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        let mut writer = log.claim(PARTITION).await.unwrap();
        for size in sizes {
            let batch = batch_after(&records, *size, 40);
            records.extend(batch.iter().cloned());
            writer.append(batch).await.unwrap();
            let state = log.partitions[0].shared.state();
            starts.push((usize::try_from(state.open.end_offset).unwrap(), records.len()));
        }
    });
    // The segments that were made ready for later are of no interest.
    let files = files.after_crash();
    drop(open_on(&files, SEGMENT_BYTES).unwrap());
    let segment = PathBuf::from("/log/0/0000000000000000.segment");
    Sample { files, segment, records, starts }
}

impl Sample {
    /// What a log finds whose segment was changed.
    fn after(&self, change: impl FnOnce(&mut Vec<u8>)) -> Result<EmbeddedLog, LogError> {
        let files = self.files.copy();
        files.tamper(&self.segment, change);
        open_on(&files, SEGMENT_BYTES)
    }

    /// The batch that the byte at `offset` is in.
    fn batch_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|(start, _)| *start <= offset) - 1
    }
}

#[test]
fn a_file_cut_at_any_byte_of_its_last_two_batches_keeps_the_whole_ones() {
    let sample = sample(&[3, 1, 4, 2, 3]);
    let (from, to) = (sample.starts[3].0, sample.starts[5].0);
    let (mut cuts, mut reported) = (0, 0);
    for cut in from..=to {
        for shortened in [true, false] {
            let log = sample
                .after(|bytes| if shortened { bytes.truncate(cut) } else { bytes[cut..].fill(0) });
            let log = log.unwrap();
            let batch = sample.batch_at(cut);
            let (start, whole) = sample.starts[batch];
            let found = runtime().block_on(read_all(&log)).unwrap();
            assert_eq!(found, sample.records[..whole], "cut at {cut}");
            // Zeros look like the end mark only where a batch begins.
            let torn = log.torn_tails().first().map(|it| (it.offset, it.position));
            let expected = (cut > start).then_some((start as u64, Position(whole as u64)));
            assert_eq!(torn, expected, "cut at {cut}");
            cuts += 1;
            reported += usize::from(torn.is_some());
        }
    }
    println!("{cuts} cuts, {reported} torn batches reported");
    assert!(reported > 1000);
}

#[test]
fn a_torn_tail_is_reported_once_and_can_be_written_over() {
    let sample = sample(&[3, 3]);
    let files = sample.files.copy();
    files.tamper(&sample.segment, |bytes| bytes[sample.starts[1].0 + 100] ^= 1);
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        assert_eq!(log.torn_tails().len(), 1);
        drop(log);
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        assert_eq!(log.torn_tails(), []);
        let mut records = sample.records[..3].to_vec();
        let batch = batch_after(&records, 1, 10);
        records.extend(batch.iter().cloned());
        log.claim(PARTITION).await.unwrap().append(batch).await.unwrap();
        drop(log);
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        assert_eq!(log.torn_tails(), []);
        assert_eq!(read_all(&log).await.unwrap(), records);
    });
}

#[test]
fn a_flipped_bit_is_named_and_never_cut_off_while_a_good_batch_follows() {
    const FLIPS: u64 = 1_500;
    let sample = sample(&[3, 1, 4, 2, 3, 1, 2]);
    let mut random = Random(7);
    let (mut named, mut cut) = (0, 0);
    let used = sample.starts.last().unwrap().0;
    for _ in 0..FLIPS {
        let bit = usize::try_from(random.below(used as u64 * 8)).unwrap();
        let batch = sample.batch_at(bit / 8);
        let (start, whole) = sample.starts[batch];
        match sample.after(|bytes| bytes[bit / 8] ^= 1 << (bit % 8)) {
            Err(LogError::Damaged { place, .. }) => {
                let expected = format!("{} at byte {start}", sample.segment.display());
                assert_eq!(place, expected, "bit {bit}");
                named += 1;
            }
            Ok(log) => {
                assert_eq!(batch, 6, "only the last batch has nothing good behind it");
                assert_eq!(log.torn_tails()[0].offset, start as u64);
                let found = runtime().block_on(read_all(&log)).unwrap();
                assert_eq!(found, sample.records[..whole]);
                cut += 1;
            }
            Err(other) => panic!("bit {bit}: {other}"),
        }
    }
    println!("{FLIPS} flips: {named} named, {cut} in the last batch cut and reported");
    assert!(named > cut && cut > 0);
    // The control: what makes the difference is the good batch behind the bad one.
    let third = sample.starts[2].0;
    let alone = sample.after(|bytes| {
        bytes[third] ^= 1;
        bytes[sample.starts[3].0..].fill(0);
    });
    assert_eq!(alone.unwrap().torn_tails()[0].offset, third as u64);
}

#[test]
fn a_lost_beginning_is_not_taken_for_an_empty_log() {
    let sample = sample(&[3, 1, 4]);
    let lost = sample.after(|bytes| bytes[..sample.starts[1].0].fill(0));
    assert!(matches!(lost, Err(LogError::Damaged { .. })), "{lost:?}");
}

#[test]
fn a_flipped_bit_in_an_archive_is_found_and_named() {
    const FLIPS: u64 = 400;
    let files = Simulated::new(3);
    runtime().block_on(async {
        let log = open_on(&files, SEGMENT_BYTES).unwrap();
        let mut writer = log.claim(PARTITION).await.unwrap();
        let mut records = Vec::new();
        while oldest_file(&files, ".archive").is_none() {
            let batch = batch_after(&records, 5, 200);
            records.extend(batch.iter().cloned());
            writer.append(batch).await.unwrap();
        }
    });
    let files = files.after_crash();
    let archive = oldest_file(&files, ".archive").unwrap();
    let length = files.content(&archive).len() as u64;
    let mut random = Random(11);
    let (mut at_start, mut when_verified) = (0, 0);
    for _ in 0..FLIPS {
        let bit = usize::try_from(random.below(length * 8)).unwrap();
        let files = files.copy();
        files.tamper(&archive, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let damage = match open_on(&files, SEGMENT_BYTES) {
            Err(damage) => {
                at_start += 1;
                damage
            }
            Ok(log) => {
                when_verified += 1;
                let found = log.verify(PARTITION, Depth::Storage).unwrap();
                // Reading either fails at that place or is right all the same.
                drop(runtime().block_on(read_all(&log)));
                found.damage.unwrap()
            }
        };
        let named = damage.to_string().contains(archive.to_str().unwrap());
        assert!(named, "bit {bit}: {damage}");
    }
    println!("{FLIPS} flips: {at_start} found at the start, {when_verified} when verified");
    assert!(at_start > 0 && when_verified > 0);
    let untouched = open_on(&files.copy(), SEGMENT_BYTES).unwrap();
    assert!(untouched.verify(PARTITION, Depth::Chains).unwrap().damage.is_none());
}

#[test]
fn a_record_that_was_changed_with_its_checksum_breaks_the_chain() {
    let sample = sample(&[3, 4, 2]);
    let log = sample.after(|bytes| {
        let seed = frame::Seed::new(&salt(&sample.files), 0, 0);
        let (start, end) = (sample.starts[1].0, sample.starts[2].0);
        let whole = bytes::Bytes::copy_from_slice(&bytes[start..end]);
        let header = frame::Header::parse(&whole).unwrap();
        let mut records: Vec<_> =
            frame::decode(header, &whole).unwrap().into_iter().map(|it| it.record).collect();
        let changed = seal(TENANT, "5", "2/4", &[b'w'; 40], records[0].link());
        records[1] = Record::from_stored(
            changed.canonical().clone(),
            records[1].link(),
            records[1].traceparent(),
        )
        .unwrap();
        let mut buffer = bytes::BytesMut::new();
        frame::encode(&mut buffer, seed, header.first, &records);
        bytes[start..end].copy_from_slice(&buffer[..end - start]);
    });
    let log = log.unwrap();
    assert!(log.verify(PARTITION, Depth::Storage).unwrap().damage.is_none());
    let verified = log.verify(PARTITION, Depth::Chains).unwrap();
    assert_eq!((verified.records, verified.tenants), (4, 1));
    let damage = verified.damage.unwrap().to_string();
    assert!(damage.contains("position 4"), "{damage}");
}

/// What an archived segment leaves in its blocks is a whole frame, and even the position may fit;
/// only a frame of this very segment counts.
#[test]
fn a_frame_of_another_segment_is_none_of_this_one() {
    let sample = sample(&[3]);
    let end = sample.starts[1].0;
    let batch = batch_after(&sample.records, 2, 40);
    for (sequence, first, taken) in [(0, 3, true), (1, 3, false), (0, 2, false)] {
        let seed = frame::Seed::new(&salt(&sample.files), 0, sequence);
        let mut buffer = bytes::BytesMut::new();
        frame::encode(&mut buffer, seed, first, &batch);
        let log = sample.after(|bytes| bytes[end..end + buffer.len()].copy_from_slice(&buffer));
        let log = log.unwrap();
        let torn = log.torn_tails().first().map(|it| it.offset);
        let expected = if taken { (None, 5) } else { (Some(end as u64), 3) };
        let found = runtime().block_on(log.end(PARTITION)).unwrap().0;
        assert_eq!((torn, found), expected, "segment {sequence}, position {first}");
    }
}

fn salt(files: &Simulated) -> String {
    let identity = files.content("/log/identity".as_ref());
    String::from_utf8(identity).unwrap().lines().nth(2).unwrap().to_owned()
}

#[test]
fn a_log_whose_identity_is_lost_or_changed_does_not_start() {
    let sample = sample(&[1]);
    let identity = "/log/identity".as_ref();
    for place in 0..sample.files.content(identity).len() {
        let files = sample.files.copy();
        files.tamper(identity, |bytes| bytes[place] ^= 1);
        let opened = open_on(&files, SEGMENT_BYTES);
        assert!(matches!(opened, Err(LogError::Damaged { .. })), "{place}");
    }
    let files = sample.files.copy();
    crate::embedded::files::Files::remove(&files, identity).unwrap();
    assert!(matches!(open_on(&files, SEGMENT_BYTES), Err(LogError::Damaged { .. })));
}
