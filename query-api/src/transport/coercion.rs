//! Whether what was given fits the types of the schema, found out before anything is executed.
//!
//! async-graphql 7.2.1 looks at an argument only if each variable in it has a value, lets any text
//! pass for most scalars and anything at all for an input object. What it lets pass fails in a
//! resolver, when the mutations before it have taken effect. By the specification (sections 5.6.1
//! and 6.1.2) the request fails, and nothing of it is executed.
//!
//! What the schema does not have (types, fields, arguments) is passed over: the library names it.

mod place;
mod scalars;

use std::collections::HashMap;
use std::convert::Infallible;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::registry::{MetaInputValue, MetaType, MetaTypeName, Registry};
use async_graphql::{Name, Pos, ServerError, Value, Variables};

use self::place::Place;
use crate::limits::VALIDATION_FAILED;

/// How much of a wrong value is repeated. In characters: 64.
const REPEATED_MAX: usize = 64;

/// Each variable of the operation of this name, and each argument that it or a fragment gives,
/// whose value does not fit.
pub(super) fn mistakes(
    registry: &Registry,
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    variables: &Variables,
) -> Vec<ServerError> {
    let is_meant = |name: Option<&Name>| {
        operation_name.is_none_or(|meant| name.is_some_and(|it| it.as_str() == meant))
    };
    let mut operations = document.operations.iter().filter(|(name, _)| is_meant(*name));
    let Some((_, operation)) = operations.next() else { return Vec::new() };
    let operation = &operation.node;
    let mut coercion =
        Coercion { registry, variables: given(operation, variables), mistakes: Vec::new() };
    coercion.variables(operation, variables);
    let root = match operation.ty {
        OperationType::Query => Some(&registry.query_type),
        OperationType::Mutation => registry.mutation_type.as_ref(),
        OperationType::Subscription => registry.subscription_type.as_ref(),
    };
    if let Some(root) = root {
        coercion.selections(&operation.selection_set.node, root);
    }
    for fragment in document.fragments.values() {
        let on = &fragment.node.type_condition.node.on.node;
        coercion.selections(&fragment.node.selection_set.node, on);
    }
    coercion.mistakes
}

/// Whether a variable has a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variable {
    Absent,
    Null,
    There,
}

fn given<'a>(operation: &'a OperationDefinition, given: &Variables) -> HashMap<&'a str, Variable> {
    let definitions = operation.variable_definitions.iter().map(|it| &it.node);
    let state = |name, default| match given.get(name).or(default) {
        None => Variable::Absent,
        Some(Value::Null) => Variable::Null,
        Some(_) => Variable::There,
    };
    definitions
        .map(|it| {
            let default = it.default_value.as_ref().map(|it| &it.node);
            (it.name.node.as_str(), state(&it.name.node, default))
        })
        .collect()
}

struct Coercion<'a> {
    registry: &'a Registry,
    variables: HashMap<&'a str, Variable>,
    mistakes: Vec<ServerError>,
}

/// What does not fit: where it is, what belongs there, and what is there.
struct Mistake {
    place: String,
    expected: String,
    got: String,
}

impl Mistake {
    fn new(place: &Place<'_>, expected: impl Into<String>, got: &str) -> Self {
        let got = got.chars().take(REPEATED_MAX).collect();
        Self { place: place.to_string(), expected: expected.into(), got }
    }

    fn at(self, position: Pos) -> ServerError {
        let Self { place, expected, got } = self;
        let message = format!("expected {expected} for `{place}`, got `{got}`");
        let mut error = ServerError::new(message, Some(position));
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", VALIDATION_FAILED);
        extensions.set("input", place);
        extensions.set("expected", expected);
        error
    }
}

