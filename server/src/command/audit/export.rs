//! `callboard audit export`: fetches an export into a file, and goes on where one breaks off.
//!
//! What the file has is verified before anything is added to it, and all of it once more at the end. An answer
//! ends with its token, so a long export is fetched in several.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use domain::event::TYPE_PREFIX;
use domain::id::TenantId;
use event_log::export::{Asked, Frame, FrameError, Frames, Header, MAGIC, Verifier};
use event_log::note::VerifierKey;
use futures::StreamExt;
use indicatif::ProgressBar;
use outbound::Request;
use serde_json::json;
use url::Url;

use super::{Published, progress};
use crate::cli::AuditExport;
use crate::command::client::Api;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Format};

/// What a file has of an export.
#[derive(Debug)]
struct Held {
    /// None if it has nothing yet.
    header: Option<Header>,
    /// The sequence of the last event.
    last: u64,
    /// It ends with the checkpoint after this sequence, or with nothing,
    after: u64,
    /// in this many bytes.
    bytes: u64,
    has_ended: bool,
}

/// Fetches an export, or what is missing of it.
///
/// # Errors
///
/// If the file holds something else, cannot be written, or the server does not answer or refuses.
pub(super) async fn run(config: &Config, format: Format, options: &AuditExport) -> Result<()> {
    let path = &options.output;
    let api = Api::open(config).await?.patient();
    let tenant = api.tenant(&options.tenant.tenant).await?;
    let asked = asked(options)?;
    let _alone = lock(path)?;
    let bar = progress(format, None);
    let mut held = look(path, &keys(&api, tenant).await?)?;
    check_same(&held, tenant, &asked, path)?;
    let was_whole = held.has_ended;
    while !held.has_ended {
        let before = held.after;
        let fetched = fetch(&api, tenant, &asked, &held, path, &bar).await;
        // Meanwhile another key may have begun to sign.
        held = look(path, &keys(&api, tenant).await?)?;
        check_same(&held, tenant, &asked, path)?;
        if !held.has_ended && held.after == before {
            fetched?;
            let path = path.display();
            let message = format!("the export broke off; run it again to go on with `{path}`");
            return Err(Failure::Unreachable(message).into());
        }
    }
    bar.finish_and_clear();
    let first = held.header.as_ref().map_or(1, |it| it.first);
    let answer = json!({
        "file": path, "tenant": tenant, "first": first, "last": held.last, "bytes": held.bytes,
        "fetched": !was_whole,
    });
    output::result(format, &answer, |_| {
        let (last, bytes, path) = (held.last, held.bytes, path.display());
        match was_whole {
            false => format!("events {first} to {last} are in `{path}`, verified ({bytes} bytes)"),
            true => format!(
                "`{path}` was complete already, with events {first} to {last}: nothing was fetched; choose \
                 another file for what came since"
            ),
        }
    })
}

/// The keys that verify exports of the tenant now.
async fn keys(api: &Api, tenant: TenantId) -> Result<Vec<VerifierKey>> {
    let keys = Published::of(api, tenant).await?.keys;
    Ok(keys.iter().map(|it| it.parse()).collect::<Result<_, _>>()?)
}

/// Keeps others from adding to a file as long as it is held.
fn lock(path: &Path) -> Result<File> {
    let unwritable = || format!("`{}` cannot be written", path.display());
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("`{}` is being exported to by another process", path.display());
            Err(Failure::Usage(message).into())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(unwritable),
    }
}

/// What is asked for, as the server writes it down.
fn asked(options: &AuditExport) -> Result<Asked> {
    let bound = |name: &str, text: &Option<String>| {
        let Some(text) = text else { return Ok(None) };
        if let Ok(sequence) = text.parse::<u64>() {
            return Ok(Some(sequence.to_string()));
        }
        let wrong = || {
            let example = "2026-11-30T08:00:00Z";
            Failure::Usage(format!(
                "expected a sequence or an instant like `{example}` for --{name}, got `{text}`"
            ))
        };
        let instant: DateTime<Utc> = text.parse().map_err(|_| wrong())?;
        anyhow::Ok(Some(instant.to_rfc3339()))
    };
    let short = |it: &String| it.strip_prefix(TYPE_PREFIX).unwrap_or(it).to_owned();
    Ok(Asked {
        from: bound("from", &options.from)?,
        to: bound("to", &options.to)?,
        actor: options.actor.map(|it| it.to_string()),
        types: options.types.iter().map(short).collect(),
    })
}

