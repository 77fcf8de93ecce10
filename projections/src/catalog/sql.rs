//! Filters and scopes as SQL: one compiler for both, so that neither can forget the other.
//!
//! Every subquery names the tenant. Uncorrelated `IN` subqueries let the database choose
//! whether to begin with the few that match or with the order that is asked for.

use domain::id::TenantId;
use domain::principal::Predicate;
use domain::{Permission, Principal, Scope};

use super::filter::Filter;
use crate::error::ReadError;
use crate::scope::Scoped;
use crate::store::Sql;

/// Comes after every character a text can go on with.
const AFTER_ALL: char = char::MAX;

/// What a principal may see of the catalog.
#[derive(Clone, Debug)]
pub(super) struct Visible {
    pub tenant: TenantId,
    /// What must hold of an entity beside belonging to the tenant.
    condition: Filter,
}

impl Visible {
    /// None if it may see nothing.
    pub(super) fn to(principal: &Principal) -> Result<Option<Self>, ReadError> {
        Self::within(principal, Permission::EntityRead)
    }

    pub(super) fn within(
        principal: &Principal,
        permission: Permission,
    ) -> Result<Option<Self>, ReadError> {
        let condition = match principal.authorize(permission)? {
            Scope::None => return Ok(None),
            Scope::All => Filter::everything(),
            Scope::Where(predicate) => filter_of(&predicate),
        };
        Ok(Some(Self { tenant: principal.tenant(), condition }))
    }

    #[cfg(test)]
    pub(super) fn scoped(tenant: TenantId, scope: Scope) -> Option<Self> {
        let condition = match scope {
            Scope::None => return None,
            Scope::All => Filter::everything(),
            Scope::Where(predicate) => filter_of(&predicate),
        };
        Some(Self { tenant, condition })
    }

    /// `sql`, which answers what this shows, with whose it is.
    pub(super) fn scoping(&self, sql: Sql) -> Scoped {
        Scoped { tenant: self.tenant, of: self.tenant, sql }
    }

    /// Whether nothing of the tenant is hidden.
    pub(super) fn is_everything(&self) -> bool {
        self.condition == Filter::everything()
    }

    /// Writes the condition that a row of `entities`, called `alias`, may be seen.
    pub(super) fn write(&self, sql: &mut Sql, alias: &str) {
        sql.push(alias).push(".tenant = ").bind(self.tenant.0);
        if !self.is_everything() {
            sql.push(" AND ");
            write(sql, Told { tenant: self.tenant, by: By::Itself }, alias, &self.condition);
        }
    }

    /// The same with a filter.
    pub(super) fn write_with(&self, sql: &mut Sql, alias: &str, filter: &Filter) {
        self.write(sql, alias);
        if *filter != Filter::everything() {
            sql.push(" AND ");
            write(sql, Told { tenant: self.tenant, by: By::Visible(self) }, alias, filter);
        }
    }

    /// Writes, after other conditions, that a row of `relations`, called `alias`, is stated by what may
    /// be seen: what is hidden is not found at the far end of what is not.
    pub(super) fn write_stated(&self, sql: &mut Sql, alias: &str) {
        if !self.is_everything() {
            sql.push(" AND ")
                .push(alias)
                .push(".stated_by IN (SELECT v.reference FROM entities v WHERE ");
            self.write(sql, "v");
            sql.push(")");
        }
    }
}

/// Whose relations count, and who says so.
#[derive(Clone, Copy)]
struct Told<'v> {
    tenant: TenantId,
    by: By<'v>,
}

/// Who says that a relation is there.
#[derive(Clone, Copy)]
enum By<'v> {
    /// The entity whose relation it is.
    Itself,
    /// Any that may be seen.
    Visible(&'v Visible),
}

/// A predicate of a scope, as a filter.
fn filter_of(predicate: &Predicate) -> Filter {
    match predicate {
        Predicate::Kind(kind) => Filter::In { key: "kind".to_owned(), values: vec![kind.clone()] },
        Predicate::OwnedBy(owner) => {
            let targets = Some(vec![owner.clone()]);
            Filter::Related { kind: "ownedBy".to_owned(), targets }
        }
        Predicate::Label { key, value } => keyed("metadata.labels.", key, value.as_ref()),
        Predicate::Annotation { key, value } => keyed("metadata.annotations.", key, value.as_ref()),
        Predicate::Tag(tag) => {
            Filter::In { key: "metadata.tags".to_owned(), values: vec![tag.clone()] }
        }
        Predicate::All(parts) => Filter::All(parts.iter().map(filter_of).collect()),
        Predicate::Any(parts) => Filter::Any(parts.iter().map(filter_of).collect()),
    }
}