impl Coercion<'_> {
    fn variables(&mut self, operation: &OperationDefinition, given: &Variables) {
        for definition in &operation.variable_definitions {
            let (variable, position) = (&definition.node, definition.pos);
            let kind = variable.var_type.node.to_string();
            let place = Place::Variable(&variable.name.node);
            let default = variable.default_value.as_ref().map(|it| &it.node);
            for value in given.get(&variable.name.node).into_iter().chain(default) {
                self.check(&kind, value, &place, position);
            }
        }
    }

    fn selections(&mut self, set: &SelectionSet, on: &str) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => self.field(&field.node, on),
                Selection::InlineFragment(inline) => {
                    let condition = inline.node.type_condition.as_ref();
                    let on = condition.map_or(on, |it| it.node.on.node.as_str());
                    self.selections(&inline.node.selection_set.node, on);
                }
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    fn field(&mut self, field: &Field, on: &str) {
        let of = self.registry.types.get(on);
        let Some(known) = of.and_then(|it| it.field_by_name(&field.name.node)) else { return };
        for (name, value) in &field.arguments {
            if let Some(argument) = known.args.get(name.node.as_str()) {
                let place = Place::Argument(&name.node);
                let marked =
                    value.node.clone().into_const_with(|it| Ok::<_, Infallible>(mark(&it)));
                let Ok(marked) = marked;
                self.check(&argument.ty, &marked, &place, value.pos);
            }
        }
        self.selections(&field.selection_set.node, MetaTypeName::concrete_typename(&known.ty));
    }

    fn check(&mut self, kind: &str, value: &Value, place: &Place<'_>, position: Pos) {
        if let Err(mistake) = self.fits(kind, value, place) {
            self.mistakes.push(mistake.at(position));
        }
    }

    /// Whether `value` is of the type that the schema calls `kind`; the first mistake if not.
    fn fits(&self, kind: &str, value: &Value, place: &Place<'_>) -> Result<(), Mistake> {
        let variable = marked(value);
        let of_variable = variable.and_then(|it| self.variables.get(it));
        let is_null = *value == Value::Null || of_variable == Some(&Variable::Null);
        match (MetaTypeName::create(kind), value) {
            (MetaTypeName::NonNull(kind), _) if is_null => {
                Err(Mistake::new(place, self.expected(kind), "null"))
            }
            (MetaTypeName::NonNull(kind), _) => self.fits(kind, value, place),
            // The variable's own type is looked at, and the library says whether it may be here.
            _ if is_null || variable.is_some() => Ok(()),
            (MetaTypeName::List(kind), Value::List(items)) => {
                let mut items = items.iter().enumerate();
                items.try_for_each(|(index, it)| self.fits(kind, it, &Place::Item(place, index)))
            }
            (MetaTypeName::List(kind), _) => self.fits(kind, value, place),
            (MetaTypeName::Named(kind), _) => self.named(kind, value, place),
        }
    }

    fn named(&self, kind: &str, value: &Value, place: &Place<'_>) -> Result<(), Mistake> {
        let fits = match (self.registry.types.get(kind), value) {
            (Some(MetaType::InputObject { input_fields, oneof, .. }), Value::Object(given)) => {
                if *oneof {
                    self.one_of(given, place)?;
                }
                return self.object(kind, input_fields, given, place);
            }
            (Some(MetaType::InputObject { .. }), _) => false,
            (Some(MetaType::Enum { enum_values, .. }), Value::Enum(name)) => {
                enum_values.contains_key(name.as_str())
            }
            (Some(MetaType::Enum { enum_values, .. }), Value::String(name)) => {
                enum_values.contains_key(name)
            }
            (Some(MetaType::Enum { .. }), _) => false,
            (Some(MetaType::Scalar { is_valid: Some(is_valid), .. }), _) => {
                scalars::is(kind, value, &**is_valid)
            }
            // A scalar that takes anything.
            _ => true,
        };
        if fits { Ok(()) } else { Err(Mistake::new(place, self.expected(kind), &shown(value))) }
    }

    fn object(
        &self,
        kind: &str,
        fields: &IndexMap<String, MetaInputValue>,
        given: &IndexMap<Name, Value>,
        place: &Place<'_>,
    ) -> Result<(), Mistake> {
        for (name, value) in given {
            let Some(field) = fields.get(name.as_str()) else {
                return Err(Mistake::new(place, format!("fields of `{kind}`"), name.as_str()));
            };
            self.fits(&field.ty, value, &Place::Field(place, name))?;
        }
        let is_missing = |it: &&MetaInputValue| {
            let required = it.ty.ends_with('!') && it.default_value.is_none();
            required && !given.contains_key(it.name.as_str())
        };
        match fields.values().find(is_missing) {
            Some(field) => {
                let place = Place::Field(place, &field.name);
                Err(Mistake::new(&place, self.expected(&field.ty), "nothing"))
            }
            None => Ok(()),
        }
    }

    /// Of some objects exactly one field is given.
    fn one_of(&self, given: &IndexMap<Name, Value>, place: &Place<'_>) -> Result<(), Mistake> {
        let is_there = |it: &Value| match marked(it) {
            Some(name) => self.variables.get(name).is_none_or(|it| *it == Variable::There),
            None => *it != Value::Null,
        };
        if given.len() == 1 && given.values().all(is_there) {
            return Ok(());
        }
        let names: Vec<&str> = given.keys().map(Name::as_str).collect();
        let got = if names.is_empty() { "none".to_owned() } else { names.join("`, `") };
        Err(Mistake::new(place, "exactly one field, with a value,", &got))
    }

    /// What the schema's type `kind` is, in words.
    fn expected(&self, kind: &str) -> String {
        let name = MetaTypeName::concrete_typename(kind);
        match scalars::expected(name) {
            Some(words) => format!("{words} (`{kind}`)"),
            None => format!("`{kind}`"),
        }
    }
}

/// Stands for a variable in a value of the document. No name of an enumeration begins like it.
fn mark(variable: &Name) -> Value {
    Value::Enum(Name::new(format!("${variable}")))
}

/// The variable that `value` stands for.
fn marked(value: &Value) -> Option<&str> {
    match value {
        Value::Enum(name) => name.as_str().strip_prefix('$'),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::List(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        leaf => leaf.to_string(),
    }
}
