//! Statements about blobs, cursors and records, the same on every database.

use chrono::{DateTime, Utc};

use crate::port::{Record, Version};

/// Of one blob: `$1` to `$3` name it.
pub(crate) const STORE: &str = "insert into blobs values ($1, $2, $3, $4) on conflict do nothing";
pub(crate) const STORE_LOOSE: &str = "insert into loose_blobs values ($1, $2, $3)";
/// What was kept needs nobody to hold it.
pub(crate) const HOLD: &str = "insert into blob_holds
    select tenant, $4, hash, length from loose_blobs
    where tenant = $1 and hash = $2 and length = $3
    on conflict do nothing";
pub(crate) const READ: &str =
    "select sealed from blobs where tenant = $1 and hash = $2 and length = $3";
pub(crate) const REMOVE: &str = "delete from blobs where tenant = $1 and hash = $2 and length = $3";
pub(crate) const FORGET: &str = "delete from loose_blobs
    where tenant = $1 and hash = $2 and length = $3 and not exists (
        select 1 from blob_holds where tenant = $1 and hash = $2 and length = $3
    )";

/// Of a hold: `$1` and `$2` name it.
pub(crate) const KEEP: &str = "delete from loose_blobs where tenant = $1 and (hash, length) in
    (select hash, length from blob_holds where tenant = $1 and hold = $2)";
pub(crate) const HELD: &str = "select hash, length from blob_holds where tenant = $1 and hold = $2";
pub(crate) const END_HOLD: &str = "delete from blob_holds where tenant = $1 and hold = $2";

/// What is noted of a tenant's blobs that were never kept.
pub(crate) const FORGET_ALL: [&str; 2] =
    ["delete from loose_blobs where tenant = $1", "delete from blob_holds where tenant = $1"];

/// A slice of a tenant's blobs, `$2` of them.
pub(crate) const REMOVE_SOME: &str = "delete from blobs where tenant = $1 and (hash, length) in
    (select hash, length from blobs where tenant = $1 order by hash, length limit $2)";

/// How many blobs are removed at a time: 16, each of up to 16 MiB, so that whoever waits for that
/// does not wait for long, and it is done in the time that there is.
pub(crate) const BLOBS_MAX: i64 = 16;

/// A slice of the keys of a tenant's subjects, `$2` of them.
pub(crate) const REMOVE_SUBJECTS: &str = "delete from keys
    where tenant = $1 and purpose = 'subject' and id <=
    (select id from
        (select id from keys where tenant = $1 and purpose = 'subject' order by id limit $2) as slice
        order by id desc limit 1)";

/// How many keys are removed at a time: 10,000, some hundredths of a second's work.
pub(crate) const SUBJECTS_MAX: i64 = 10_000;

/// Of a cursor: `$1` and `$2` name it.
pub(crate) const CURSOR: &str = "select value from cursors where tenant = $1 and name = $2";
pub(crate) const SET_CURSOR: &str =
    "insert into cursors values ($1, $2, $3) on conflict do nothing";
pub(crate) const MOVE_CURSOR: &str =
    "update cursors set value = $3 where tenant = $1 and name = $2 and value = $4";
pub(crate) const REMOVE_CURSORS: &str = "delete from cursors where tenant = $1";

/// Of a record: `$1` to `$3` name it. What has ended counts as absent.
pub(crate) const RECORD: &str = "select version, ends_at, sealed from records
    where tenant = $1 and kind = $2 and name = $3 and (ends_at is null or ends_at > $4)";
pub(crate) const ADD_RECORD: &str =
    "insert into records (tenant, kind, name, version, ends_at, sealed)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (tenant, kind, name) do update
    set version = excluded.version, ends_at = excluded.ends_at, sealed = excluded.sealed
    where records.ends_at <= $7";
pub(crate) const REPLACE_RECORD: &str = "update records
    set version = $4, ends_at = $5, sealed = $6
    where tenant = $1 and kind = $2 and name = $3
    and (ends_at is null or ends_at > $7) and version = $8";
pub(crate) const REMOVE_RECORD: &str = "delete from records
    where tenant = $1 and kind = $2 and name = $3
    and (ends_at is null or ends_at > $4) and version = $5";
pub(crate) const REMOVE_RECORDS: &str = "delete from records where tenant = $1";

/// What a record is in a row: its version, when it ends, and its value.
pub(crate) type RecordColumns = (i64, Option<i64>, Vec<u8>);

/// An instant as it is stored. In microseconds since 1970.
pub(crate) fn instant(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// The record in a row.
pub(crate) fn record((version, ends_at, sealed): RecordColumns) -> Record {
    Record {
        version: Version(version.cast_unsigned()),
        // One that is none is one that only a changed row has: it ended long ago.
        ends_at: ends_at.map(|it| DateTime::from_timestamp_micros(it).unwrap_or_default()),
        sealed: sealed.into(),
    }
}

/// SQL integers are signed; no blob is that long.
pub(crate) fn length(name: crate::port::BlobName) -> i64 {
    i64::try_from(name.length).unwrap_or(i64::MAX)
}
