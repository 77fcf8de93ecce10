//! What the values of scalars are, where the library asks less than its own resolvers take.

use async_graphql::{InputType, Value};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

/// A scalar by its name, what its values are in words, and whether a value is one.
type Scalar = (&'static str, &'static str, fn(&Value) -> bool);

/// An `Int` is never negative: nothing that can be asked for has a use for it, and the numbers
/// behind the arguments are unsigned.
const SCALARS: [Scalar; 4] = [
    ("Int", "a whole number from 0 to 2147483647", is_int),
    ("DateTime", "an instant like `2026-11-30T12:00:00Z`", reads::<DateTime<Utc>>),
    ("NaiveDate", "a day like `2026-11-30`", reads::<NaiveDate>),
    ("UUID", "an identity like `0193789e-1c2b-7def-8a90-1234567890ab`", reads::<Uuid>),
];

/// Whether `value` is of the scalar `name`, of which the library asks `is_valid`.
pub(super) fn is(name: &str, value: &Value, is_valid: &dyn Fn(&Value) -> bool) -> bool {
    match find(name) {
        Some((_, _, is)) => is(value),
        None => is_valid(value),
    }
}

/// What the values of the scalar `name` are, if its name does not say.
pub(super) fn expected(name: &str) -> Option<&'static str> {
    find(name).map(|(_, words, _)| *words)
}

fn find(name: &str) -> Option<&'static Scalar> {
    SCALARS.iter().find(|(known, _, _)| *known == name)
}

fn is_int(value: &Value) -> bool {
    let Value::Number(number) = value else { return false };
    number.as_u64().is_some_and(|it| i32::try_from(it).is_ok())
}

/// Whether a resolver could read it.
fn reads<T: InputType>(value: &Value) -> bool {
    T::parse(Some(value.clone())).is_ok()
}
