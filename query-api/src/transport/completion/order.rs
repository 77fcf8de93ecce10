//! The order in which a document asks for fields.

use std::collections::HashMap;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Name, Value};

/// The order of each operation of a document, by name.
#[derive(Default)]
pub(in crate::transport) struct Orders(HashMap<Option<Name>, Order>);

/// Fields by the name they have in the result, in the order they are asked for, with what is asked
/// of each. Selections of every type are in it: a result only has some of them.
#[derive(Default)]
struct Order(IndexMap<Name, Order>);

impl Orders {
    /// The orders of a document that is within its limits; fragments are expanded.
    pub(in crate::transport) fn of(document: &ExecutableDocument) -> Self {
        let order = |set: &SelectionSet| {
            let mut order = Order::default();
            order.add(document, set);
            order
        };
        let operations = document.operations.iter();
        Self(
            operations
                .map(|(name, it)| (name.cloned(), order(&it.node.selection_set.node)))
                .collect(),
        )
    }

    /// How many fields it knows of, each as often as fragments repeat it.
    pub(in crate::transport) fn len(&self) -> usize {
        self.0.values().map(Order::len).sum()
    }

    /// Puts the fields of a result in order.
    pub(super) fn arrange(&self, operation_name: Option<&str>, data: &mut Value) {
        if let Some(order) = self.0.get(&operation_name.map(Name::new)) {
            order.arrange(data);
        }
    }
}

impl Order {
    fn add(&mut self, document: &ExecutableDocument, set: &SelectionSet) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.clone();
                    let below = self.0.entry(key).or_default();
                    below.add(document, &field.node.selection_set.node);
                }
                Selection::InlineFragment(inline) => {
                    self.add(document, &inline.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(it) = document.fragments.get(&spread.node.fragment_name.node) {
                        self.add(document, &it.node.selection_set.node);
                    }
                }
            }
        }
    }

    fn len(&self) -> usize {
        self.0.values().map(|it| 1 + it.len()).sum()
    }

    fn arrange(&self, value: &mut Value) {
        match value {
            // Asked for without fields: a scalar that happens to be an object.
            _ if self.0.is_empty() => {}
            Value::List(items) => items.iter_mut().for_each(|it| self.arrange(it)),
            Value::Object(fields) => {
                let (mut last, mut sorted) = (None, true);
                for (name, value) in fields.iter_mut() {
                    let Some((position, _, order)) = self.0.get_full(name) else { continue };
                    order.arrange(value);
                    sorted &= last < Some(position);
                    last = Some(position);
                }
                if !sorted {
                    fields.sort_by_cached_key(|name, _| self.0.get_index_of(name));
                }
            }
            _ => {}
        }
    }
}
