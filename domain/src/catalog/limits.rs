//! How large, deep and wide a descriptor may be, whatever it says.

use serde_json::Value;

use super::findings::{Findings, element, member};
use super::personal_parts::PLACEHOLDER;

/// The most bytes a descriptor may take in its event, as compact JSON, with personal parts
/// counted as they are sealed: 240 KiB, so that its event stays below the 256 KiB of a record.
pub const DESCRIPTOR_BYTES_MAX: usize = 240 * 1024;

/// How deep objects and lists may be nested: 64. Readers walk documents recursively.
pub const DEPTH_MAX: usize = 64;

/// The most values (texts, numbers, objects, lists, …) of a descriptor: 10,000. Each can become
/// two rows of the search index.
pub const VALUES_MAX: usize = 10_000;

/// Checks `json` against the limits that later checks and readers rely on.
pub(super) fn check(json: &Value, findings: &mut Findings) {
    let mut walk = Walk { values: 0, findings };
    walk.value(json, "", 1);
    if walk.values > VALUES_MAX {
        findings.add("", format!("expected at most {VALUES_MAX} values, got more"));
    }
}

struct Walk<'a> {
    values: usize,
    findings: &'a mut Findings,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value, path: &str, depth: usize) {
        self.values += 1;
        if self.values > VALUES_MAX {
            return;
        }
        if depth > DEPTH_MAX {
            self.findings.add(path, format!("expected at most {DEPTH_MAX} levels, got more"));
            return;
        }
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => self.text(text, path),
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    self.value(value, &element(path, index), depth + 1);
                }
            }
            Value::Object(object) => {
                for (key, value) in object {
                    let path = member(path, key);
                    self.text(key, &path);
                    if key == PLACEHOLDER {
                        let message = format!("expected another key, `{PLACEHOLDER}` is reserved");
                        self.findings.add(&path, message);
                    }
                    self.value(value, &path, depth + 1);
                }
            }
        }
    }

    /// Databases cannot hold U+0000 in texts.
    fn text(&mut self, text: &str, path: &str) {
        if text.contains('\0') {
            self.findings.add(path, "expected a text without the character U+0000");
        }
    }
}
