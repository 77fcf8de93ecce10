//! What is read, at all doors.

use serde_json::{Value, json};

use super::billing::METERS;
use super::{Ask, Script};

const PAGE: &str = "pageInfo { hasPreviousPage hasNextPage startCursor endCursor }";

const ENTITY: &str = "id uid reference kind namespace name title description type lifecycle tags \
                      etag revision sequence registeredAt changedAt changedBy \
                      location { id kind target sequence }";

const SUBSCRIPTION: &str = "id subscriptionId planId planVersion status endsAt timeZone anchor \
                            trialEnd startedAt revision customer { customerId name } \
                            terms { name currency interval { unit count } trialDays } \
                            history { revision event sequence at actor }";

const PLAN: &str = "id planId name retired revision versions { version publishedAt terms { name \
    currency trialDays interval { unit count } quotas { meter limit enforcement } items { key \
    description price { ... on FlatPrice { unit quantity } ... on PerUnitPrice { meter unit } \
    ... on GraduatedPrice { meter tiers { upTo unit flat } } ... on VolumePrice { meter tiers { upTo \
    unit flat } } ... on PackagePrice { meter size free unit } } } } }";

const METER: &str = "id key name unit aggregation { kind dimension } archived revision";

const CUSTOMER: &str = "id customerId role name contact currency timeZone openedAt closedAt \
                        revision subscriptions(first: 5) { subscriptionId status }";

const TENANT: &str = "id tenantId slug name timeZone currency kinds createdAt revision \
                      standing { status reason } providers { providerId name issuer clientId scopes }";

const AUDIT: &str = "id eventId sequence type stream revision at actor commandId batchPosition \
                     correlationId causationId body";

/// Lists of entities that are met again, each with cursors of its own.
const ENTITY_LISTS: [&str; 10] = [
    "all",
    "names",
    "titles down",
    "changed",
    "services",
    "not deprecated",
    "orders",
    "ships web",
    "tags",
    "wrong",
];

fn matching(list: &str) -> (Value, Value) {
    let by = |key: &str, descending: bool| json!({"by": key, "descending": descending});
    match list {
        "all" => (json!({}), Value::Null),
        "names" => (json!({}), by("metadata.name", false)),
        "titles down" => (json!({}), by("metadata.title", true)),
        "changed" => (json!({"filter": ["kind=component", "kind=api"]}), by("changed", true)),
        "services" => {
            (json!({"filter": ["kind=component,spec.type=service"]}), by("reference", true))
        }
        "not deprecated" => {
            let predicate = json!({"$not": {"spec.lifecycle": "deprecated"}});
            (json!({"predicate": predicate}), by("spec.owner", false))
        }
        "orders" => (json!({"text": "orders"}), Value::Null),
        "ships web" => {
            (json!({"text": "ship", "filter": ["kind=component"]}), by("relevance", true))
        }
        "tags" => {
            let predicate = json!({"$any": [{"metadata.tags": {"$in": ["rest", "java"]}},
                {"relations.ownedby": "group:default/atlas"}, {"metadata.labels.tier": "1"}]});
            (json!({"predicate": predicate}), by("kind", false))
        }
        _ => (json!({"predicate": {"$some": 1}}), Value::Null),
    }
}

pub(super) fn entities(script: &mut Script, tenant: usize) -> Ask {
    let list = script.pick_of(&ENTITY_LISTS);
    let mut variables = script.page(tenant, list);
    (variables["matching"], variables["order"]) = matching(list);
    let query = format!(
        "query($matching: EntityFilter!, $order: EntityOrder, $first: Int, $after: String, \
         $last: Int, $before: String) {{ entities(matching: $matching, order: $order, \
         first: $first, after: $after, last: $last, before: $before) {{ totalCount {PAGE} \
         edges {{ cursor node {{ {ENTITY} }} }} \
         facets(keys: [\"kind\", \"spec.type\", \"metadata.tags\"], first: 4) {{ \
         key values {{ value count }} hasMore }} }} }}"
    );
    Ask::GraphQl { query, variables }
}

