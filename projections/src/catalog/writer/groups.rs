//! Which of the touched entities are derived together: as many as have room for what they say.

use std::collections::{BTreeMap, HashMap};

use super::load::Existing;
use super::{Key, State, Touched};
use crate::engine::checkpoint::Stage;
use crate::large;

/// How much large content is held at a time, before and after, unless one entity has more. In
/// bytes: 32 MiB. Each of them is held in a few forms at once.
pub(crate) const BYTES_MAX: usize = 32 * 1024 * 1024;

/// The touched entities in groups whose large contents together fit into memory.
pub(super) fn of<'a>(
    touched: BTreeMap<Key, Touched<'a>>,
    existing: &HashMap<Key, Existing>,
    stage: Stage,
) -> Vec<BTreeMap<Key, Touched<'a>>> {
    let mut groups = Vec::new();
    let (mut group, mut held) = (BTreeMap::new(), 0_usize);
    for (key, it) in touched {
        let bytes = bytes(&it, existing.get(&key), stage);
        if held.saturating_add(bytes) > BYTES_MAX && !group.is_empty() {
            groups.push(std::mem::take(&mut group));
            held = 0;
        }
        held = held.saturating_add(bytes);
        group.insert(key, it);
    }
    groups.push(group);
    groups
}

/// The most that documents held at a time had in this process. In bytes.
#[cfg(test)]
pub(crate) static HELD_MAX: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[cfg(test)]
pub(super) fn note_held(before: &HashMap<Key, Existing>) {
    let held = before.values().filter_map(|it| it.document.as_ref()).map(String::len).sum();
    HELD_MAX.fetch_max(held, std::sync::atomic::Ordering::Relaxed);
}

/// What is loaded to derive an entity, beside what its batch holds anyway.
fn bytes(touched: &Touched<'_>, existing: Option<&Existing>, stage: Stage) -> usize {
    let shown = existing.map_or(0, |it| it.document_bytes);
    let before = if stage == Stage::Filled { shown } else { 0 };
    let after = match &touched.state {
        State::Put { descriptor, .. } => large::bytes(&descriptor.large),
        // It will say as much as it says.
        State::Follows { .. } => shown,
        State::Gone => 0,
    };
    before.saturating_add(after)
}
