//! `callboard audit verify`: what is proved, where the first thing is wrong, and what nobody can tell.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, Result};
use event_log::export::{Asked, Earlier, Place, Relation, Report, VerifyError, verify};
use event_log::note::VerifierKey;
use serde::Serialize;

use super::progress;
use crate::cli::AuditVerify;
use crate::failure::Failure;
use crate::output::{self, Format};

/// How much of a file is read at a time. In bytes: 1 MiB.
const BUFFER_BYTES: usize = 1024 * 1024;

/// What is said of a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    verified: bool,
    origin: String,
    tenant: String,
    /// What was asked for.
    asked: Asked,
    first: u64,
    last: u64,
    /// When the end was signed, if signatures were verified.
    at: String,
    root: String,
    shown: u64,
    left_out: u64,
    checkpoints: u64,
    signed: bool,
    earlier_is_beginning: bool,
    /// What could not be verified, in words.
    not_verified: Vec<String>,
}

/// What is said of a file that is not as it was exported.
#[derive(Debug, Serialize)]
struct Refusal {
    verified: bool,
    /// Where the first thing is wrong: from this sequence, if that is about events,
    from: Option<u64>,
    /// to this one.
    to: Option<u64>,
    reason: String,
}

/// Verifies a file, and says so.
///
/// # Errors
///
/// If a file cannot be read, or is not as it was exported.
pub(super) fn run(format: Format, options: &AuditVerify) -> Result<()> {
    let keys = &options.keys;
    let before = |it: &std::path::PathBuf| Ok(read(format, it, keys, None)?.as_earlier());
    let earlier = options.earlier.as_ref().map(before).transpose();
    let earlier = earlier.map_err(|it: anyhow::Error| it.context("the earlier export"))?;
    let report = read(format, &options.file, keys, earlier)?;
    output::result(format, &answer(&report), |it| text(&options.file, it))
}

fn read(
    format: Format,
    path: &Path,
    keys: &[VerifierKey],
    earlier: Option<Earlier>,
) -> Result<Report> {
    let unreadable = || format!("`{}` cannot be read", path.display());
    let file = File::open(path).with_context(unreadable)?;
    let bar = progress(format, Some(file.metadata().with_context(unreadable)?.len()));
    let file = BufReader::with_capacity(BUFFER_BYTES, file);
    let verified = verify(file, keys, earlier, |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    match verified {
        Ok(report) => Ok(report),
        Err(VerifyError::Io(error)) => Err(error).with_context(unreadable),
        Err(VerifyError::Fault(fault)) => {
            let (from, to) = match fault.place {
                Place::Header => (None, None),
                Place::At(sequence) | Place::After(sequence) => (Some(sequence), Some(sequence)),
                Place::Between(first, last) => (Some(first), Some(last)),
            };
            let reason = output::plain(&fault.to_string());
            if format == Format::Json {
                let refusal = Refusal { verified: false, from, to, reason: reason.clone() };
                output::result(format, &refusal, |_| String::new())?;
            }
            Err(Failure::Rejected(format!(
                "`{}` is not as it was exported, {reason}",
                path.display()
            ))
            .into())
        }
    }
}

fn answer(report: &Report) -> Answer {
    Answer {
        verified: true,
        origin: report.header.origin.clone(),
        tenant: report.header.tenant.clone(),
        asked: report.header.asked.clone(),
        first: report.header.first,
        last: report.last,
        at: report.at.clone(),
        root: report.root.to_string(),
        shown: report.shown,
        left_out: report.left_out,
        checkpoints: report.checkpoints,
        signed: report.is_signed,
        earlier_is_beginning: report.relation == Relation::Beginning,
        not_verified: not_verified(report),
    }
}

/// What nobody can tell from this file and what was given beside it.
fn not_verified(report: &Report) -> Vec<String> {
    let Report { header, last, left_out, gaps, is_signed, relation, .. } = report;
    let mut open = Vec::new();
    if !is_signed {
        open.push("who made this: no --vkey was given, so all of it could be made up".to_owned());
    }
    if header.first > 1 {
        let before = header.first - 1;
        open.push(format!("what events 1 to {before} say: only hashes over them are here"));
    }
    if *left_out > 0 {
        open.push(format!(
            "what the {left_out} events say that are left out: each is in the tree as a hash, and the chain was \
             not followed over {gaps} gaps"
        ));
    }
    if *relation == Relation::Unknown {
        open.push(
            "whether the earlier export is the beginning of this one: they do not meet".to_owned(),
        );
    }
    open.push(match &header.asked.to {
        None => format!("whether anything was recorded after event {last}"),
        Some(to) => format!(
            "whether anything up to {} was recorded after event {last}, and after this was exported",
            output::plain(to)
        ),
    });
    open
}

/// What was asked for, in words.
fn words(asked: &Asked) -> String {
    let from = asked.from.iter().map(|it| format!("from {it}"));
    let to = asked.to.iter().map(|it| format!("up to {it}"));
    let actor = asked.actor.iter().map(|it| format!("by {it}"));
    let types = (!asked.types.is_empty()).then(|| format!("of types {}", asked.types.join(", ")));
    let parts: Vec<_> = from.chain(to).chain(actor).chain(types).collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
}

fn text(path: &Path, answer: &Answer) -> String {
    let Answer { origin, first, last, shown, left_out, checkpoints, root, at, .. } = answer;
    let (asked, at) = (output::plain(&words(&answer.asked)), output::plain(at));
    let signed = if answer.signed { ", signed" } else { "" };
    let earlier = match answer.earlier_is_beginning {
        true => "earlier       the earlier export is its beginning\n",
        false => "",
    };
    let open = answer.not_verified.iter().map(|it| format!("not verified  {it}\n"));
    let open: String = open.collect();
    format!(
        "verified      {}\nof            {}\nasked for     {asked}, at {at}\nevents        {first} to {last}: {shown} shown, {left_out} left out\n\
         checkpoints   {checkpoints}{signed}\nroot          {root}\n{earlier}{open}",
        path.display(),
        output::plain(origin),
    )
}