pub(super) fn entity(script: &mut Script, tenant: usize) -> Ask {
    let mut variables = json!({"from": "2021-03-01T00:00:00Z", "to": "2021-03-04T00:00:00Z"});
    if script.one_in(3) {
        variables["uid"] = script.id(tenant, "uid").into();
    } else {
        let kind = script.pick_of(&["component", "API", "user", "group", "resource"]);
        let name = script.pick_of(&["web", "zeta", "a", "Web2", "x1", "atlas", "none"]);
        variables["reference"] = format!("{kind}:default/{name}").into();
    }
    let query = format!(
        "query($reference: String, $uid: String, $from: DateTime!, $to: DateTime!) {{ \
         entity(reference: $reference, uid: $uid) {{ {ENTITY} document \
         relations(first: 4) {{ totalCount edges {{ cursor node {{ type targetReference \
         target {{ reference title }} }} }} }} owners {{ type targetReference target {{ uid }} }} \
         usage(from: $from, to: $to) {{ sequence completeThrough meters {{ meter \
         total {{ start count sum min max latest }} buckets {{ start count sum }} }} }} \
         history(first: 3) {{ {PAGE} edges {{ cursor node {{ uid revision change descriptor \
         sequence at actor }} }} }} }} }}"
    );
    Ask::GraphQl { query, variables }
}

pub(super) fn node(script: &mut Script, tenant: usize) -> Ask {
    let variables = json!({"id": script.id(tenant, "node")});
    let query = format!(
        "query($id: ID!) {{ node(id: $id) {{ id __typename ... on Entity {{ reference revision }} \
         ... on Location {{ target }} ... on Customer {{ customerId }} ... on Plan {{ planId }} \
         ... on Subscription {{ subscriptionId status }} ... on Meter {{ key }} \
         ... on Tenant {{ {TENANT} }} ... on AuditEvent {{ sequence type }} }} }}"
    );
    Ask::GraphQl { query, variables }
}

/// A page of a list without arguments of its own.
fn paged(list: &str, arguments: &str, fields: &str, types: &str, variables: Value) -> Ask {
    let query = format!(
        "query({types}$first: Int, $after: String, $last: Int, $before: String) {{ {list}(\
         {arguments}first: $first, after: $after, last: $last, before: $before) {{ totalCount \
         {PAGE} edges {{ cursor node {{ {fields} }} }} }} }}"
    );
    Ask::GraphQl { query, variables }
}

pub(super) fn lists(script: &mut Script, tenant: usize) -> Ask {
    match script.below(4) {
        0 => {
            let variables = script.page(tenant, "meters");
            paged("meters", "", METER, "", variables)
        }
        1 => {
            let list = script.pick_of(&["plans ITSELF", "plans OPERATOR"]);
            let mut variables = script.page(tenant, list);
            variables["seller"] = list[6..].into();
            paged("plans", "seller: $seller, ", PLAN, "$seller: PlanSeller!, ", variables)
        }
        2 => {
            let list = script.pick_of(&["subscriptions", "cancelled", "running"]);
            let mut variables = script.page(tenant, list);
            variables["matching"] = match list {
                "cancelled" => json!({"cancelled": true}),
                "running" => json!({"cancelled": false}),
                _ => json!({}),
            };
            let types = "$matching: SubscriptionsMatching!, ";
            paged("subscriptions", "matching: $matching, ", SUBSCRIPTION, types, variables)
        }
        _ => {
            let query = "{ locations(first: 100) { totalCount nodes { id kind target sequence \
                         registeredAt } } }";
            Ask::GraphQl { query: query.to_owned(), variables: json!({}) }
        }
    }
}

pub(super) fn billing(script: &mut Script, tenant: usize) -> Ask {
    if script.one_in(2) {
        let query = format!("{{ customers(first: 100) {{ totalCount nodes {{ {CUSTOMER} }} }} }}");
        return Ask::GraphQl { query, variables: json!({}) };
    }
    let customer = script.id(tenant, "cus");
    let variables = json!({"first": 9, "matching": {"customer": customer}});
    let types = "$matching: SubscriptionsMatching!, ";
    paged("subscriptions", "matching: $matching, ", SUBSCRIPTION, types, variables)
}

pub(super) fn usage(script: &mut Script, tenant: usize) -> Ask {
    let (from, to) = match script.below(10) {
        0 => ("2021-03-03T00:00:00Z", "2021-03-01T00:00:00Z"),
        1 => ("2021-03-01T00:30:00Z", "2021-03-02T00:00:00Z"),
        _ => ("2021-03-01T00:00:00Z", "2021-03-05T00:00:00Z"),
    };
    let at = script.one_in(3).then(|| {
        let sequence = script.tenants[tenant].sequence;
        script.random.below(sequence + 3)
    });
    let meter = script.one_in(3).then(|| script.pick_of(&METERS));
    if script.one_in(2) {
        let mut query = vec![("from", from.to_owned()), ("to", to.to_owned())];
        query.extend(at.map(|it| ("atSequence", it.to_string())));
        query.extend(meter.map(|it| ("meter", it.to_owned())));
        if script.one_in(2) {
            query.push(("step", script.pick_of(&["hour", "day", "total", "year"]).to_owned()));
        }
        return Ask::Get { path: "/api/v1/usage", query };
    }
    let mut matching = json!({"from": from, "to": to, "atSequence": at});
    matching["meters"] = meter.into_iter().collect();
    if script.one_in(4) {
        matching["customers"] = json!([script.id(tenant, "cus")]);
    }
    let query = if script.one_in(2) {
        "query($matching: UsageMatching!) { usageTotals(matching: $matching) { sequence \
         completeThrough totals { customer { customerId } meter count sum min max latest } } }"
    } else {
        "query($matching: UsageMatching!) { usageSeries(matching: $matching, step: HOUR) { \
         sequence completeThrough series { customer { customerId } meter buckets { start count sum \
         min max latest } } } }"
    };
    Ask::GraphQl { query: query.to_owned(), variables: json!({"matching": matching}) }
}

