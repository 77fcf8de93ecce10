//! Relay connections: arguments to a window of a list, a page to a connection.

use std::sync::Arc;

use async_graphql::connection::{Connection, CursorType, Edge, EmptyFields};
use async_graphql::{ObjectType, OutputType, Scalar, ScalarType, Value};
use projections::page::{Page, Take, Window};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::RequestContext;
use crate::error::ApiError;
use crate::opaque;

/// How many rows a page has if nothing is said.
pub const PAGE_DEFAULT: u32 = 20;

/// The most rows one page of the API may have: 100.
pub const PAGE_MAX: u32 = 100;

/// The four arguments of a connection.
#[derive(Clone, Debug, Default)]
pub struct PageArguments {
    /// This many from the beginning.
    pub first: Option<u32>,
    /// After this cursor.
    pub after: Option<String>,
    /// This many from the end.
    pub last: Option<u32>,
    /// Before this cursor.
    pub before: Option<String>,
}

impl PageArguments {
    /// How many rows are asked for.
    ///
    /// # Errors
    ///
    /// If both ends are named, or more than [`PAGE_MAX`] rows.
    pub fn take(&self) -> Result<Take, ApiError> {
        let take = match (self.first, self.last) {
            (Some(_), Some(_)) => {
                return Err(ApiError::argument("expected `first` or `last`, got both"));
            }
            (None, Some(count)) => Take::Last(count),
            (first, None) => Take::First(first.unwrap_or(PAGE_DEFAULT)),
        };
        let (Take::First(count) | Take::Last(count)) = take;
        if count > PAGE_MAX {
            let message = format!("expected a page of at most {PAGE_MAX} rows, got {count}");
            return Err(ApiError::argument(message));
        }
        Ok(take)
    }

    /// The window of the list that `purpose` names; its cursors open no other list.
    ///
    /// # Errors
    ///
    /// If the size is out of range or a cursor is not of this list.
    pub fn window<C: DeserializeOwned>(
        &self,
        request: &RequestContext,
        purpose: &str,
    ) -> Result<Window<C>, ApiError> {
        let open = |token: &Option<String>| match token {
            Some(token) => {
                let tenant = request.principal().tenant();
                opaque::open(request.keyring(), tenant, purpose, token).map(Some)
            }
            None => Ok(None),
        };
        Ok(Window { after: open(&self.after)?, before: open(&self.before)?, take: self.take()? })
    }
}

/// A row's place in its list, sealed only if it is asked for: few readers of a page ask.
#[derive(Clone, Debug)]
pub struct Cursor {
    request: RequestContext,
    purpose: Arc<str>,
    place: Vec<u8>,
}

impl CursorType for Cursor {
    type Error = &'static str;

    fn decode_cursor(_: &str) -> Result<Self, Self::Error> {
        Err("a cursor is opened by the list it belongs to, see `PageArguments::window`")
    }

    fn encode_cursor(&self) -> String {
        let tenant = self.request.principal().tenant();
        self.request.keyring().bind(&self.purpose, tenant, &self.place)
    }
}

/// A page as a connection, its cursors for the list that `purpose` names.
pub fn connection<C, N, T, F>(
    request: &RequestContext,
    purpose: &str,
    page: Page<N, C>,
    totals: F,
    map: impl Fn(N) -> T,
) -> Connection<Cursor, T, F>
where
    C: Serialize,
    T: OutputType,
    F: ObjectType,
{
    let mut connection =
        Connection::with_additional_fields(page.has_previous, page.has_next, totals);
    let purpose: Arc<str> = purpose.into();
    connection.edges.extend(page.edges.into_iter().map(|edge| {
        let place = opaque::plain(&edge.cursor);
        let cursor = Cursor { request: request.clone(), purpose: purpose.clone(), place };
        Edge::<_, _, EmptyFields>::new(cursor, map(edge.node))
    }));
    connection
}

/// A whole number of up to 64 bits: sequences, revisions, counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Long(pub u64);

#[Scalar]
impl ScalarType for Long {
    fn parse(value: Value) -> async_graphql::InputValueResult<Self> {
        Self::read(&value).ok_or_else(|| async_graphql::InputValueError::expected_type(value))
    }

    fn is_valid(value: &Value) -> bool {
        Self::read(value).is_some()
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

impl Long {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_u64().map(Self),
            Value::String(text) => text.parse().ok().map(Self),
            _ => None,
        }
    }
}
