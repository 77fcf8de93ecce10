//! The four parameters of a GraphQL request, checked for their types.
//!
//! `query` is a string; `operationName` a string or null; `variables` and `extensions` are objects
//! or null. Other properties are ignored, as the specification demands.

use async_graphql::{Request, Variables};
use serde_json::{Map, Value};

/// What one well-formed request asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parameters {
    query: String,
    operation_name: Option<String>,
    variables: Map<String, Value>,
    pub(super) extensions: Map<String, Value>,
}

/// What a body may hold.
#[derive(Debug)]
pub(super) enum Body {
    One(Result<Parameters, Malformed>),
    /// In the order given. Each is well-formed or not on its own.
    Batch(Vec<Result<Parameters, Malformed>>),
}

/// Why something is not a well-formed request.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) String);

impl Body {
    /// Reads JSON, with or without a byte order mark.
    ///
    /// # Errors
    ///
    /// What is wrong and where, if it is not JSON in UTF-8.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        Ok(match serde_json::from_slice(bytes)? {
            Value::Array(requests) => {
                Self::Batch(requests.into_iter().map(Parameters::from_json).collect())
            }
            request => Self::One(Parameters::from_json(request)),
        })
    }
}

impl Parameters {
    /// Takes the parameters out of a JSON value.
    ///
    /// # Errors
    ///
    /// [`Malformed`] names the first parameter that has the wrong type.
    pub(super) fn from_json(request: Value) -> Result<Self, Malformed> {
        let Value::Object(mut request) = request else {
            return Err(Malformed(format!("expected an object, got {}", kind(&request))));
        };
        let query = match request.remove("query") {
            Some(Value::String(query)) => query,
            None => return Err(Malformed("the parameter `query` is missing".to_owned())),
            Some(other) => return Err(wrong_type("query", "a string", &other)),
        };
        let operation_name = match request.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(other) => return Err(wrong_type("operationName", "a string or null", &other)),
        };
        let variables = object("variables", request.remove("variables"))?;
        let extensions = object("extensions", request.remove("extensions"))?;
        Ok(Self { query, operation_name, variables, extensions })
    }

    /// Takes the parameters out of the query of a URL.
    ///
    /// An empty optional parameter is none.
    ///
    /// # Errors
    ///
    /// [`Malformed`] names the first parameter that is missing, given twice or not what it must be.
    pub(super) fn from_query(query: &str) -> Result<Self, Malformed> {
        let mut request = Map::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = match &*name {
                "query" => Value::String(value.into_owned()),
                "operationName" | "variables" | "extensions" if value.is_empty() => Value::Null,
                "operationName" => Value::String(value.into_owned()),
                "variables" | "extensions" => serde_json::from_str(&value).map_err(|error| {
                    Malformed(format!("the parameter `{name}` is not JSON: {error}"))
                })?,
                _ => continue,
            };
            if request.insert(name.clone().into_owned(), value).is_some() {
                return Err(Malformed(format!("the parameter `{name}` is given twice")));
            }
        }
        Self::from_json(Value::Object(request))
    }
}

impl From<Parameters> for Request {
    fn from(parameters: Parameters) -> Self {
        let mut request = Self::new(parameters.query)
            .variables(Variables::from_json(Value::Object(parameters.variables)));
        request.operation_name = parameters.operation_name;
        for (name, value) in parameters.extensions {
            let value = async_graphql::Value::from_json(value)
                .expect("a JSON value is always a GraphQL value");
            request.extensions.insert(name, value);
        }
        request
    }
}

fn object(name: &str, value: Option<Value>) -> Result<Map<String, Value>, Malformed> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(other) => Err(wrong_type(name, "an object or null", &other)),
    }
}

fn wrong_type(name: &str, expected: &str, got: &Value) -> Malformed {
    Malformed(format!("the parameter `{name}` must be {expected}, got {}", kind(got)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
