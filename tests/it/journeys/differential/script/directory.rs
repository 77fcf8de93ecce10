//! The directory of tenants, which operators change, and what tenants say of themselves.

use serde_json::{Value, json};

use super::{Ask, Script, billing, reading};

const SLUGS: [&str; 5] = ["night-shift", "matinee", "x", "admin", "prompter"];

const HOSTS: [&str; 4] = ["a.example.org", "b.example.org", "B.example.org", "not a host"];

pub(super) fn rename(script: &mut Script, _: usize) -> Ask {
    let name = match script.below(10) {
        0 => String::new(),
        number => format!("Ensemble {number}"),
    };
    let call = "renameTenant(name: $name, options: $options)";
    script.mutation(call, "", "$name: String!", json!({"name": name}))
}

pub(super) fn configure(script: &mut Script, _: usize) -> Ask {
    let input = json!({
        "timeZone": script.pick_of(&["Europe/Berlin", "UTC", "Nowhere"]),
        "currency": script.pick_of(&["EUR", "USD", "gold"]),
        "kinds": script.pick_of(&["CORE", "EXTENDED"]),
    });
    let call = "configureTenant(input: $input, options: $options)";
    script.mutation(call, "", "$input: ConfigureTenantInput!", json!({"input": input}))
}

/// Which it is is read from the tenant: the answer to a repetition may not say so any more.
pub(super) fn add_provider(script: &mut Script, _: usize) -> Ask {
    let input = json!({
        "name": "A box office",
        "issuer": script.pick_of(&["https://a.example.org", "https://b.example.org/x", "nowhere"]),
        "clientId": script.pick_of(&["stage", "foyer"]),
        "clientSecret": script.pick_of(&[Value::Null, json!("behind the curtain")]),
        "scopes": ["profile"],
    });
    let call = "addProvider(input: $input, options: $options)";
    script.mutation(call, "", "$input: AddProviderInput!", json!({"input": input}))
}

pub(super) fn remove_provider(script: &mut Script, tenant: usize) -> Ask {
    let variables = json!({"id": script.id(tenant, "idp")});
    let call = "removeProvider(providerId: $id, options: $options)";
    script.mutation(call, "", "$id: String!", variables)
}

/// What is only for operators, from somebody who is none.
pub(super) fn only_for_operators(script: &mut Script, tenant: usize) -> Ask {
    let other = script.tenants[tenant].id.clone();
    match script.below(3) {
        0 => suspend(script, &other),
        1 => register(script),
        _ => reading::tenants(script),
    }
}

pub(super) fn close() -> Ask {
    let query = "mutation { done: closeTenant { outcome { commandId position sequence at \
                 remembered events { id stream revision type } } userErrors { code message path } } }";
    Ask::GraphQl { query: query.to_owned(), variables: json!({}) }
}

/// What operators do.
pub(super) fn operate(script: &mut Script) -> Ask {
    let tenant = script.below(script.tenants.len());
    let id = if script.one_in(20) {
        "ten_01980000000070008000000000000009".to_owned()
    } else {
        script.tenants[tenant].id.clone()
    };
    match script.below(18) {
        0 => register(script),
        1 => {
            let slug = script.pick_of(&SLUGS);
            let call = "changeSlug(tenantId: $tenantId, slug: $slug, options: $options)";
            let variables = json!({"tenantId": id, "slug": slug});
            script.mutation(call, "", "$tenantId: String!, $slug: String!", variables)
        }
        2 | 12 => host(script, "addHost", &id),
        3 | 4 | 13 => host(script, "removeHost", &id),
        // The first two are never suspended, so that something always goes on.
        5 if tenant > 1 => suspend(script, &id),
        5..=8 => {
            let call = "reactivateTenant(tenantId: $tenantId, options: $options)";
            script.mutation(call, "", "$tenantId: String!", json!({"tenantId": id}))
        }
        9 => billing::publish(script, &Value::Null),
        10 => {
            let known = script.operator.ids.get("pln").cloned().unwrap_or_default();
            let plan =
                if known.is_empty() { "nonsense".to_owned() } else { script.pick_of(&known) };
            if script.one_in(3) {
                billing::retire(script, &plan)
            } else {
                billing::publish(script, &plan.into())
            }
        }
        11 => reading::trail(script),
        _ => reading::tenants(script),
    }
}

fn register(script: &mut Script) -> Ask {
    let slug = match script.below(3) {
        0 => script.pick_of(&SLUGS).to_owned(),
        _ => format!("troupe-{}", script.fresh()),
    };
    let variables = json!({"input": {"slug": slug, "name": "A troupe"}});
    let call = "registerTenant(input: $input, options: $options)";
    script.mutation(call, "tenantId", "$input: RegisterTenantInput!", variables)
}

fn host(script: &mut Script, what: &str, id: &str) -> Ask {
    let variables = json!({"tenantId": id, "host": script.pick_of(&HOSTS)});
    let call = format!("{what}(tenantId: $tenantId, host: $host, options: $options)");
    script.mutation(&call, "", "$tenantId: String!, $host: String!", variables)
}

fn suspend(script: &mut Script, id: &str) -> Ask {
    let reason = script.pick_of(&["NON_PAYMENT", "ABUSE", "REQUESTED"]);
    let variables = json!({"tenantId": id, "reason": reason});
    let call = "suspendTenant(tenantId: $tenantId, reason: $reason, options: $options)";
    let types = "$tenantId: String!, $reason: SuspensionReasonCode!";
    script.mutation(call, "", types, variables)
}
