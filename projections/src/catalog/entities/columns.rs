//! Which columns of an entity are read. A list that names few of them costs much less: every
//! value of every row is copied twice on its way from the database.

use uuid::Uuid;

use super::Entity;
use crate::store::{Row, Sql, StoreError};
use domain::id::{ActorId, EntityId, EntityUid, LocationId};
use event_log::Position;

/// A column of an entity, each named as the field of [`Entity`] that it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub enum Column {
    Id,
    Uid,
    Reference,
    Kind,
    Namespace,
    Name,
    Title,
    Description,
    SpecType,
    Lifecycle,
    Tags,
    Location,
    Etag,
    Revision,
    Sequence,
    Position,
    RegisteredAt,
    ChangedAt,
    ChangedBy,
    Document,
}

/// Every column with its name, from `entities` called `e`, in the order of [`Column`].
const NAMES: [(Column, &str); 20] = [
    (Column::Id, "e.id"),
    (Column::Uid, "e.uid"),
    (Column::Reference, "e.reference"),
    (Column::Kind, "e.kind"),
    (Column::Namespace, "e.namespace"),
    (Column::Name, "e.name"),
    (Column::Title, "e.title"),
    (Column::Description, "e.description"),
    (Column::SpecType, "e.spec_type"),
    (Column::Lifecycle, "e.lifecycle"),
    (Column::Tags, "e.tags"),
    (Column::Location, "e.location"),
    (Column::Etag, "e.etag"),
    (Column::Revision, "e.revision"),
    (Column::Sequence, "e.sequence"),
    (Column::Position, "e.position"),
    (Column::RegisteredAt, "e.registered_at"),
    (Column::ChangedAt, "e.changed_at"),
    (Column::ChangedBy, "e.changed_by"),
    (Column::Document, "e.document"),
];

/// A set of columns; the reference is always among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Columns(u32);

impl Columns {
    /// All there are.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// These, and the reference.
    pub fn of(columns: impl IntoIterator<Item = Column>) -> Self {
        columns.into_iter().fold(Self(1 << Column::Reference as u32), Self::with)
    }

    /// These and `column`.
    #[must_use]
    pub fn with(self, column: Column) -> Self {
        Self(self.0 | 1 << column as u32)
    }

    /// How many there are.
    pub(super) fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Writes them with commas in between.
    pub(super) fn write(self, sql: &mut Sql) {
        let mut first = true;
        for (_, name) in NAMES.iter().filter(|(column, _)| self.place(*column).is_some()) {
            sql.push(if first { "" } else { ", " }).push(name);
            first = false;
        }
    }

    /// Where `column` is in a row, if it is there.
    fn place(self, column: Column) -> Option<usize> {
        let bit = 1 << column as u32;
        (self.0 & bit != 0).then(|| (self.0 & (bit - 1)).count_ones() as usize)
    }

    /// The entity in a row that begins with these columns. What is not among them is empty.
    pub(super) fn read(self, row: &Row) -> Result<Entity, StoreError> {
        let id = |column| self.place(column).map_or(Ok(Uuid::nil()), |it| row.uuid(it));
        let text = |column| self.place(column).map_or(Ok(String::new()), |it| row.text(it));
        let optional = |column| self.place(column).map_or(Ok(None), |it| row.optional_text(it));
        let count = |column| self.place(column).map_or(Ok(0), |it| row.count(it));
        let time =
            |column| self.place(column).map_or_else(|| Ok(Default::default()), |it| row.time(it));
        let tags = self.place(Column::Tags);
        let location = self.place(Column::Location);
        Ok(Entity {
            id: EntityId(id(Column::Id)?),
            uid: EntityUid(id(Column::Uid)?),
            reference: text(Column::Reference)?,
            kind: text(Column::Kind)?,
            namespace: text(Column::Namespace)?,
            name: text(Column::Name)?,
            title: optional(Column::Title)?,
            description: optional(Column::Description)?,
            spec_type: optional(Column::SpecType)?,
            lifecycle: optional(Column::Lifecycle)?,
            tags: tags.map_or(Ok(Vec::new()), |it| row.json(it))?,
            location: location.map_or(Ok(None), |it| row.optional_uuid(it))?.map(LocationId),
            etag: text(Column::Etag)?,
            revision: count(Column::Revision)?,
            sequence: count(Column::Sequence)?,
            position: Position(count(Column::Position)?),
            registered_at: time(Column::RegisteredAt)?,
            changed_at: time(Column::ChangedAt)?,
            changed_by: ActorId(id(Column::ChangedBy)?),
            text: text(Column::Document)?,
        })
    }
}
