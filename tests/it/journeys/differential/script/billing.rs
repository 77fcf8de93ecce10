//! Customers, plans and subscriptions.

use serde_json::{Value, json};

use super::{Ask, Script};

/// Meters that prices and quotas name.
pub(super) const METERS: [&str; 4] = ["calls", "rides", "peak", "people"];

const ZONES: [&str; 6] =
    ["Europe/Berlin", "Asia/Tokyo", "UTC", "America/New_York", "Pacific/Apia", "Mars/Olympus"];

const CURRENCIES: [&str; 8] = ["EUR", "EUR", "EUR", "EUR", "EUR", "EUR", "USD", "euro"];

pub(super) fn open_customer(script: &mut Script, _: usize) -> Ask {
    let role = script.pick_of(&["CUSTOMER", "CUSTOMER", "COST_CENTRE", "ITSELF"]);
    let mut input = json!({"role": role, "name": name(script)});
    if script.one_in(2) {
        input["contact"] = script.pick_of(&["bills@example.org", "nobody"]).into();
    }
    if script.one_in(2) {
        input["currency"] = script.pick_of(&CURRENCIES).into();
        input["timeZone"] = script.pick_of(&ZONES).into();
    }
    let call = "openCustomer(input: $input, options: $options)";
    script.mutation(call, "created", "$input: OpenCustomerInput!", json!({"input": input}))
}

fn name(script: &mut Script) -> String {
    match script.below(12) {
        0 => String::new(),
        number => format!("Kunde Ñ {number}"),
    }
}

pub(super) fn change_customer(script: &mut Script, tenant: usize) -> Ask {
    let input = json!({"customerId": script.id(tenant, "cus"), "name": name(script)});
    let call = "changeCustomer(input: $input, options: $options)";
    script.mutation(call, "", "$input: ChangeCustomerInput!", json!({"input": input}))
}

pub(super) fn close_customer(script: &mut Script, tenant: usize) -> Ask {
    let variables = json!({"customerId": script.id(tenant, "cus")});
    let call = "closeCustomer(customerId: $customerId, options: $options)";
    script.mutation(call, "", "$customerId: String!", variables)
}

pub(super) fn publish_plan(script: &mut Script, tenant: usize) -> Ask {
    let plan = if script.one_in(2) { Value::Null } else { script.id(tenant, "pln").into() };
    publish(script, &plan)
}

pub(super) fn publish(script: &mut Script, plan: &Value) -> Ask {
    let variables = json!({"planId": plan, "terms": terms(script)});
    let call = "publishPlanVersion(planId: $planId, terms: $terms, options: $options)";
    script.mutation(call, "created", "$planId: String, $terms: TermsInput!", variables)
}

/// A plan that allows few entities.
pub(super) fn publish_limited(script: &mut Script) -> Ask {
    let mut ask = publish(script, &Value::Null);
    if let Ask::GraphQl { variables, .. } = &mut ask {
        variables["terms"] = json!({
            "name": "Small", "currency": "EUR", "interval": {"unit": "MONTH", "count": 1},
            "items": [{"key": "base", "description": "Base", "price": {"flat": {"unit": "5"}}}],
            "quotas": [{"limit": "6", "enforcement": "HARD"}],
        });
    }
    ask
}

fn terms(script: &mut Script) -> Value {
    let meter = script.pick_of(&METERS);
    let (unit, amount) =
        (script.pick_of(&["0.5", "1.25", "0.001", "0.5", "2", "-1"]), script.below(90));
    let price = match script.below(5) {
        0 => json!({"flat": {"unit": amount.to_string()}}),
        1 => json!({"perUnit": {"meter": meter, "unit": unit}}),
        2 => json!({"graduated": {"meter": meter, "tiers": [
            {"upTo": "100", "unit": unit}, {"unit": "0.1", "flat": "2"}]}}),
        3 => json!({"volume": {"meter": meter, "tiers": [
            {"upTo": amount.to_string(), "unit": "2"}, {"unit": "0.1"}]}}),
        _ => json!({"package": {"meter": meter, "size": "10", "unit": unit}}),
    };
    let mut terms = json!({
        "name": format!("Plan {}", script.below(6)), "currency": script.pick_of(&CURRENCIES),
        "interval": {"unit": script.pick_of(&["MONTH", "MONTH", "MONTH", "MONTH", "MONTH", "YEAR"]), "count": 1},
        "items": [{"key": "base", "description": "Base", "price": price}],
    });
    if script.one_in(2) {
        // Of entities, if no meter is named.
        let meter = if script.one_in(2) { Value::Null } else { "rides".into() };
        let enforcement = script.pick_of(&["HARD", "HARD", "SOFT"]);
        let limit = (4 + script.below(8)).to_string();
        terms["quotas"] = json!([{"meter": meter, "limit": limit, "enforcement": enforcement}]);
    }
    if script.one_in(4) {
        terms["trialDays"] = (1 + script.below(30)).into();
    }
    if script.one_in(15) {
        terms["interval"]["count"] = 0.into();
    }
    terms
}

