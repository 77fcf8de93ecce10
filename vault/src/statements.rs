//! Statements about blobs and cursors, the same on every database.

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

/// All blobs of a tenant.
pub(crate) const REMOVE_ALL: [&str; 3] = [
    "delete from blobs where tenant = $1",
    "delete from loose_blobs where tenant = $1",
    "delete from blob_holds where tenant = $1",
];

/// Of a cursor: `$1` and `$2` name it.
pub(crate) const CURSOR: &str = "select value from cursors where tenant = $1 and name = $2";
pub(crate) const SET_CURSOR: &str =
    "insert into cursors values ($1, $2, $3) on conflict do nothing";
pub(crate) const MOVE_CURSOR: &str =
    "update cursors set value = $3 where tenant = $1 and name = $2 and value = $4";
pub(crate) const REMOVE_CURSORS: &str = "delete from cursors where tenant = $1";

/// SQL integers are signed; no blob is that long.
pub(crate) fn length(name: crate::port::BlobName) -> i64 {
    i64::try_from(name.length).unwrap_or(i64::MAX)
}
