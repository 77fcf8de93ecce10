//! Writes what a batch changes: only the differences.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use domain::Stream;
use domain::catalog::search::SearchRow;
use domain::entity::Event;
use domain::id::TenantId;
use serde_json::Value as Json;

use super::derived::{Derived, Indexed, index, kind_name};
use super::load::Existing;
use super::{Key, Outcomes, Sources};
use crate::engine::checkpoint::Stage;
use crate::engine::fact::Fact;
use crate::engine::fold::ApplyError;
use crate::store::bulk::Rows;
use crate::store::{Connection, StoreError, Value};

/// Writes one row per event of an entity.
pub(super) async fn versions(
    connection: &mut Connection,
    facts: &[Fact],
) -> Result<(), ApplyError> {
    let mut rows = Rows::default();
    for fact in facts {
        let (Some(domain::Event::Entity(event)), Stream::Entity(id)) = (&fact.event, fact.stream)
        else {
            continue;
        };
        let (fate, uid, descriptor) = match event {
            Event::Registered { uid, descriptor, .. } => {
                ("registered", Some(*uid), Some(descriptor))
            }
            Event::Updated { descriptor, .. } => ("updated", None, Some(descriptor)),
            Event::Deregistered { uid } => ("deregistered", Some(*uid), None),
        };
        let descriptor = descriptor.map(serde_json::to_string).transpose();
        let descriptor = descriptor.map_err(|it| fact.unfit(it.to_string()))?;
        rows.push([
            fact.tenant.0.into(),
            id.0.into(),
            fact.revision.into(),
            uid.map(|it| it.0).into(),
            fate.into(),
            descriptor.into(),
            fact.sequence.into(),
            fact.position.0.into(),
            fact.at.timestamp_micros().into(),
            fact.actor.0.into(),
        ]);
    }
    let insert = "INSERT INTO versions
        (tenant, id, revision, uid, fate, descriptor, sequence, position, at, actor)";
    Ok(rows.insert(connection, insert, "").await?)
}

/// Writes the locations that changed.
pub(super) async fn locations(
    connection: &mut Connection,
    changed: &Sources,
) -> Result<(), StoreError> {
    let (mut gone, mut known) = (Rows::default(), Rows::default());
    for ((tenant, id), source) in changed {
        match source {
            None => gone.push([tenant.0.into(), id.0.into()]),
            Some(it) => known.push([
                tenant.0.into(),
                id.0.into(),
                kind_name(it.kind).into(),
                it.target.as_str().into(),
                it.sequence.into(),
                it.registered_at.timestamp_micros().into(),
            ]),
        }
    }
    gone.delete(connection, "locations", ["tenant", "id"]).await?;
    let insert = "INSERT INTO locations (tenant, id, kind, target, sequence, registered_at)";
    let update = "ON CONFLICT (tenant, id) DO UPDATE SET kind = excluded.kind,
        target = excluded.target, sequence = excluded.sequence,
        registered_at = excluded.registered_at";
    known.insert(connection, insert, update).await
}

/// Writes what became of the touched entities.
pub(super) async fn entities(
    connection: &mut Connection,
    outcomes: &Outcomes<'_>,
    existing: &HashMap<Key, Existing>,
    stage: Stage,
) -> Result<(), StoreError> {
    let mut differences = Differences::default();
    let (mut rows, mut gone) = (Rows::default(), Rows::default());
    let (mut subjects, mut personal) = (Rows::default(), Rows::default());
    for (key, outcome) in outcomes {
        let before = existing.get(key);
        let reference = match (&outcome.derived, before) {
            (Some(it), _) => &it.reference,
            (None, Some(it)) => &it.reference,
            (None, None) => continue,
        };
        let entity: [Value; 2] = [key.0.0.into(), reference.as_str().into()];
        if before.is_some() {
            personal.push(entity.clone());
        }
        match &outcome.derived {
            Some(derived) => {
                rows.push(entity_row(*key, derived));
                for it in &derived.subjects {
                    subjects.push([key.0.0.into(), reference.as_str().into(), it.0.into()]);
                }
            }
            None => gone.push(entity),
        }
        if stage == Stage::Filled {
            let before = before.and_then(|it| it.document.as_deref());
            let before = before.map(indexed).transpose()?.unwrap_or_default();
            let after = outcome.derived.as_ref().map(|it| index(&it.document)).unwrap_or_default();
            differences.add(key.0, reference, &before, &after);
        }
    }
    gone.delete(connection, "entities", ["tenant", "reference"]).await?;
    personal.delete(connection, "subjects", ["tenant", "reference"]).await?;
    subjects.insert(connection, "INSERT INTO subjects (tenant, reference, subject)", "").await?;
    rows.insert(connection, INSERT_ENTITY, UPDATE_ENTITY).await?;
    differences.write(connection).await
}

