//! Which types of events somebody follows. Every event of the tenant is compared with all of them,
//! for every follower, so there may only be so many.

use domain::audit::TYPES_MAX;
use domain::event::{self, TYPE_PREFIX};

use super::StreamEvent;

/// The longest type. In bytes: 128, twice as long as any there is.
const TYPE_BYTES_MAX: usize = 128;

/// Types of events, each whole or the beginning of one up to a dot; all types if there are none.
#[derive(Clone, Debug, Default)]
pub struct Types(Vec<String>);

/// Why types cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypesError {
    /// There are more than `TYPES_MAX`.
    #[error("expected at most {TYPES_MAX} `types`, got {0}")]
    TooMany(usize),
    /// One is longer than `TYPE_BYTES_MAX`.
    #[error("expected `types` of at most {TYPE_BYTES_MAX} bytes each, got one of {0}")]
    TooLong(usize),
    /// One that no event has: nobody would ever hear of anything.
    #[error("expected `types` like `entity.updated.v1` or `entity`, got `{0}`, which no event has")]
    Unknown(String),
}

impl Types {
    /// These, if that is not too much. The prefix that all types have may be left out.
    ///
    /// # Errors
    ///
    /// [`TypesError`] says what is too much.
    pub fn new(types: &[String]) -> Result<Self, TypesError> {
        if types.len() > TYPES_MAX {
            return Err(TypesError::TooMany(types.len()));
        }
        match types.iter().map(String::len).max() {
            Some(longest) if longest > TYPE_BYTES_MAX => return Err(TypesError::TooLong(longest)),
            _ => {}
        }
        types.iter().map(|it| begun(it)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `event` is of one of them.
    #[must_use]
    pub fn include(&self, event: &StreamEvent) -> bool {
        self.name(event.name())
    }

    /// Whether events that are called so are of one of them.
    pub(super) fn name(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|it| begins_with(name, it))
    }

    /// Them, without the prefix that all types have; none if all are meant.
    pub(super) fn names(&self) -> &[String] {
        &self.0
    }
}

/// `text` without the prefix that all types have, if events can begin with it.
///
/// # Errors
///
/// [`TypesError::Unknown`] if none can.
pub(crate) fn begun(text: &str) -> Result<String, TypesError> {
    let name = text.strip_prefix(TYPE_PREFIX).unwrap_or(text);
    if event::types().any(|it| begins_with(it, name)) {
        Ok(name.to_owned())
    } else {
        Err(TypesError::Unknown(text.chars().take(TYPE_BYTES_MAX).collect()))
    }
}

/// Whether a type is `beginning`, or goes on with a dot after it.
fn begins_with(name: &str, beginning: &str) -> bool {
    name.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_types_of_such_a_length_can_be_followed() {
        let types =
            |count, length: usize| Types::new(&vec![format!("{:t<length$}", "usage"); count]);
        assert!(types(0, 0).is_ok());
        assert!(types(TYPES_MAX, 5).is_ok());
        let refused = types(TYPES_MAX + 1, 1).unwrap_err();
        assert_eq!(refused, TypesError::TooMany(TYPES_MAX + 1));
        assert_eq!(refused.to_string(), "expected at most 100 `types`, got 101");
        let refused = types(1, TYPE_BYTES_MAX + 1).unwrap_err();
        assert_eq!(refused, TypesError::TooLong(TYPE_BYTES_MAX + 1));
    }

    #[test]
    fn the_common_prefix_may_be_left_out() {
        for text in ["callboard.entity", "entity"] {
            assert_eq!(begun(text).unwrap(), "entity");
        }
    }

    #[test]
    fn what_no_event_begins_with_cannot_be_followed() {
        let types = |text: &str| Types::new(&[text.to_owned()]);
        for text in
            ["entity", "callboard.entity", "entity.updated.v1", "callboard.usage.recorded.v1"]
        {
            assert!(types(text).is_ok(), "{text}");
        }
        for text in [
            "",
            ".",
            "entity.",
            "entity..v1",
            "callboard",
            "callboard.",
            "enti",
            "entities.x",
            "entity.nope",
            "entity.updated.v9",
            "entity.updated.v1.x",
        ] {
            assert_eq!(types(text).unwrap_err(), TypesError::Unknown(text.to_owned()));
        }
    }
}
