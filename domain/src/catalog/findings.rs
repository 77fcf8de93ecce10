//! What is wrong with a descriptor: every finding at once, each with place, value and remedy.

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
    pub(super) fn unexpected(&mut self, path: &str, expected: &str, got: &Value) {
        self.add(path, format!("expected {expected}, got {}", shown(got)));
    }

    /// Notes that there is nothing at `path`.
    pub(super) fn missing(&mut self, path: &str, expected: &str) {
        self.add(path, format!("expected {expected}, got nothing"));
    }

    /// Notes a finding, unless there are [`VIOLATIONS_MAX`] already.
    pub(super) fn add(&mut self, path: &str, message: impl Into<String>) {
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push(Violation { field: path.to_owned(), message: message.into() });
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

/// The path of `key` in the object at `path`.
pub(super) fn member(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b':'));
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{}]", quoted(key)),
    }
}

/// The path of the element at `index` of the list at `path`.
pub(super) fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
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