/// What follows from a document as it is stored.
pub(super) fn indexed(document: &str) -> Result<Indexed, StoreError> {
    let read = serde_json::from_str(document).map_err(StoreError::document)?;
    Ok(index(&read))
}

const INSERT_ENTITY: &str = "INSERT INTO entities (tenant, reference, id, uid, kind_key, kind,
    namespace, name, title, description, spec_type, lifecycle, tags, location, etag, revision,
    sequence, position, registered_at, changed_at, changed_by, document)";

const UPDATE_ENTITY: &str = "ON CONFLICT (tenant, reference) DO UPDATE SET id = excluded.id,
    uid = excluded.uid, kind_key = excluded.kind_key, kind = excluded.kind,
    namespace = excluded.namespace, name = excluded.name, title = excluded.title,
    description = excluded.description, spec_type = excluded.spec_type,
    lifecycle = excluded.lifecycle, tags = excluded.tags, location = excluded.location,
    etag = excluded.etag, revision = excluded.revision, sequence = excluded.sequence,
    position = excluded.position, registered_at = excluded.registered_at,
    changed_at = excluded.changed_at, changed_by = excluded.changed_by,
    document = excluded.document";

fn entity_row((tenant, id): Key, derived: &Derived) -> [Value; 22] {
    let (document, said) = (&derived.document, &derived.registration.said);
    let text = |parent: Option<&Json>, name: &str| -> Option<String> {
        parent?.get(name)?.as_str().map(str::to_owned)
    };
    let (metadata, spec) = (document.get("metadata"), document.get("spec"));
    let kind = text(Some(document), "kind").unwrap_or_default();
    let tags = metadata.and_then(|it| it.get("tags")).filter(|it| it.is_array());
    [
        tenant.0.into(),
        derived.reference.as_str().into(),
        id.0.into(),
        derived.registration.uid.0.into(),
        kind.to_lowercase().into(),
        kind.into(),
        text(metadata, "namespace").unwrap_or_default().into(),
        text(metadata, "name").unwrap_or_default().into(),
        text(metadata, "title").into(),
        text(metadata, "description").into(),
        text(spec, "type").into(),
        text(spec, "lifecycle").into(),
        tags.map_or_else(|| "[]".to_owned(), Json::to_string).into(),
        derived.location.map(|it| it.0).into(),
        derived.etag.as_str().into(),
        said.revision.into(),
        said.sequence.into(),
        said.position.0.into(),
        derived.registration.at.timestamp_micros().into(),
        said.at.timestamp_micros().into(),
        said.by.0.into(),
        document.to_string().into(),
    ]
}

/// What has to go from and what has to come into the tables that are searched.
#[derive(Default)]
pub(super) struct Differences {
    search_gone: Rows<5>,
    search: Rows<7>,
    words_gone: Rows<3>,
    words: Rows<4>,
    relations_gone: Rows<5>,
    relations: Rows<6>,
}

