//! How large, deep and wide a descriptor may be, whatever it says.

use serde_json::Value;

use super::findings::{Findings, Path};
use super::{large_parts, personal_parts};

/// The most bytes of a descriptor as compact JSON: 4 MiB, as much as the longest API definitions
/// in real catalogs, and half of what a request may have.
pub const DESCRIPTOR_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most bytes a descriptor may take in its event, with personal parts counted as they are
/// sealed: 240 KiB, so that its event stays below the 256 KiB of a record. What is larger is
/// stored beside the log, but never what is personal.
pub const INLINE_BYTES_MAX: usize = 240 * 1024;

/// The keys that stand for what was taken out of a descriptor.
const RESERVED: [&str; 2] = [personal_parts::PLACEHOLDER, large_parts::PLACEHOLDER];

/// How deep objects and lists may be nested: 64. Readers walk documents recursively.
pub const DEPTH_MAX: usize = 64;

/// The most values (texts, numbers, objects, lists, …) of a descriptor: 10,000. Each can become
/// two rows of the search index.
pub const VALUES_MAX: usize = 10_000;

/// The longest number, truth value or null in JSON. In bytes: 24, as `-2.2250738585072014e-308`.
const SCALAR_BYTES_MAX: usize = 24;

/// Checks `json` against the limits that later checks and readers rely on, and returns how many
/// bytes it takes at most as compact JSON.
pub(super) fn check(json: &Value, findings: &mut Findings) -> usize {
    let mut walk = Walk { values: 0, bytes: 0, findings };
    walk.value(json, &Path::Root, 1);
    if walk.values > VALUES_MAX {
        walk.findings.add("", format!("expected at most {VALUES_MAX} values, got more"));
    }
    walk.bytes
}

struct Walk<'a> {
    values: usize,
    /// An upper bound of what was visited so far, as compact JSON.
    bytes: usize,
    findings: &'a mut Findings,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value, path: &Path<'_>, depth: usize) {
        self.values += 1;
        if self.values > VALUES_MAX {
            return;
        }
        if depth > DEPTH_MAX {
            self.findings.add(path, format!("expected at most {DEPTH_MAX} levels, got more"));
            return;
        }
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => self.bytes += SCALAR_BYTES_MAX,
            Value::String(text) => self.text(text, path),
            Value::Array(list) => {
                self.bytes += 2 + list.len();
                for (index, value) in list.iter().enumerate() {
                    self.value(value, &path.element(index), depth + 1);
                }
            }
            Value::Object(object) => {
                self.bytes += 2 + 2 * object.len();
                for (key, value) in object {
                    let path = path.member(key);
                    self.text(key, &path);
                    if RESERVED.contains(&key.as_str()) {
                        let message = format!("expected another key, `{key}` is reserved");
                        self.findings.add(path, message);
                    }
                    self.value(value, &path, depth + 1);
                }
            }
        }
    }

    /// Databases cannot hold U+0000 in texts.
    fn text(&mut self, text: &str, path: &Path<'_>) {
        // Two quotes, and `\u001f` for the longest escape.
        let is_escaped = |it: &u8| *it < b' ' || matches!(it, b'"' | b'\\');
        self.bytes +=
            2 + text.len() + 5 * text.as_bytes().iter().filter(|it| is_escaped(it)).count();
        if text.contains('\0') {
            self.findings.add(path, "expected a text without the character U+0000");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_takes_no_more_bytes_than_its_bound() {
        let awkward = json!({
            "\u{1}\"\\é": ["\n\u{1f}", "plain", -2.225_073_858_507_201_4e-308, u64::MAX, i64::MIN],
            "deep": {"empty": {}, "list": [], "no": false, "nothing": null, "": ""},
        });
        let usual = crate::catalog::kinds::Kind::ALL.map(crate::catalog::samples::of);
        for json in usual.into_iter().chain([awkward]) {
            let (bound, bytes) = (check(&json, &mut Findings::default()), json.to_string().len());
            assert!(bytes <= bound, "{bytes} bytes, at most {bound} were expected: {json}");
            assert!(bound <= 6 * bytes, "{bound} is far beyond the {bytes} bytes of {json}");
        }
    }
}
