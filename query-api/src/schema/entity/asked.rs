//! What an operation asks of the entities below a field, so that nothing else is read.

use async_graphql::SelectionField;
use projections::catalog::entities::{Column, Columns};
use projections::catalog::history::Detail;

type Fields<'a> = Vec<SelectionField<'a>>;

/// What is asked of the nodes of a connection.
pub(super) fn nodes<'a>(connection: &SelectionField<'a>) -> Fields<'a> {
    let mut nodes = below(connection.selection_set(), "nodes");
    nodes.extend(below(below(connection.selection_set(), "edges").into_iter(), "node"));
    nodes
}

/// What is asked of the field of that name, wherever it is among `fields`.
fn below<'a>(fields: impl Iterator<Item = SelectionField<'a>>, name: &str) -> Fields<'a> {
    let named = fields.filter(|it| it.name() == name);
    named.flat_map(|it| it.selection_set().collect::<Fields<'a>>()).collect()
}

/// The columns that `fields` of an entity are resolved from.
pub(super) fn columns(fields: &[SelectionField<'_>]) -> Columns {
    let add = |columns: Columns, it: &SelectionField<'_>| Some(columns.with(column(it.name())?));
    fields.iter().try_fold(Columns::of([]), add).unwrap_or(Columns::ALL)
}

/// The columns of the entities that `relations` lead to, if any of it is asked for.
pub(super) fn targets<'a>(relations: impl Iterator<Item = SelectionField<'a>>) -> Option<Columns> {
    let fields = below(relations, "target");
    (!fields.is_empty()).then(|| columns(&fields))
}

/// How much of versions is needed to resolve `fields` of them.
pub(super) fn detail(fields: &[SelectionField<'_>]) -> Detail {
    match fields.iter().any(|it| it.name() == "descriptor") {
        true => Detail::Whole,
        false => Detail::Outline,
    }
}

/// The column that a field of an entity is resolved from, if one is enough.
fn column(field: &str) -> Option<Column> {
    Some(match field {
        "id" | "usage" => Column::Id,
        "uid" => Column::Uid,
        "reference" | "relations" | "owners" | "history" | "__typename" => Column::Reference,
        "kind" => Column::Kind,
        "namespace" => Column::Namespace,
        "name" => Column::Name,
        "title" => Column::Title,
        "description" => Column::Description,
        "type" => Column::SpecType,
        "lifecycle" => Column::Lifecycle,
        "tags" => Column::Tags,
        "location" => Column::Location,
        "etag" => Column::Etag,
        "revision" => Column::Revision,
        "sequence" => Column::Sequence,
        "registeredAt" => Column::RegisteredAt,
        "changedAt" => Column::ChangedAt,
        "changedBy" => Column::ChangedBy,
        "document" => Column::Document,
        _ => return None,
    })
}