impl Differences {
    pub(super) fn add(
        &mut self,
        tenant: TenantId,
        reference: &str,
        before: &Indexed,
        after: &Indexed,
    ) {
        let reference = &Arc::<str>::from(reference);
        self.add_search(tenant, reference, &before.search, &after.search);
        for (word, weight) in &before.words {
            if after.words.get(word) != Some(weight) {
                let (word, reference) = (word.as_str().into(), reference.clone().into());
                self.words_gone.push([tenant.0.into(), word, reference]);
            }
        }
        for (word, weight) in &after.words {
            if before.words.get(word) != Some(weight) {
                let (word, weight) = (word.as_str().into(), (*weight).into());
                self.words.push([tenant.0.into(), word, reference.clone().into(), weight]);
            }
        }
        for it in before.relations.difference(&after.relations) {
            self.relations_gone.push(relation_key(tenant, reference, it));
        }
        for it in after.relations.difference(&before.relations) {
            let [tenant, source, kind_key, target, stated_by] = relation_key(tenant, reference, it);
            self.relations.push([tenant, source, kind_key, target, stated_by, it.1.into()]);
        }
    }

    fn add_search(
        &mut self,
        tenant: TenantId,
        reference: &Arc<str>,
        before: &[SearchRow],
        after: &[SearchRow],
    ) {
        let mut come = |(row, leads): &(&SearchRow, bool)| {
            let [tenant, key, known, value, reference] = search_key(tenant, reference, row);
            let leads = i64::from(*leads).into();
            let original = row.original.clone().into();
            self.search.push([tenant, key, known, value, reference, leads, original]);
        };
        let new = leading(after);
        if before.is_empty() {
            // Most of what a batch touches is new where much is.
            new.iter().for_each(come);
            return;
        }
        let old: BTreeSet<_> = leading(before).into_iter().collect();
        let new: BTreeSet<_> = new.into_iter().collect();
        for (row, _) in old.difference(&new) {
            self.search_gone.push(search_key(tenant, reference, row));
        }
        new.difference(&old).for_each(&mut come);
    }

    pub(super) async fn write(self, connection: &mut Connection) -> Result<(), StoreError> {
        self.search_gone
            .delete(connection, "search", ["tenant", "key", "known", "value", "reference"])
            .await?;
        let insert = "INSERT INTO search (tenant, key, known, value, reference, leads, original)";
        self.search.insert(connection, insert, "").await?;
        self.words_gone.delete(connection, "words", ["tenant", "word", "reference"]).await?;
        let insert = "INSERT INTO words (tenant, word, reference, weight)";
        self.words.insert(connection, insert, "").await?;
        self.relations_gone
            .delete(
                connection,
                "relations",
                ["tenant", "source", "kind_key", "target", "stated_by"],
            )
            .await?;
        let insert = "INSERT INTO relations (tenant, source, kind_key, target, stated_by, kind)";
        self.relations.insert(connection, insert, "").await
    }
}

/// The rows with whether each has the smallest value of its key. They come sorted; of two
/// spellings of one value the first stands for both.
fn leading(rows: &[SearchRow]) -> Vec<(&SearchRow, bool)> {
    let mut marked = Vec::with_capacity(rows.len());
    let mut last: Option<&SearchRow> = None;
    for row in rows {
        let same_key = last.filter(|it| it.key == row.key);
        if same_key.is_some_and(|it| it.value == row.value) {
            continue;
        }
        let leads = row.value.is_some() && same_key.is_none_or(|it| it.value.is_none());
        marked.push((row, leads));
        last = Some(row);
    }
    marked
}

fn search_key(tenant: TenantId, reference: &Arc<str>, row: &SearchRow) -> [Value; 5] {
    [
        tenant.0.into(),
        row.key.as_str().into(),
        i64::from(row.value.is_some()).into(),
        row.value.as_deref().unwrap_or_default().into(),
        reference.clone().into(),
    ]
}

fn relation_key(
    tenant: TenantId,
    reference: &Arc<str>,
    (source, kind, target): &(String, &'static str, String),
) -> [Value; 5] {
    let kind_key = kind.to_lowercase();
    [
        tenant.0.into(),
        source.as_str().into(),
        kind_key.into(),
        target.as_str().into(),
        reference.clone().into(),
    ]
}
