//! A file of YAML documents, each parsed by itself, so that one bad document spoils no other.

use serde_json::Value;
use serde_saphyr::Options;
use serde_saphyr::options::MergeKeyPolicy;

/// The largest catalog file. In bytes: 8 MiB, room for thousands of entities.
pub(crate) const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most nodes one document may have, aliases expanded: 100,000.
const NODES_MAX: usize = 100_000;

/// One document of a file.
#[derive(Debug, PartialEq)]
pub(crate) struct Document {
    /// Where its content begins in the file, from 1.
    pub line: usize,
    /// What it says, or why it says nothing.
    pub content: Result<Value, Malformed>,
}

/// Why a document is not YAML, with the line in the file.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("not YAML at line {line}: {reason}")]
pub(crate) struct Malformed {
    /// Where, in the file, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// Reads every document of `text` that says anything.
pub(crate) fn parse(text: &str) -> Vec<Document> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let pieces = split(text).into_iter();
    pieces.filter_map(|(line, piece)| document(line, piece)).collect()
}

/// Cuts at lines that are a document marker. YAML forbids them everywhere else.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let (mut begin, mut begin_line, mut at) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let marker = line.trim_end();
        if marker == "---" || marker == "..." || line.starts_with("--- ") {
            let piece = &text[begin..at];
            if marker == "..." || !is_version(piece) {
                pieces.push((begin_line, piece));
            }
            let content = if marker == "---" || marker == "..." { line.len() } else { "---".len() };
            begin = at + content;
            begin_line = if content == line.len() { index + 2 } else { index + 1 };
        }
        at += line.len();
    }
    pieces.push((begin_line, &text[begin..]));
    pieces
}

/// Whether what stands before a `---` says nothing but by which version to read what follows. There
/// is one way of reading here, so it is not needed; parsed by itself it would be no document.
fn is_version(piece: &str) -> bool {
    let mut said = piece.lines().filter(|it| !it.trim().is_empty() && !it.starts_with('#'));
    let is_directive = |it: &str| it.starts_with("%YAML ") || it.starts_with("%YAML\t");
    said.clone().next().is_some() && said.all(is_directive)
}

fn document(first_line: usize, piece: &str) -> Option<Document> {
    let blank = |it: &&str| it.trim().is_empty() || it.trim_start().starts_with('#');
    let skipped = piece.lines().take_while(blank).count();
    let line = first_line + skipped;
    match serde_saphyr::from_str_with_options(piece, options()) {
        Ok(Value::Null) => None,
        Ok(content) => Some(Document { line, content: Ok(content) }),
        Err(error) => {
            let within = error.location().map_or(1, |it| usize::try_from(it.line()).unwrap_or(1));
            let reason = error.without_snippet().to_string();
            let malformed = Malformed { line: first_line + within - 1, reason };
            Some(Document { line, content: Err(malformed) })
        }
    }
}

/// YAML 1.2 as Backstage reads it, within bounds.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: NODES_MAX, max_documents: 2, max_depth: 100 },
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        merge_keys: MergeKeyPolicy::AsOrdinary,
    }
}

#[cfg(test)]
mod tests;
