//! Checks what all kinds have in common: the root and `metadata`.
//!
//! The kinds are a closed list, so their names and versions are compared, not matched against
//! the general patterns of Backstage.

use serde_json::{Map, Value};

use super::findings::{Findings, Path, shown};
use super::kinds::{Kind, KindSet};
use super::names;

/// What a form of text is called in messages, and how it is told.
struct Form {
    expected: &'static str,
    fits: fn(&str) -> bool,
}

const NAME: Form = Form {
    expected: "at most 63 letters and digits, with `-`, `_` or `.` between them",
    fits: names::is_name,
};
const NAMESPACE: Form = Form {
    expected: "at most 63 lower-case letters and digits, with `-` between them",
    fits: names::is_namespace,
};
const LABEL_VALUE: Form = Form {
    expected: "nothing or at most 63 letters and digits, with `-`, `_` or `.` between them",
    fits: names::is_label_value,
};
const TAG: Form = Form {
    expected: "at most 63 of `a-z 0-9 : + #`, with single `-` between them",
    fits: names::is_tag,
};
const URL: Form =
    Form { expected: "an absolute URL like `https://example.com/`", fits: names::is_url };
const TEXT: Form = Form { expected: "a text that is not empty", fits: |it| !it.is_empty() };
const ANY_TEXT: Form = Form { expected: "a text", fits: |_| true };

/// The root keys of a descriptor that say something.
const ROOT_KEYS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];

/// Checks the root: its keys, `kind` and `apiVersion`. Answers the kind if there is one.
pub(super) fn check_root(
    root: &Map<String, Value>,
    kinds: KindSet,
    findings: &mut Findings,
) -> Option<Kind> {
    for key in root.keys().filter(|it| !ROOT_KEYS.contains(&it.as_str())) {
        findings.add(
            Path::Root.member(key),
            "expected only `apiVersion`, `kind`, `metadata` and `spec` at the root",
        );
    }
    let kind = check_kind(root.get("kind"), kinds, findings);
    match (root.get("apiVersion"), kind) {
        (None, _) => findings.missing("apiVersion", "a text like `backstage.io/v1alpha1`"),
        (Some(version), Some(kind)) => {
            let fits = |it: &str| kind.api_versions().contains(&it);
            if !version.as_str().is_some_and(fits) {
                let expected =
                    format!("`{}` for {}", kind.api_versions().join("` or `"), kind.name());
                findings.unexpected("apiVersion", &expected, version);
            }
        }
        (Some(version), None) => text(version, &TEXT, &Path::Root.member("apiVersion"), findings),
    }
    kind
}

fn check_kind(value: Option<&Value>, kinds: KindSet, findings: &mut Findings) -> Option<Kind> {
    let Some(value) = value else {
        findings.missing("kind", "a kind like `Component`");
        return None;
    };
    let name = value.as_str().unwrap_or_default();
    let kind = Kind::from_name(name).filter(|it| it.is_in(kinds));
    if kind.is_none() {
        let accepted: Vec<_> = Kind::ALL.into_iter().filter(|it| it.is_in(kinds)).collect();
        let meant = accepted.iter().find(|it| it.name().eq_ignore_ascii_case(name));
        let message = match meant {
            Some(it) => format!("expected `{}` in this case, got {}", it.name(), shown(value)),
            None => {
                let names: Vec<_> = accepted.iter().map(|it| it.name()).collect();
                format!("expected one of {}, got {}", names.join(", "), shown(value))
            }
        };
        findings.add("kind", message);
    }
    kind
}

/// Checks `metadata`. Keys it does not know are kept and not looked at.
pub(super) fn check_metadata(metadata: &Map<String, Value>, findings: &mut Findings) {
    const PATH: Path<'_> = Path::Root.member("metadata");
    const TAGS: Path<'_> = PATH.member("tags");
    const LINKS: Path<'_> = PATH.member("links");
    match metadata.get("name") {
        Some(name) => text(name, &NAME, &PATH.member("name"), findings),
        None => findings.missing(PATH.member("name"), NAME.expected),
    }
    let optional = [
        ("namespace", &NAMESPACE),
        ("uid", &TEXT),
        ("etag", &TEXT),
        ("title", &TEXT),
        ("description", &ANY_TEXT),
    ];
    for (key, form) in optional {
        if let Some(value) = metadata.get(key) {
            text(value, form, &PATH.member(key), findings);
        }
    }
    for (key, form) in [("labels", &LABEL_VALUE), ("annotations", &ANY_TEXT)] {
        if let Some(value) = metadata.get(key) {
            check_pairs(value, form, &PATH.member(key), findings);
        }
    }
    if let Some(tags) = metadata.get("tags") {
        for (index, tag) in list(tags, &TAGS, findings).iter().enumerate() {
            text(tag, &TAG, &TAGS.element(index), findings);
        }
    }
    if let Some(links) = metadata.get("links") {
        for (index, link) in list(links, &LINKS, findings).iter().enumerate() {
            check_link(link, &LINKS.element(index), findings);
        }
    }
}

fn check_pairs(value: &Value, form: &Form, path: &Path<'_>, findings: &mut Findings) {
    let Value::Object(pairs) = value else {
        return findings.unexpected(path, "an object of texts", value);
    };
    for (key, value) in pairs {
        let path = path.member(key);
        if !names::is_key(key) {
            findings.add(path, "expected a key like `[example.com/]name`");
        }
        text(value, form, &path, findings);
    }
}

fn check_link(value: &Value, path: &Path<'_>, findings: &mut Findings) {
    let Value::Object(link) = value else {
        return findings.unexpected(path, "an object with `url`", value);
    };
    match link.get("url") {
        Some(url) => text(url, &URL, &path.member("url"), findings),
        None => findings.missing(path.member("url"), URL.expected),
    }
    for (key, form) in [("title", &TEXT), ("icon", &NAME), ("type", &TEXT)] {
        if let Some(value) = link.get(key) {
            text(value, form, &path.member(key), findings);
        }
    }
}

fn text(value: &Value, form: &Form, path: &Path<'_>, findings: &mut Findings) {
    if !value.as_str().is_some_and(form.fits) {
        findings.unexpected(path, form.expected, value);
    }
}

fn list<'a>(value: &'a Value, path: &Path<'_>, findings: &mut Findings) -> &'a [Value] {
    if let Value::Array(list) = value {
        return list;
    }
    findings.unexpected(path, "a list", value);
    &[]
}
