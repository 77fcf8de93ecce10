//! The cost of a parsed document with all fragments expanded.
//!
//! Each fragment is costed once and the result reused, so a chain of fragments that double each
//! other is refused in linear time: expanding it is what it wants us to do.

use std::collections::HashMap;

use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};

use super::{Limits, Refused};

pub(super) fn check(document: &ExecutableDocument, limits: &Limits) -> Result<(), Refused> {
    let mut costs = Costs { document, limits, known: HashMap::new() };
    for name in document.fragments.keys() {
        costs.fragment(name)?;
    }
    for (_, operation) in document.operations.iter() {
        let cost = costs.operation(&operation.node)?;
        cost.check(limits)?;
        if operation.node.ty == OperationType::Subscription {
            // A rule of the specification (section 5.2.4.1) that the library does not check.
            Refused::unless_within("root_fields", cost.fields, 1)?;
        }
    }
    Ok(())
}

/// What a set of selections asks for. Sums saturate: beyond any limit it does not matter how far.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    depth: usize,
    selections: usize,
    aliases: usize,
    directives: usize,
    /// Fields at this level, not below it.
    fields: usize,
}

impl Cost {
    fn check(self, limits: &Limits) -> Result<(), Refused> {
        Refused::unless_within("depth", self.depth, limits.depth_max)?;
        Refused::unless_within("selections", self.selections, limits.selections_max)?;
        Refused::unless_within("root_fields", self.fields, limits.root_fields_max)?;
        Refused::unless_within("aliases", self.aliases, limits.aliases_max)?;
        Refused::unless_within("directives", self.directives, limits.directives_max)
    }

    /// Adds what stands beside this.
    fn add(&mut self, other: Self) {
        self.depth = self.depth.max(other.depth);
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.fields = self.fields.saturating_add(other.fields);
    }
}

/// How far the costing of a fragment has come.
enum Known {
    /// It is being costed: meeting it again means that it spreads itself.
    Begun,
    Done(Cost),
}

struct Costs<'document> {
    document: &'document ExecutableDocument,
    limits: &'document Limits,
    known: HashMap<&'document str, Known>,
}

impl<'document> Costs<'document> {
    fn operation(&mut self, operation: &'document OperationDefinition) -> Result<Cost, Refused> {
        let mut cost = self.selection_set(&operation.selection_set.node)?;
        let of_variables =
            operation.variable_definitions.iter().map(|it| it.node.directives.len()).sum();
        cost.directives =
            cost.directives.saturating_add(operation.directives.len()).saturating_add(of_variables);
        Ok(cost)
    }

    /// The cost of a fragment, none if it does not exist: validation will say so.
    fn fragment(&mut self, name: &'document str) -> Result<Cost, Refused> {
        match self.known.get(name) {
            Some(Known::Done(cost)) => return Ok(*cost),
            Some(Known::Begun) => return Err(Refused::FragmentCycle(name.to_owned())),
            None => {}
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Cost::default());
        };
        self.known.insert(name, Known::Begun);
        let mut cost = self.selection_set(&fragment.node.selection_set.node)?;
        cost.directives = cost.directives.saturating_add(fragment.node.directives.len());
        self.known.insert(name, Known::Done(cost));
        Ok(cost)
    }

    fn selection_set(&mut self, set: &'document SelectionSet) -> Result<Cost, Refused> {
        let mut total = Cost::default();
        for item in &set.items {
            let mut cost = self.selection(&item.node)?;
            cost.selections = cost.selections.saturating_add(1);
            cost.directives = cost.directives.saturating_add(item.node.directives().len());
            total.add(cost);
        }
        Ok(total)
    }

    fn selection(&mut self, selection: &'document Selection) -> Result<Cost, Refused> {
        match selection {
            Selection::Field(field) => {
                let name = field.node.name.node.as_str();
                if !self.limits.introspection && matches!(name, "__schema" | "__type") {
                    return Err(Refused::Introspection);
                }
                let mut cost = self.selection_set(&field.node.selection_set.node)?;
                cost.depth += 1;
                cost.fields = 1;
                cost.aliases = cost.aliases.saturating_add(usize::from(field.node.alias.is_some()));
                Ok(cost)
            }
            Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node),
            Selection::InlineFragment(inline) => {
                self.selection_set(&inline.node.selection_set.node)
            }
        }
    }
}
