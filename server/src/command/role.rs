//! `callboard role`.

use std::path::Path;

use anyhow::Result;
use domain::id::TenantId;
use domain::principal::PREDICATE_DEPTH_MAX;
use serde_json::{Value, json};

use super::client::Api;
use crate::cli::{Role, RolePermits};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Defines, changes, lists or retires roles.
///
/// # Errors
///
/// If the server does not answer or refuses, or a file cannot be read.
pub(crate) async fn run(config: &Config, format: Format, command: &Role) -> Result<()> {
    let api = Api::open(config).await?;
    match command {
        Role::Define(role) => put(&api, format, role, "defineRole", "defined").await,
        Role::Change(role) => put(&api, format, role, "changeRole", "changed").await,
        Role::List { tenant } => list(&api, format, api.tenant(&tenant.tenant).await?).await,
        Role::Retire { tenant, name } => {
            let tenant = api.tenant(&tenant.tenant).await?;
            let query = "mutation($role: String!) {
                answer: retireRole(role: $role) { userErrors { message } }
            }";
            api.change(tenant, query, json!({"role": name})).await?;
            done(format, name, "retired")
        }
    }
}

async fn put(
    api: &Api,
    format: Format,
    role: &RolePermits,
    mutation: &str,
    what: &str,
) -> Result<()> {
    let RolePermits { tenant, name, permissions, file } = role;
    let given = permissions.iter().map(|it| json!({"permission": it}));
    let mut permits: Vec<Value> = given.collect();
    if let Some(file) = file {
        permits.extend(read(file)?);
    }
    let tenant = api.tenant(&tenant.tenant).await?;
    let query = format!(
        "mutation($role: String!, $permits: [PermitInput!]!) {{
            answer: {mutation}(role: $role, permits: $permits) {{ userErrors {{ message }} }}
        }}"
    );
    api.change(tenant, &query, json!({"role": name, "permits": permits})).await?;
    done(format, name, what)
}

fn done(format: Format, name: &str, what: &str) -> Result<()> {
    let answer = json!({"role": name, "done": what});
    output::result(format, &answer, |_| format!("{what} {name}"))
}

/// What a file of JSON permits. What a door makes of it is for the door to say.
fn read(file: &Path) -> Result<Vec<Value>> {
    let failed = |it: &dyn std::fmt::Display| {
        Failure::Usage(format!("`{}` holds no permissions: {it}", file.display()))
    };
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|it| failed(&it))?;
    Ok(serde_json::from_str(&text).map_err(|it| failed(&it))?)
}

async fn list(api: &Api, format: Format, tenant: TenantId) -> Result<()> {
    let fields = format!(
        "name isBuiltIn isRetired permits {{ permission when {{ {} }} }}",
        condition_fields(PREDICATE_DEPTH_MAX)
    );
    let query = format!("{{ answer: builtInRoles {{ {fields} }} }}");
    let mut found: Value = api.graphql(tenant, &query, Value::Null).await?;
    let Value::Array(mut roles) = found["answer"].take() else { return Ok(()) };
    let query = format!(
        "query($after: String) {{
            page: roles(first: 100, after: $after) {{
                nodes {{ {fields} }} pageInfo {{ hasNextPage endCursor }}
            }}
        }}"
    );
    roles.extend(api.all::<Value>(tenant, &query, json!({})).await?);
    roles.iter_mut().for_each(tidy);
    output::result(format, &roles, |roles| {
        let rows: Vec<_> = roles.iter().map(row).collect();
        output::table(["role", "from", "permits"], &rows)
    })
}

/// The fields of a condition that is so deep at most.
fn condition_fields(depth: usize) -> String {
    let plain = "kind ownedBy tag label { key value } annotation { key value }";
    if depth <= 1 {
        return plain.to_owned();
    }
    let below = condition_fields(depth - 1);
    format!("{plain} all {{ {below} }} any {{ {below} }}")
}

/// Leaves out what is empty, so that what is listed can be given to `--file`.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, it| !it.is_null());
            fields.values_mut().for_each(tidy);
        }
        Value::Array(parts) => parts.iter_mut().for_each(tidy),
        _ => (),
    }
}

fn row(role: &Value) -> [String; 3] {
    let from = match (&role["isBuiltIn"], &role["isRetired"]) {
        (Value::Bool(true), _) => "every tenant",
        (_, Value::Bool(true)) => "this one, retired",
        _ => "this one",
    };
    let permits = role["permits"].as_array().into_iter().flatten().map(|it| {
        let permission = it["permission"].as_str().unwrap_or_default();
        match &it["when"] {
            Value::Null => permission.to_owned(),
            when => format!("{permission} when {when}"),
        }
    });
    let permits: Vec<_> = permits.collect();
    let name = role["name"].as_str().unwrap_or_default().to_owned();
    [name, from.to_owned(), permits.join(", ")]
}
