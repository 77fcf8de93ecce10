//! Checks a `spec` against the table of its kind.

use serde_json::{Map, Value};

use super::fields::{Field, Link, Need, Shape};
use super::findings::{Findings, Path};
use super::kinds::Kind;
use super::reference::{Parts, REFERENCE_BYTES_MAX};

/// Checks the fields of the object at `path`. `namespace` is that of the whole entity.
pub(super) fn check(
    object: &Map<String, Value>,
    fields: &[Field],
    path: &Path<'_>,
    namespace: &str,
    findings: &mut Findings,
) {
    let mut checker = Checker { namespace, findings };
    checker.fields(object, fields, path);
}

struct Checker<'a> {
    namespace: &'a str,
    findings: &'a mut Findings,
}

impl Checker<'_> {
    fn fields(&mut self, object: &Map<String, Value>, fields: &[Field], path: &Path<'_>) {
        for field in fields {
            let path = path.member(field.name);
            match object.get(field.name) {
                Some(value) => self.value(value, &field.shape, &path),
                None if field.need == Need::Required => {
                    self.findings.missing(path, expected(&field.shape));
                }
                None => {}
            }
        }
    }

    fn value(&mut self, value: &Value, shape: &Shape, path: &Path<'_>) {
        match (shape, value) {
            (Shape::Text, Value::String(text)) if !text.is_empty() => {}
            (Shape::AnyText, Value::String(_)) => {}
            (Shape::Condition, Value::String(_) | Value::Bool(_)) => {}
            (Shape::ShortText(max), Value::String(text)) if !text.is_empty() => {
                if text.chars().count() > *max {
                    self.findings.add(path, format!("expected at most {max} characters"));
                }
            }
            (Shape::OneOf(texts), Value::String(text)) => {
                if !texts.contains(&text.as_str()) {
                    let expected = format!("`{}`", texts.join("` or `"));
                    self.findings.unexpected(path, &expected, value);
                }
            }
            (Shape::Texts, Value::Array(list)) => self.list(list, &Shape::Text, path),
            (Shape::References(link), Value::Array(list)) => {
                self.list(list, &Shape::Reference(*link), path);
            }
            (Shape::Reference(link), Value::String(text)) if !text.is_empty() => {
                self.reference(text, link, path);
            }
            (
                Shape::Object(fields) | Shape::ObjectOrObjects(fields) | Shape::Texted(fields),
                Value::Object(object),
            ) => {
                self.fields(object, fields, path);
                if matches!(shape, Shape::Texted(_)) {
                    self.others_are_texts(object, fields, path);
                }
            }
            (Shape::SomeObjects(_), Value::Array(list)) if list.is_empty() => {
                self.findings.missing(path.element(0), "an object");
            }
            (
                Shape::Objects(fields)
                | Shape::SomeObjects(fields)
                | Shape::ObjectOrObjects(fields),
                Value::Array(list),
            ) => self.list(list, &Shape::Object(fields), path),
            (shape, value) => self.findings.unexpected(path, expected(shape), value),
        }
    }

    fn list(&mut self, list: &[Value], shape: &Shape, path: &Path<'_>) {
        for (index, value) in list.iter().enumerate() {
            self.value(value, shape, &path.element(index));
        }
    }

    fn reference(&mut self, text: &str, link: &Link, path: &Path<'_>) {
        if text.len() > REFERENCE_BYTES_MAX {
            let bytes = text.len();
            let message =
                format!("expected a reference of at most {REFERENCE_BYTES_MAX} bytes, got {bytes}");
            return self.findings.add(path, message);
        }
        let default_kind = link.default_kind.map(Kind::name);
        if Parts::parse(text, default_kind, self.namespace).is_none() {
            let got = Value::from(text);
            let expected = match link.default_kind {
                Some(_) => "a reference like `[kind:][namespace/]name`",
                None => "a reference with its kind like `kind:[namespace/]name`",
            };
            self.findings.unexpected(path, expected, &got);
        }
    }

    fn others_are_texts(&mut self, object: &Map<String, Value>, fields: &[Field], path: &Path<'_>) {
        for (key, value) in object {
            if !value.is_string() && fields.iter().all(|it| it.name != key) {
                self.findings.unexpected(path.member(key), "a text", value);
            }
        }
    }
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text | Shape::ShortText(_) => "a text that is not empty",
        Shape::AnyText => "a text",
        Shape::Condition => "a text or a truth value",
        Shape::Texts => "a list of texts",
        Shape::OneOf(_) => "one of a few texts",
        Shape::Object(_) | Shape::Texted(_) => "an object",
        Shape::Objects(_) => "a list of objects",
        Shape::SomeObjects(_) => "a list of at least one object",
        Shape::ObjectOrObjects(_) => "an object or a list of objects",
        Shape::Reference(_) => "a reference to an entity",
        Shape::References(_) => "a list of references to entities",
    }
}
