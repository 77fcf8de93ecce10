//! Takes what does not fit an event out of a descriptor, and puts it back.
//!
//! The members of the document are taken, the largest first, until the rest fits: of an API with
//! a long definition that is `spec`, and a change of its `metadata` later refers to the same
//! content again. What is personal was taken out before and is never among it.

use serde_json::{Map, Value};

/// The key of the object that stands for a large part in what an event holds.
pub const PLACEHOLDER: &str = "$large";

/// What a large part takes in its event: its placeholder and its name. In bytes: 160.
pub(super) const NAME_BYTES_MAX: usize = 160;

/// Takes the largest members of `document` out, each in JSON, until it has at most `room` bytes
/// or nothing is left to take.
pub(super) fn take(document: &mut Value, room: usize) -> Vec<String> {
    let mut bytes = document.to_string().len();
    let mut taken = Vec::new();
    let Some(root) = document.as_object_mut().filter(|_| bytes > room) else { return taken };
    let mut members: Vec<_> = root.values_mut().map(|it| (it.to_string(), it)).collect();
    members.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    for (text, member) in members {
        if bytes <= room || text.len() <= NAME_BYTES_MAX {
            break;
        }
        let placeholder = Map::from_iter([(PLACEHOLDER.to_owned(), taken.len().into())]);
        *member = Value::Object(placeholder);
        bytes = bytes.saturating_sub(text.len()) + NAME_BYTES_MAX;
        taken.push(text);
    }
    taken
}

/// The part that a placeholder stands for, if it is one: none within where it cannot be had.
pub(super) fn part(member: &Value, parts: &[Option<String>]) -> Option<Option<Value>> {
    let index = member.get(PLACEHOLDER)?.as_u64().and_then(|it| usize::try_from(it).ok());
    let text = index.and_then(|it| parts.get(it)).and_then(Option::as_deref);
    Some(text.and_then(|it| serde_json::from_str(it).ok()))
}