/// That a key of an object in the flattened document is there, with this value if there is one.
fn keyed(object: &str, key: &str, value: Option<&String>) -> Filter {
    let key = format!("{object}{key}");
    match value {
        None => Filter::Exists(key),
        Some(value) => Filter::In { key, values: vec![value.clone()] },
    }
}

/// What a key of the flattened document that begins so says: a relation.
const RELATIONS: &str = "relations.";

/// The type in a key that stands for a relation.
pub(super) fn relation_of(key: &str) -> Option<&str> {
    key.strip_prefix(RELATIONS)
}

fn write(sql: &mut Sql, told: Told<'_>, alias: &str, filter: &Filter) {
    match filter {
        Filter::All(parts) => join(sql, told, alias, parts, " AND ", "1 = 1"),
        Filter::Any(parts) => join(sql, told, alias, parts, " OR ", "1 = 0"),
        Filter::Not(part) => {
            sql.push("NOT (");
            write(sql, told, alias, part);
            sql.push(")");
        }
        Filter::Exists(key) => match relation_of(&key.to_lowercase()) {
            Some(kind) => related(sql, told, alias, kind, None),
            None => {
                having(sql, told, alias, key).push(")");
            }
        },
        Filter::In { key, values } if values.is_empty() => {
            let _ = key;
            sql.push("1 = 0");
        }
        Filter::In { key, values } => one_of(sql, told, alias, &key.to_lowercase(), values),
        Filter::Prefix { key, prefix } => {
            let prefix = prefix.to_lowercase();
            let end = format!("{prefix}{AFTER_ALL}");
            let found = having(sql, told, alias, key).push(" AND known = 1 AND value >= ");
            found.bind(prefix).push(" AND value < ").bind(end).push(")");
        }
        Filter::Related { kind, targets } => {
            related(sql, told, alias, &kind.to_lowercase(), targets.as_deref());
        }
    }
}

fn join(
    sql: &mut Sql,
    told: Told<'_>,
    alias: &str,
    parts: &[Filter],
    operator: &str,
    of_none: &str,
) {
    if parts.is_empty() {
        sql.push(of_none);
        return;
    }
    for (index, part) in parts.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { operator });
        write(sql, told, alias, part);
    }
    sql.push(")");
}

fn one_of(sql: &mut Sql, told: Told<'_>, alias: &str, key: &str, values: &[String]) {
    if let Some(kind) = relation_of(key) {
        return related(sql, told, alias, kind, Some(values));
    }
    let values = values.iter().map(|it| it.to_lowercase());
    if key == "kind" {
        // Most filters ask for it, so it is a column with an index of its own.
        sql.push(alias).push(".kind_key IN ").bind_list(values);
        return;
    }
    let found = having(sql, told, alias, key).push(" AND known = 1 AND value IN ");
    found.bind_list(values).push(")");
}

/// Begins the condition that the entity is among the rows of `search` with a key.
fn having<'s>(sql: &'s mut Sql, told: Told<'_>, alias: &str, key: &str) -> &'s mut Sql {
    sql.push(alias).push(".reference IN (SELECT reference FROM search WHERE tenant = ");
    sql.bind(told.tenant.0).push(" AND key = ").bind(key.to_lowercase())
}

fn related(sql: &mut Sql, told: Told<'_>, alias: &str, kind: &str, targets: Option<&[String]>) {
    sql.push(alias).push(".reference IN (SELECT r.source FROM relations r WHERE r.tenant = ");
    sql.bind(told.tenant.0).push(" AND r.kind_key = ").bind(kind);
    match told.by {
        By::Itself => {
            sql.push(" AND r.stated_by = r.source");
        }
        By::Visible(visible) => visible.write_stated(sql, "r"),
    }
    if let Some(targets) = targets {
        if targets.is_empty() {
            sql.push(" AND 1 = 0)");
            return;
        }
        sql.push(" AND r.target IN ").bind_list(targets.iter().map(|it| it.to_lowercase()));
    }
    sql.push(")");
}