pub(super) fn audit(script: &mut Script, tenant: usize) -> Ask {
    let list = script.pick_of(&["trail", "trail of entities", "trail of"]);
    let mut variables = script.page(tenant, list);
    variables["matching"] = match list {
        "trail" => json!({}),
        "trail of entities" => json!({"types": ["entity"]}),
        _ => {
            // Its cursors are of another list each time.
            script.list = None;
            variables = json!({"first": 5});
            match script.below(4) {
                0 => json!({"actor": script.id(tenant, "usr")}),
                1 => json!({"stream": script.id(tenant, "stream")}),
                2 => json!({"commandId": script.id(tenant, "cmd")}),
                _ => json!({"correlationId": "01980000-0000-7000-8000-000000000001"}),
            }
        }
    };
    paged("audit", "matching: $matching, ", AUDIT, "$matching: AuditMatching!, ", variables)
}

/// The audit trail of the system's tenant.
pub(super) fn trail(script: &mut Script) -> Ask {
    let variables = json!({"matching": {}, "first": 1 + script.below(20)});
    paged("audit", "matching: $matching, ", AUDIT, "$matching: AuditMatching!, ", variables)
}

pub(super) fn tenants(script: &mut Script) -> Ask {
    let fields = "tenantId slug name partition hosts registeredAt standing { status reason }";
    // Slugs end with the seed's own numbers, so pages of them are the same everywhere.
    paged("tenants", "", fields, "", json!({"first": 1 + script.below(100)}))
}

pub(super) fn organisation(script: &mut Script, _: usize) -> Ask {
    let query = match script.below(3) {
        0 => format!("{{ tenant {{ {TENANT} }} viewer {{ actor tenantId }} }}"),
        1 => "{ viewer { actor tenantId } }".to_owned(),
        _ => {
            let day = &script.day;
            format!(
                "{{ analytics(from: \"{day}\", to: \"{day}\") {{ date entities registered updated \
                 deregistered activeActors commands commandsByNoun {{ noun commands }} }} }}"
            )
        }
    };
    Ask::GraphQl { query, variables: json!({}) }
}

pub(super) fn feed(script: &mut Script, tenant: usize) -> Ask {
    let sequence = script.tenants[tenant].sequence;
    let mut query = Vec::new();
    if !script.one_in(4) {
        query.push(("after", script.random.below(sequence + 2).to_string()));
    }
    query.push(("limit", [1, 5, 20, 0][script.below(4)].to_string()));
    if script.one_in(3) {
        query.push((
            "types",
            script.pick_of(&["entity", "usage,meter", "entity.updated.v1"]).to_owned(),
        ));
    }
    Ask::Get { path: "/api/v1/events", query }
}

/// What is no request at all, or not for this caller.
pub(super) fn malformed(script: &mut Script, tenant: usize) -> Ask {
    let query = match script.below(6) {
        0 => return Ask::Get { path: "/api/v1/projections", query: Vec::new() },
        1 => return Ask::Get { path: "/api/v1/nothing", query: Vec::new() },
        2 => return Ask::Get { path: "/api/v1/events", query: vec![("before", "1".to_owned())] },
        3 => "{ tenant { secret } }",
        4 => "query { entities(",
        _ => return directory_of_others(script, tenant),
    };
    Ask::GraphQl { query: query.to_owned(), variables: json!({}) }
}

fn directory_of_others(script: &mut Script, tenant: usize) -> Ask {
    let id = &script.tenants[tenant].id;
    let query = format!(
        "{{ tenants(slug: \"acts\") {{ nodes {{ slug }} }} viewer {{ tenantId }} # {id}\n }}"
    );
    Ask::GraphQl { query, variables: json!({}) }
}
