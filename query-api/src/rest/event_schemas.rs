//! What the values of events look like, one JSON Schema for each type, where the attribute
//! `ce_dataschema` of a record says that it is.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::event::schema_documents;

use super::Problem;
use super::problem::cut;

/// Each as it is sent, by its type.
static SENT: LazyLock<BTreeMap<&'static str, String>> = LazyLock::new(|| {
    schema_documents().into_iter().map(|(name, schema)| (name, schema.to_string())).collect()
});

/// The JSON Schema (draft 2020-12) of a type of event.
#[utoipa::path(
    get,
    path = "/schemas/events/{file}",
    params(("file" = String, Path, description = "The type without `callboard.`, and `.json`.")),
    responses(
        (status = 200, body = Object, content_type = "application/schema+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(Path(file): Path<String>) -> Result<Response, Problem> {
    let schema = file.strip_suffix(".json").and_then(|it| SENT.get(it));
    let schema = schema.ok_or_else(|| {
        let detail = format!(
            "there is no schema `{}`: expected a type like `entity.updated.v1.json`",
            cut(&file)
        );
        Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", detail)
    })?;
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], schema.as_str()).into_response())
}
