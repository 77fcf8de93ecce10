//! What is wrong with a descriptor: every finding at once, each with place, value and remedy.

use std::fmt;

use serde_json::Value;

use crate::violation::Violation;

/// The most violations that are reported for one descriptor: 50, so that a file of rubbish does
/// not become an answer of megabytes.
pub const VIOLATIONS_MAX: usize = 50;

/// How many characters of an offending value a message repeats.
const SHOWN_MAX: usize = 80;

/// The violations found so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Violation>);

impl Findings {
    /// Notes that the value at `path` is not `expected`.
    pub(super) fn unexpected(&mut self, path: impl fmt::Display, expected: &str, got: &Value) {
        self.add(path, format!("expected {expected}, got {}", shown(got)));
    }

    /// Notes that there is nothing at `path`.
    pub(super) fn missing(&mut self, path: impl fmt::Display, expected: &str) {
        self.add(path, format!("expected {expected}, got nothing"));
    }

    /// Notes a finding, unless there are [`VIOLATIONS_MAX`] already.
    pub(super) fn add(&mut self, path: impl fmt::Display, message: impl Into<String>) {
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push(Violation { field: path.to_string(), message: message.into() });
        }
    }

    /// Says whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every finding, in the order of the document.
    pub(super) fn into_vec(self) -> Vec<Violation> {
        self.0
    }
}

/// A place in a document. It is spelled out only where something is wrong: nearly every document
/// is right, and has many places.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    /// The document itself.
    Root,
    /// The value of a key.
    Member(&'a Path<'a>, &'a str),
    /// An element of a list.
    Element(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// The place of `key` in the object here.
    pub(super) const fn member<'a>(&'a self, key: &'a str) -> Path<'a> {
        Path::Member(self, key)
    }

    /// The place of the element at `index` of the list here.
    pub(super) const fn element(&self, index: usize) -> Path<'_> {
        Path::Element(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Element(list, index) => write!(f, "{list}[{index}]"),
            Self::Member(Path::Root, key) if is_plain(key) => f.write_str(key),
            Self::Member(object, key) if is_plain(key) => write!(f, "{object}.{key}"),
            Self::Member(object, key) => write!(f, "{object}[{}]", quoted(key)),
        }
    }
}

fn is_plain(key: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b':');
    // Quoted, a long one is cut: it is there in every finding below it.
    (1..=SHOWN_MAX).contains(&key.len()) && key.bytes().all(plain)
}

/// `value` as a message shows it: short.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Number(number) => format!("the number `{number}`"),
        Value::String(text) => format!("`{}`", cut(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn quoted(key: &str) -> String {
    Value::String(cut(key)).to_string()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
