//! What the rows of keys say about names: the same on every database.

use std::collections::HashMap;

use uuid::Uuid;

use crate::port::{KeyName, Slot, Wrapped};

/// The rows that were found, by the parts of their names. A destroyed key has no bytes.
pub(crate) type Rows = HashMap<(Uuid, String, Uuid), Option<Vec<u8>>>;

/// The names whose rows say everything about `names`, each once, sorted.
pub(crate) fn asked(names: &[KeyName]) -> Vec<KeyName> {
    let mut asked: Vec<_> =
        names.iter().flat_map(|it| [Some(*it), it.parent()]).flatten().collect();
    asked.sort_unstable();
    asked.dedup();
    asked
}

/// The slots of `names`, in order, with what follows from their parents.
pub(crate) fn of(names: &[KeyName], rows: &Rows) -> Vec<Option<Slot>> {
    let slot = |name: KeyName| {
        let (tenant, purpose, id) = name.parts();
        let wrapped = rows.get(&(tenant, purpose.to_owned(), id))?;
        Some(wrapped.clone().map_or(Slot::Destroyed, |it| Slot::Held(Wrapped(it))))
    };
    let resolve = |name: &KeyName| match name.parent().and_then(slot) {
        Some(Slot::Destroyed) => Some(Slot::Destroyed),
        Some(Slot::Held(_)) | None => slot(*name),
    };
    names.iter().map(resolve).collect()
}
