//! `$text`, `$json` and `$yaml`: a field's value read from another file of the repository.

use std::future::Future;
use std::pin::Pin;

use outbound::Client;
use serde_json::{Map, Value};

use super::documents;
use super::place::{Place, PlaceError};

/// The most placeholders one document may have, nested ones included: 100.
const PLACEHOLDERS_MAX: usize = 100;

/// Why a placeholder has no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceholderError {
    /// Its file cannot be read.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Its file is not what the placeholder says.
    #[error("`{name}` is not {format}: {reason}")]
    Format {
        /// The file.
        name: String,
        /// What it should be.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// There are too many.
    #[error("more than {PLACEHOLDERS_MAX} placeholders in one document")]
    TooMany,
}

/// What a placeholder wants its file read as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    Yaml,
}

/// Puts the content of files in the place of placeholders, everywhere in `value`.
///
/// # Errors
///
/// [`PlaceholderError`] for the first placeholder that has no value.
pub(crate) async fn resolve(
    value: Value,
    place: &Place,
    client: &Client,
) -> Result<Value, PlaceholderError> {
    let mut left = PLACEHOLDERS_MAX;
    within(value, place, client, &mut left).await
}

type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Value, PlaceholderError>> + Send + 'a>>;

fn within<'a>(
    value: Value,
    place: &'a Place,
    client: &'a Client,
    left: &'a mut usize,
) -> Resolving<'a> {
    Box::pin(async move {
        match value {
            Value::Object(fields) => match placeholder(&fields) {
                Some((format, target)) => {
                    *left = left.checked_sub(1).ok_or(PlaceholderError::TooMany)?;
                    let file = place.refer(target)?;
                    let text = file.read(client).await?;
                    let content = read_as(format, text, &file)?;
                    if format == Format::Text {
                        return Ok(content);
                    }
                    within(content, &file, client, left).await
                }
                None => {
                    let mut resolved = Map::new();
                    for (key, field) in fields {
                        resolved.insert(key, within(field, place, client, left).await?);
                    }
                    Ok(Value::Object(resolved))
                }
            },
            Value::Array(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for item in items {
                    resolved.push(within(item, place, client, left).await?);
                }
                Ok(Value::Array(resolved))
            }
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                Ok(plain)
            }
        }
    })
}

/// An object with one known key and a text is a placeholder.
fn placeholder(fields: &Map<String, Value>) -> Option<(Format, &str)> {
    let (key, target) = fields.iter().next().filter(|_| fields.len() == 1)?;
    let format = match key.as_str() {
        "$text" => Format::Text,
        "$json" => Format::Json,
        "$yaml" => Format::Yaml,
        _ => return None,
    };
    Some((format, target.as_str()?))
}

fn read_as(format: Format, text: String, file: &Place) -> Result<Value, PlaceholderError> {
    let wrong =
        |format, reason| PlaceholderError::Format { name: file.to_string(), format, reason };
    match format {
        Format::Text => Ok(Value::String(text)),
        Format::Json => serde_json::from_str(&text).map_err(|it| wrong("JSON", it.to_string())),
        Format::Yaml => match documents::parse(&text).into_iter().next().map(|it| it.content) {
            Some(Ok(content)) => Ok(content),
            Some(Err(malformed)) => Err(wrong("YAML", malformed.to_string())),
            None => Ok(Value::Null),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use outbound::{Limits, Reach};
    use serde_json::json;

    use super::*;

    async fn resolved(files: &[(&str, &str)], value: Value) -> Result<Value, PlaceholderError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("catalog-info.yaml"), "").unwrap();
        for (name, text) in files {
            fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            fs::write(folder.path().join(name), text).unwrap();
        }
        let place = Place::file(&folder.path().join("catalog-info.yaml"), folder.path()).unwrap();
        resolve(value, &place, &Client::new(Reach::Public, Limits::default())).await
    }

    #[tokio::test]
    async fn files_take_the_place_of_placeholders_relative_to_the_file_that_names_them() {
        let files = [
            ("api/openapi.yaml", "paths: {$json: ./paths.json}\n"),
            ("api/paths.json", "{\"/cart\": {}}"),
            ("api/note.txt", "{\"$text\": \"no\"}"),
        ];
        let value = json!({"spec": [{"$yaml": "./api/openapi.yaml"}, {"$text": "api/note.txt"}]});
        let expected = json!({"spec": [{"paths": {"/cart": {}}}, "{\"$text\": \"no\"}"]});
        assert_eq!(resolved(&files, value).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn what_leaves_the_repository_is_malformed_or_endless_is_refused() {
        let outside = resolved(&[], json!({"$text": "/etc/hostname"})).await.unwrap_err();
        assert!(outside.to_string().contains("outside the repository"), "{outside}");
        let broken = resolved(&[("x.json", "{")], json!({"$json": "x.json"})).await.unwrap_err();
        assert!(broken.to_string().contains("`x.json` is not JSON"), "{broken}");
        let endless = [("x.yaml", "a: {$yaml: ./x.yaml}")];
        let endless = resolved(&endless, json!({"$yaml": "x.yaml"})).await.unwrap_err();
        assert!(matches!(endless, PlaceholderError::TooMany), "{endless}");
    }
}