/// Fails where the file has another export than the one that is asked for.
fn check_same(held: &Held, tenant: TenantId, asked: &Asked, path: &Path) -> Result<()> {
    let Some(header) = &held.header else { return Ok(()) };
    if header.tenant == tenant.to_string() && header.asked == *asked {
        return Ok(());
    }
    let path = path.display();
    let message = format!("`{path}` has an export of something else; choose another file");
    Err(Failure::Usage(message).into())
}

/// Looks at what a file has, and verifies it.
fn look(path: &Path, keys: &[VerifierKey]) -> Result<Held> {
    let nothing = Held { header: None, last: 0, after: 0, bytes: 0, has_ended: false };
    let unreadable = || format!("`{}` cannot be read", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(nothing),
        opened => opened.with_context(unreadable)?,
    };
    let mut begins = Vec::new();
    (&file).take(MAGIC.len() as u64).read_to_end(&mut begins).with_context(unreadable)?;
    if !MAGIC.starts_with(&begins) {
        let message = format!("`{}` is no export; choose another file", path.display());
        return Err(Failure::Usage(message).into());
    }
    (&file).seek(SeekFrom::Start(0)).with_context(unreadable)?;
    let mut frames = match Frames::open(BufReader::with_capacity(1024 * 1024, file)) {
        Err(FrameError::Truncated) => return Ok(nothing),
        opened => opened.with_context(unreadable)?,
    };
    let changed = |it: &dyn std::fmt::Display| {
        let path = path.display();
        Failure::Rejected(format!("`{path}` is not as it was exported ({it}); choose another file"))
    };
    let first = match frames.read() {
        Ok(None) | Err(FrameError::Truncated) => return Ok(nothing),
        first => first.map_err(|it| changed(&it))?,
    };
    let mut verifier = Verifier::new(first, keys, None).map_err(|it| changed(&it))?;
    let header = Some(verifier.header().clone());
    let mut held = Held { header, ..nothing };
    loop {
        let frame = match frames.read() {
            Ok(Some(frame)) => frame,
            Err(FrameError::Truncated) if held.has_ended => {
                return Err(changed(&FrameError::Malformed).into());
            }
            Ok(None) | Err(FrameError::Truncated) => return Ok(held),
            Err(error) => return Err(changed(&error).into()),
        };
        let is_whole = matches!(frame, Frame::Checkpoint(_) | Frame::End(_));
        verifier.take(frame).map_err(|it| changed(&it))?;
        if is_whole {
            (held.last, held.after) = (verifier.reached(), verifier.reached());
            (held.bytes, held.has_ended) = (frames.reached(), verifier.has_ended());
        }
    }
}

/// Fetches what follows `held` into the file, as far as it comes.
async fn fetch(
    api: &Api,
    tenant: TenantId,
    asked: &Asked,
    held: &Held,
    path: &Path,
    bar: &ProgressBar,
) -> Result<()> {
    let url = address(api.url("/api/v1/audit/export")?, asked, held.after);
    let mut pieces = api.stream(tenant, Request::get(url)).await?.body;
    let unwritable = || format!("`{}` cannot be written", path.display());
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let mut file = file.with_context(unwritable)?;
    file.set_len(held.bytes).with_context(unwritable)?;
    file.seek(SeekFrom::End(0)).with_context(unwritable)?;
    bar.set_position(held.bytes);
    while let Some(piece) = pieces.next().await {
        let piece = piece.context("the export broke off")?;
        file.write_all(&piece).with_context(unwritable)?;
        bar.inc(piece.len() as u64);
    }
    file.sync_all().with_context(unwritable)
}

fn address(mut url: Url, asked: &Asked, after: u64) -> Url {
    let mut query = url.query_pairs_mut();
    for (name, text) in [("from", &asked.from), ("to", &asked.to), ("actor", &asked.actor)] {
        if let Some(text) = text {
            query.append_pair(name, text);
        }
    }
    if !asked.types.is_empty() {
        query.append_pair("types", &asked.types.join(","));
    }
    if after > 0 {
        query.append_pair("after", &after.to_string());
    }
    drop(query);
    url
}
