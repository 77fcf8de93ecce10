//! How one batch lies in a segment.
//!
//! ```text
//! magic u32 · body bytes u32 · first position u64 · records u32 · checksum u32 · body · end mark
//! body: per record  canonical bytes u32 · traceparent bytes u16 · link 32 · traceparent · canonical
//! ```
//!
//! Numbers are little-endian. The checksum is CRC-32C over everything else in header and body,
//! started from a seed that only this segment of this log has: neither an old frame in a
//! recycled block nor bytes that a tenant made up can pass for a frame of the segment. The end
//! mark is a header of zeros; the next frame overwrites it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::chain::Link;
use crate::port::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Position, Recorded};
use crate::record::{ATTRIBUTE_BYTES_MAX, Record};

/// First bytes of every frame.
pub(super) const MAGIC: [u8; 4] = *b"CBf1";

/// Length of a frame without its body. In bytes.
pub(super) const HEADER_BYTES: usize = 24;

/// Bytes of the header before the checksum.
const SUMMED_BYTES: usize = 20;

/// Bytes in front of the two variable parts of a record.
const RECORD_BYTES: usize = 4 + 2 + 32;

/// The longest body: the largest batch, each record with the longest traceparent. In bytes.
const BODY_BYTES_MAX: usize =
    BATCH_BYTES_MAX + BATCH_RECORDS_MAX * (RECORD_BYTES + ATTRIBUTE_BYTES_MAX);

/// Where the checksums of one segment start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed(u32);

impl Seed {
    /// The seed of a segment: everything that tells it from all others, and the log's secret.
    pub(super) fn new(salt: &str, partition: u32, sequence: u64) -> Self {
        let sum = crc32c::crc32c(salt.as_bytes());
        let sum = crc32c::crc32c_append(sum, &partition.to_le_bytes());
        Self(crc32c::crc32c_append(sum, &sequence.to_le_bytes()))
    }

    fn sum(self, header: &[u8], body: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, header), body)
    }
}

/// The first bytes of a frame, not yet known to be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) body_bytes: usize,
    pub(super) first: u64,
    pub(super) records: u32,
}

impl Header {
    /// What the bytes claim, if they can be a header at all.
    pub(super) fn parse(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || !bytes.starts_with(&MAGIC) {
            return None;
        }
        bytes.advance(MAGIC.len());
        let body_bytes = bytes.get_u32_le() as usize;
        let first = bytes.get_u64_le();
        let records = bytes.get_u32_le();
        let sound = body_bytes <= BODY_BYTES_MAX
            && (1..=BATCH_RECORDS_MAX).contains(&(records as usize))
            && first.checked_add(records.into()).is_some();
        sound.then_some(Self { body_bytes, first, records })
    }

    /// Length of header and body.
    pub(super) fn frame_bytes(self) -> usize {
        HEADER_BYTES + self.body_bytes
    }

    /// The position after the last record.
    pub(super) fn end(self) -> u64 {
        self.first + u64::from(self.records)
    }
}

/// Whether `frame`, header and body, is what was written under `seed`.
pub(super) fn is_whole(seed: Seed, frame: &[u8]) -> bool {
    let (header, body) = frame.split_at(HEADER_BYTES);
    let (summed, mut sum) = header.split_at(SUMMED_BYTES);
    seed.sum(summed, body) == sum.get_u32_le()
}

/// Writes `batch`, whose first record stands at `first`, and the end mark into `buffer`.
pub(super) fn encode(buffer: &mut BytesMut, seed: Seed, first: u64, batch: &[Record]) {
    buffer.clear();
    let body_bytes: usize = batch.iter().map(stored_bytes).sum();
    buffer.reserve(HEADER_BYTES + body_bytes + HEADER_BYTES);
    buffer.put_slice(&MAGIC);
    buffer.put_u32_le(u32::try_from(body_bytes).expect("batches are limited to 16 MiB"));
    buffer.put_u64_le(first);
    buffer.put_u32_le(u32::try_from(batch.len()).expect("batches are limited to 16,384"));
    buffer.put_u32_le(0);
    for record in batch {
        let trace = record.traceparent().unwrap_or_default();
        let canonical = record.canonical();
        buffer.put_u32_le(u32::try_from(canonical.len()).expect("records are limited"));
        buffer.put_u16_le(u16::try_from(trace.len()).expect("records are limited"));
        buffer.put_slice(&record.link().0);
        buffer.put_slice(trace.as_bytes());
        buffer.put_slice(canonical);
    }
    let (header, body) = buffer.split_at_mut(HEADER_BYTES);
    let sum = seed.sum(&header[..SUMMED_BYTES], body);
    header[SUMMED_BYTES..].copy_from_slice(&sum.to_le_bytes());
    buffer.put_bytes(0, HEADER_BYTES);
}

fn stored_bytes(record: &Record) -> usize {
    let trace = record.traceparent().unwrap_or_default();
    RECORD_BYTES + trace.len() + record.canonical().len()
}

/// The records of a whole `frame`, as slices of it.
///
/// The error is what is wrong with a frame whose checksum is right.
pub(super) fn decode(header: Header, frame: &Bytes) -> Result<Vec<Recorded>, String> {
    let mut body = frame.slice(HEADER_BYTES..header.frame_bytes());
    let mut records = Vec::with_capacity(header.records as usize);
    for position in header.first..header.end() {
        let record = take_record(&mut body)
            .map_err(|reason| format!("the record at position {position} {reason}"))?;
        records.push(Recorded { position: Position(position), record });
    }
    if body.is_empty() { Ok(records) } else { Err("bytes follow the last record".to_owned()) }
}

fn take_record(body: &mut Bytes) -> Result<Record, String> {
    const SHORT: &str = "ends after the batch";
    if body.len() < RECORD_BYTES {
        return Err(SHORT.to_owned());
    }
    let canonical_bytes = body.get_u32_le() as usize;
    let trace_bytes = usize::from(body.get_u16_le());
    let mut link = Link::GENESIS;
    body.copy_to_slice(&mut link.0);
    if body.len() < trace_bytes + canonical_bytes {
        return Err(SHORT.to_owned());
    }
    let trace = body.split_to(trace_bytes);
    let trace = std::str::from_utf8(&trace).map_err(|_| "has a traceparent that is not text")?;
    let trace = (!trace.is_empty()).then_some(trace);
    let canonical = body.split_to(canonical_bytes);
    Record::from_stored(canonical, link, trace).map_err(|error| format!("is none: {error}"))
}
