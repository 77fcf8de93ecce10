//! Reads filter predicates: JSON objects like `{"$all": [{"kind": "component"}, …]}`.

use serde_json::{Map, Value};

use super::{Filter, FilterError};

/// The deepest nesting of one predicate: 16.
const DEPTH_MAX: usize = 16;

/// Reads a predicate, which must be an object.
pub(super) fn parse(predicate: &Value) -> Result<Filter, FilterError> {
    node(predicate, "query", 0)
}

fn node(value: &Value, path: &str, depth: usize) -> Result<Filter, FilterError> {
    if depth > DEPTH_MAX {
        return Err(wrong(path, format!("nested at most {DEPTH_MAX} deep")));
    }
    let Value::Object(object) = value else {
        return Err(wrong(path, format!("got {}", kind_of(value))));
    };
    let mut parts = Vec::with_capacity(object.len());
    for (key, value) in object {
        let path = format!("{path}.{key}");
        parts.push(match key.as_str() {
            "$all" => Filter::All(nodes(value, &path, depth)?),
            "$any" => Filter::Any(nodes(value, &path, depth)?),
            "$not" => Filter::Not(Box::new(node(value, &path, depth + 1)?)),
            _ if key.starts_with('$') => {
                return Err(wrong(&path, "of `$all`, `$any`, `$not` or a key".to_owned()));
            }
            _ => condition(key, value, &path)?,
        });
    }
    // One condition needs no node around it.
    Ok(match parts.len() {
        1 => parts.remove(0),
        _ => Filter::All(parts),
    })
}

fn nodes(value: &Value, path: &str, depth: usize) -> Result<Vec<Filter>, FilterError> {
    let Value::Array(list) = value else {
        return Err(wrong(path, format!("a list of predicates, got {}", kind_of(value))));
    };
    let each = |(index, it)| node(it, &format!("{path}[{index}]"), depth + 1);
    list.iter().enumerate().map(each).collect()
}

/// What must hold of one key.
fn condition(key: &str, value: &Value, path: &str) -> Result<Filter, FilterError> {
    let Value::Object(operators) = value else {
        return Ok(Filter::In { key: key.to_owned(), values: vec![primitive(value, path)?] });
    };
    let mut all = operators.iter().map(|(operator, value)| {
        let path = format!("{path}.{operator}");
        operation(key, operator, value, &path)
    });
    match (operators.len(), all.next()) {
        (1, Some(only)) => only,
        _ => Err(wrong(path, "with exactly one operator".to_owned())),
    }
}

fn operation(key: &str, operator: &str, value: &Value, path: &str) -> Result<Filter, FilterError> {
    let key = key.to_owned();
    match (operator, value) {
        ("$exists", Value::Bool(true)) => Ok(Filter::Exists(key)),
        ("$exists", Value::Bool(false)) => Ok(Filter::Not(Box::new(Filter::Exists(key)))),
        ("$exists", _) => Err(wrong(path, format!("a boolean, got {}", kind_of(value)))),
        ("$in", Value::Array(list)) => {
            let values = list.iter().map(|it| primitive(it, path)).collect::<Result<_, _>>()?;
            Ok(Filter::In { key, values })
        }
        ("$in", _) => Err(wrong(path, format!("a list of values, got {}", kind_of(value)))),
        ("$hasPrefix", Value::String(prefix)) => Ok(Filter::Prefix { key, prefix: prefix.clone() }),
        ("$hasPrefix", _) => Err(wrong(path, format!("a text, got {}", kind_of(value)))),
        ("$contains", Value::Object(relation)) if key == "relations" => related(relation, path),
        ("$contains", Value::Object(_)) => {
            Err(wrong(path, "a primitive value; only `relations` contains objects".to_owned()))
        }
        ("$contains", _) => Ok(Filter::In { key, values: vec![primitive(value, path)?] }),
        _ => Err(wrong(path, "with `$exists`, `$in`, `$hasPrefix` or `$contains`".to_owned())),
    }
}

/// `{type, targetRef}`: an element of the entity's relations.
fn related(relation: &Map<String, Value>, path: &str) -> Result<Filter, FilterError> {
    let mut kind = None;
    let mut targets = None;
    for (key, value) in relation {
        let path = format!("{path}.{key}");
        match (key.as_str(), value) {
            ("type", Value::String(text)) => kind = Some(text.clone()),
            ("targetRef", Value::String(text)) => targets = Some(vec![text.clone()]),
            ("targetRef", Value::Object(object)) => match object.get("$in") {
                Some(Value::Array(list)) if object.len() == 1 => {
                    let texts = list.iter().map(|it| primitive(it, &path));
                    targets = Some(texts.collect::<Result<_, _>>()?);
                }
                _ => return Err(wrong(&path, "a reference or `{\"$in\": […]}`".to_owned())),
            },
            _ => return Err(wrong(&path, "`type` and `targetRef` with texts".to_owned())),
        }
    }
    match kind {
        Some(kind) => Ok(Filter::Related { kind, targets }),
        None => Err(wrong(path, "a relation with its `type`".to_owned())),
    }
}

fn primitive(value: &Value, path: &str) -> Result<String, FilterError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(wrong(path, format!("a text, number or boolean, got {}", kind_of(value))))
        }
    }
}

fn wrong(path: &str, problem: String) -> FilterError {
    FilterError::Predicate { path: path.to_owned(), problem }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