pub(super) fn retire_plan(script: &mut Script, tenant: usize) -> Ask {
    let plan = script.id(tenant, "pln");
    retire(script, &plan)
}

pub(super) fn retire(script: &mut Script, plan: &str) -> Ask {
    let call = "retirePlan(planId: $planId, options: $options)";
    script.mutation(call, "", "$planId: String!", json!({"planId": plan}))
}

pub(super) fn start_subscription(script: &mut Script, tenant: usize) -> Ask {
    if script.lacks(tenant, "pln") {
        return publish(script, &Value::Null);
    }
    if script.lacks(tenant, "cus") {
        return open_customer(script, tenant);
    }
    let variables = json!({
        "customerId": script.id(tenant, "cus"), "planId": script.id(tenant, "pln"),
        "version": version(script),
    });
    start(script, variables)
}

fn start(script: &mut Script, variables: Value) -> Ask {
    let call = "startSubscription(customerId: $customerId, planId: $planId, version: $version, \
                options: $options)";
    let types = "$customerId: String!, $planId: String!, $version: Int";
    script.mutation(call, "created", types, variables)
}

/// The tenant buys the operator's first plan as it was first, which is what its own quotas come
/// from. Any other it has beside it may lift them.
pub(super) fn buy(script: &mut Script, tenant: usize) -> Ask {
    let plans = script.operator.ids.get("pln").cloned().unwrap_or_default();
    let (Some(plan), false) = (plans.first(), script.lacks(tenant, "itself")) else {
        let query = "{ customers(first: 100) { nodes { customerId role name } } }";
        return Ask::GraphQl { query: query.to_owned(), variables: json!({}) };
    };
    let itself = &script.tenants[tenant].ids["itself"][0];
    let variables = json!({"customerId": itself, "planId": plan, "version": 1});
    start(script, variables)
}

fn version(script: &mut Script) -> Value {
    if script.one_in(3) { script.below(4).into() } else { Value::Null }
}

pub(super) fn change_plan(script: &mut Script, tenant: usize) -> Ask {
    if script.lacks(tenant, "sub") {
        return start_subscription(script, tenant);
    }
    let variables = json!({
        "subscriptionId": script.id(tenant, "sub"), "planId": script.id(tenant, "pln"),
        "version": version(script),
    });
    let call = "changePlan(subscriptionId: $subscriptionId, planId: $planId, version: $version, \
                options: $options)";
    let types = "$subscriptionId: String!, $planId: String!, $version: Int";
    script.mutation(call, "", types, variables)
}

pub(super) fn cancel(script: &mut Script, tenant: usize) -> Ask {
    if script.lacks(tenant, "sub") {
        return start_subscription(script, tenant);
    }
    let when = script.pick_of(&["NOW", "PERIOD_END", "PERIOD_END"]);
    let variables = json!({"subscriptionId": script.id(tenant, "sub"), "when": when});
    let call =
        "cancelSubscription(subscriptionId: $subscriptionId, when: $when, options: $options)";
    script.mutation(call, "", "$subscriptionId: String!, $when: CancelTime!", variables)
}

pub(super) fn undo_cancellation(script: &mut Script, tenant: usize) -> Ask {
    if script.lacks(tenant, "sub") {
        return start_subscription(script, tenant);
    }
    let variables = json!({"subscriptionId": script.id(tenant, "sub")});
    let call = "undoCancellation(subscriptionId: $subscriptionId, options: $options)";
    script.mutation(call, "", "$subscriptionId: String!", variables)
}
