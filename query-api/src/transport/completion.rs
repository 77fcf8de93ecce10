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

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery, NextResolve,
    ResolveInfo,
};
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::registry::MetaTypeName;
use async_graphql::{
    QueryPathNode, QueryPathSegment, Response, ServerError, ServerResult, Value, Variables,
};

use self::order::Orders;

/// Completes results. Part of every schema that is [prepared](super::prepare).
pub(super) struct Completion;

impl ExtensionFactory for Completion {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Completing::default())
    }
}

/// The completion of one request, or of one event after another of a subscription.
#[derive(Default)]
struct Completing {
    /// Whether there is anything in `failures`. Most requests get by with looking at this.
    failed: AtomicBool,
    failures: Mutex<Failures>,
    orders: Mutex<Orders>,
}

/// What went wrong so far.
#[derive(Default)]
struct Failures {
    errors: Vec<ServerError>,
    /// Paths of what holds a null that it may not be able to hold.
    broken: HashSet<String>,
}

impl Completing {
    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
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

#[async_trait::async_trait]
impl Extension for Completing {
    async fn parse_query(
        &self,
        context: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        let document = next.run(context, query, variables).await?;
        *self.orders() = Orders::of(&document);
        Ok(document)
    }

    async fn resolve(
        &self,
        context: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let (path, kind) = (info.path_node, info.return_type);
        let value = match next.run(context, info).await {
            Ok(value) if self.is_broken(path) => value,
            Ok(value) => return Ok(value),
            Err(error) => {
                self.failures().errors.push(error);
                self.failed.store(true, Ordering::SeqCst);
                None
            }
        };
        Ok(Some(match path.segment {
            QueryPathSegment::Name(_) => self.mend_field(path, kind, value),
            QueryPathSegment::Index(_) => self.mend_item(path, value),
        }))
    }

    async fn execute(
        &self,
        context: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let mut response = next.run(context, operation_name).await;
        if self.failed.swap(false, Ordering::SeqCst) {
            let failures = std::mem::take(&mut *self.failures());
            response.errors.extend(failures.errors);
            if failures.broken.contains("") {
                response.data = Value::Null;
            }
        }
        self.orders().arrange(operation_name, &mut response.data);
        response
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
