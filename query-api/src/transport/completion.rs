//! Makes results what the GraphQL specification says they are.
//!
//! async-graphql 7.2.1 leaves a field out whose resolver failed, whatever its type, and writes fields
//! in the order in which they were resolved. By the specification (sections 6.4.4 and 7.2.2) a failed
//! field is `null`; where its type does not allow that, what holds it is `null` instead, up to the
//! whole of `data`; and fields come in the order in which they were asked for.

mod order;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::registry::MetaTypeName;
use async_graphql::{QueryPathNode, QueryPathSegment, Response, ServerError, ServerResult, Value};

pub(super) use self::order::Orders;

/// The completion of one request, or of one event after another of a subscription.
#[derive(Default)]
pub(super) struct Completion {
    /// Whether there is anything in `failures`. Most requests get by with looking at this.
    failed: AtomicBool,
    failures: Mutex<Failures>,
    orders: Mutex<Arc<Orders>>,
}

/// What went wrong so far.
#[derive(Default)]
struct Failures {
    errors: Vec<ServerError>,
    /// Paths of what holds a null that it may not be able to hold.
    broken: HashSet<String>,
}

impl Completion {
    /// Learns in which order the document asks for fields.
    pub(super) fn begin(&self, orders: Arc<Orders>) {
        *self.orders() = orders;
    }

    /// What comes of resolving the place at `path`, whose type the schema calls `kind`.
    pub(super) fn complete(
        &self,
        path: &QueryPathNode<'_>,
        kind: &str,
        resolved: ServerResult<Option<Value>>,
    ) -> Option<Value> {
        let value = match resolved {
            Ok(value) if self.is_broken(path) => value,
            Ok(value) => return value,
            Err(error) => {
                self.failures().errors.push(error);
                self.failed.store(true, Ordering::SeqCst);
                None
            }
        };
        Some(match path.segment {
            QueryPathSegment::Name(_) => self.mend_field(path, kind, value),
            QueryPathSegment::Index(_) => self.mend_item(path, value),
        })
    }

    /// Completes a response, and is ready for the next.
    pub(super) fn finish(&self, operation_name: Option<&str>, response: &mut Response) {
        if self.failed.swap(false, Ordering::SeqCst) {
            let failures = std::mem::take(&mut *self.failures());
            response.errors.extend(failures.errors);
            if failures.broken.contains("") {
                response.data = Value::Null;
            }
        }
        self.orders().arrange(operation_name, &mut response.data);
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orders(&self) -> MutexGuard<'_, Arc<Orders>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that what holds this place must be looked at again.
    fn break_parent(&self, path: &QueryPathNode<'_>) {
        self.failed.store(true, Ordering::SeqCst);
        let parent = path.parent.map(ToString::to_string).unwrap_or_default();
        self.failures().broken.insert(parent);
    }

    /// What becomes of a field in which something failed.
    fn mend_field(&self, path: &QueryPathNode<'_>, kind: &str, value: Option<Value>) -> Value {
        let value = value.map_or(Value::Null, |value| mend(value, MetaTypeName::create(kind)));
        if value == Value::Null && kind.ends_with('!') {
            self.break_parent(path);
        }
        value
    }

    /// What becomes of an item of a list in which something failed.
    ///
    /// The library does not know whether an item may be null; the field that the list is in does.
    fn mend_item(&self, path: &QueryPathNode<'_>, value: Option<Value>) -> Value {
        self.break_parent(path);
        value.filter(is_list).unwrap_or_default()
    }

    fn is_broken(&self, path: &QueryPathNode<'_>) -> bool {
        self.failed.load(Ordering::SeqCst) && self.failures().broken.contains(&path.to_string())
    }
}

/// What is left of a value in which something failed, given its type: of a list what its items allow,
/// of everything else nothing.
fn mend(value: Value, kind: MetaTypeName<'_>) -> Value {
    match (value, kind.unwrap_non_null()) {
        (Value::List(items), MetaTypeName::List(item)) => {
            let of_items = MetaTypeName::create(item);
            let mended = |it| if is_list(&it) { mend(it, of_items) } else { it };
            let items: Vec<Value> = items.into_iter().map(mended).collect();
            let broken = of_items.is_non_null() && items.contains(&Value::Null);
            if broken { Value::Null } else { Value::List(items) }
        }
        _ => Value::Null,
    }
}

fn is_list(value: &Value) -> bool {
    matches!(value, Value::List(_))
}

#[cfg(test)]
mod tests;
