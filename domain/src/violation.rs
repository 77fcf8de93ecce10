//! What is wrong with the shape of something asked: where, and how to mend it.
//!
//! Shape is what can be judged from the request alone (lengths, counts, order). Rules that need
//! state are rejections of an aggregate instead.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that is wrong with what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Where, as a path into the request: `terms.items[3].key`.
    pub field: String,
    /// What is wrong, with the value and the fix.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl Violation {
    /// The same violation, seen from what contains the field: `within("terms")`.
    #[must_use]
    pub fn within(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), message: self.message }
    }
}

/// Joins the violations for a message.
#[must_use]
pub fn summary(violations: &[Violation]) -> String {
    violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("; ")
}

/// Collects violations while a value is looked at.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<Violation>);

impl Violations {
    /// Notes that `field` is wrong.
    pub(crate) fn note(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Violation { field: field.into(), message: message.into() });
    }

    /// Asks for a text of 1 to `length_max` characters without control characters.
    pub(crate) fn text(&mut self, field: impl Into<String>, text: &str, length_max: usize) {
        let length = text.chars().count();
        if length == 0 || length > length_max {
            self.note(field, format!("expected 1 to {length_max} characters, got {length}"));
        } else if text.contains(|it: char| it.is_control()) {
            self.note(field, "expected a text without control characters");
        } else if text.trim() != text {
            self.note(field, "expected a text without spaces around it");
        }
    }

    /// Asks for something to do.
    pub(crate) fn at_least_one(&mut self, field: impl Into<String>, count: usize) {
        if count == 0 {
            self.note(field, "expected at least one, got none");
        }
    }

    /// Asks for at most `count_max` of something.
    pub(crate) fn at_most(&mut self, field: impl Into<String>, count: usize, count_max: usize) {
        if count > count_max {
            self.note(field, format!("expected at most {count_max}, got {count}"));
        }
    }

    /// Asks for an amount that is not negative.
    pub(crate) fn not_negative<A>(&mut self, field: impl Into<String>, amount: &A)
    where
        A: Default + PartialOrd + fmt::Display,
    {
        if *amount < A::default() {
            self.note(field, format!("expected 0 or more, got {amount}"));
        }
    }

    /// Takes in the violations of a part.
    pub(crate) fn part(&mut self, field: &str, violations: Vec<Violation>) {
        self.0.extend(violations.into_iter().map(|it| it.within(field)));
    }

    /// Everything noted, in order.
    pub(crate) fn into_vec(self) -> Vec<Violation> {
        self.0
    }
}

#[cfg(test)]
mod tests;
