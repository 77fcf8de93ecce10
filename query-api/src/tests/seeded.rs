//! A tenant with one of everything, each with a name that gives away whose it is.

use serde_json::{Value, json};

use crate::testing::{Member, Site};

/// What a seeded tenant holds.
#[derive(Clone, Debug)]
pub(super) struct Seeded {
    pub(super) entity: String,
    pub(super) uid: String,
    pub(super) location: String,
    pub(super) customer: String,
    pub(super) plan: String,
    pub(super) subscription: String,
    /// Which command registered the entities.
    pub(super) command: String,
    /// A token of the last change.
    pub(super) position: String,
}

pub(super) const OPEN: &str = "mutation($name: String!) {
    openCustomer(input: {role: CUSTOMER, name: $name, contact: \"pay@example.org\"}) {
        created userErrors { code message path } outcome { position }
    }
}";

pub(super) const METER: &str = "mutation($key: String!) {
    defineMeter(input: {key: $key, name: \"Requests\", unit: \"request\", aggregation: SUM}) {
        userErrors { code message path } outcome { position }
    }
}";

pub(super) const PUBLISH: &str = "mutation($name: String!, $meter: String!) {
    publishPlanVersion(terms: {
        name: $name, currency: \"EUR\", interval: {unit: MONTH},
        items: [
            {key: \"base\", description: \"Base fee\", price: {flat: {unit: \"10\"}}},
            {key: \"use\", description: \"Use\", price: {perUnit: {meter: $meter, unit: \"0.01\"}}}
        ],
        quotas: [{meter: $meter, limit: \"1000\"}, {limit: \"500\", enforcement: SOFT}]
    }) { created userErrors { code message path } outcome { position } }
}";

pub(super) const START: &str = "mutation($customer: String!, $plan: String!) {
    startSubscription(customerId: $customer, planId: $plan) {
        created userErrors { code message path } outcome { position }
    }
}";

const LOCATE: &str = "mutation($target: String!) {
    registerLocation(input: {kind: URL, target: $target}) {
        location userErrors { code message path } outcome { position }
    }
}";

pub(super) const APPLY: &str = "mutation($changes: [EntityChangeInput!]!) {
    applyEntities(input: {changes: $changes}) {
        changes { reference effect } userErrors { code message path }
        outcome { commandId position sequence }
    }
}";

/// Applies descriptors; the position after them.
pub(super) async fn apply(site: &Site, who: &Member, changes: Value) -> Value {
    site.mutate(who, APPLY, json!({ "changes": changes })).await
}

/// A component that the group of its mark owns.
pub(super) fn component(name: &str, mark: &str) -> Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": name,
            "title": format!("{mark} {name}"),
            "description": format!("{mark} serves"),
            "tags": [mark],
        },
        "spec": {
            "type": "service", "lifecycle": "production",
            "owner": format!("group:default/{mark}-team"), "system": format!("{mark}-system"),
        },
    })
}

pub(super) fn put(descriptor: &Value, location: Option<&str>) -> Value {
    json!({ "put": { "descriptor": descriptor, "location": location } })
}

/// Fills the tenant of `who`; `mark` occurs in everything it holds, and nowhere else.
pub(super) async fn seed(site: &Site, who: &Member, mark: &str) -> Seeded {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap().to_owned();
    let customer = site.mutate(who, OPEN, json!({ "name": format!("{mark} customer") })).await;
    let customer = text(&customer, "created");
    let meter = format!("{mark}.requests");
    site.mutate(who, METER, json!({ "key": meter })).await;
    let variables = json!({ "name": format!("{mark} plan"), "meter": meter });
    let plan = text(&site.mutate(who, PUBLISH, variables).await, "created");
    let variables = json!({ "customer": customer, "plan": plan });
    let subscription = text(&site.mutate(who, START, variables).await, "created");
    let target = format!("https://example.org/{mark}/catalog.yaml");
    let location = text(&site.mutate(who, LOCATE, json!({ "target": target })).await, "location");

    let group = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Group",
        "metadata": { "name": format!("{mark}-team"), "title": format!("{mark} team") },
        "spec": { "type": "team", "children": [] },
    });
    let system = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "System",
        "metadata": { "name": format!("{mark}-system") },
        "spec": { "owner": format!("group:default/{mark}-team") },
    });
    let name = format!("{mark}-service");
    let changes = json!([
        put(&group, None),
        put(&system, None),
        put(&component(&name, mark), Some(&location)),
    ]);
    let applied = apply(site, who, changes).await;
    let entry = json!([{
        "source": mark, "id": "1", "meter": meter, "customer": customer, "value": "2.5",
        "at": "2026-03-01T10:30:00Z",
        "dimensions": { "entity": format!("Component:default/{name}") },
    }]);
    let recorded = site.post(who, "/api/v1/usage", "application/json", entry.to_string()).await;
    assert_eq!(recorded.status, 200, "{}", recorded.text());
    let position = text(&recorded.json(), "position");

    let reference = format!("component:default/{name}");
    let document = format!("{{ entity(reference: \"{reference}\") {{ id uid }} }}");
    let entity = site.seen(who, &position, &document).await["entity"].take();
    Seeded {
        entity: text(&entity, "id"),
        uid: text(&entity, "uid"),
        location,
        customer,
        plan,
        subscription,
        command: text(&applied["outcome"], "commandId"),
        position,
    }
}
