//! Every operation once, and the ways in which all of them are alike.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::Level;
use serde_json::{Value, json};

use super::seeded::{apply, component, put, seed};
use super::sessions::signed_in;
use crate::testing::{Member, Site, on_each_kind, soon};
use projections::temporary::Kind;

/// Fields of a payload that every mutation has.
const PAYLOAD: &str = "outcome { commandId position sequence remembered events { type } } \
                       userErrors { code message path }";

/// Runs one mutation; its payload, accepted or not.
async fn run(site: &Site, who: &Member, name: &str, arguments: &str, fields: &str) -> Value {
    let document = format!("mutation {{ {name}({arguments}) {{ {PAYLOAD} {fields} }} }}");
    let document = document.replace("()", "");
    site.data(who, &document, json!({})).await[name].take()
}

/// Mutations one after the other, and which they were.
struct Steps<'s> {
    site: &'s Site,
    done: BTreeSet<String>,
    /// How many idempotency keys were used.
    keys: usize,
}

impl Steps<'_> {
    /// Runs one mutation that must do exactly this.
    async fn of(&mut self, who: &Member, name: &str, arguments: &str, event: &str) -> Value {
        let created = ["openCustomer", "publishPlanVersion", "startSubscription"];
        let fields = if created.contains(&name) { "created" } else { "" };
        let payload = self.twice(who, name, arguments, fields).await;
        assert_eq!(payload["outcome"]["events"][0]["type"], event, "{name}: {payload}");
        payload
    }

    /// Runs one mutation, which must be accepted, and repeats it with the same idempotency key, which
    /// must be answered the same.
    async fn twice(&mut self, who: &Member, name: &str, arguments: &str, fields: &str) -> Value {
        self.done.insert(name.to_owned());
        self.keys += 1;
        let comma = if arguments.is_empty() { "" } else { ", " };
        let keyed = format!("{arguments}{comma}options: {{idempotencyKey: \"{}\"}}", self.keys);
        let first = run(self.site, who, name, &keyed, fields).await;
        assert_eq!(first["userErrors"], json!([]), "{name}");
        let mut again = run(self.site, who, name, &keyed, fields).await;
        assert_eq!(again["outcome"]["remembered"].take(), json!(true), "{name}: {again}");
        again["outcome"]["remembered"] = json!(false);
        assert_eq!(again, first, "{name}");
        first
    }

    async fn directory(&mut self) {
        let (site, operator) = (self.site, &self.site.operator);
        let carol = "input: {slug: \"carol\", name: \"Carol\"}";
        let carol = self.twice(operator, "registerTenant", carol, "tenantId").await;
        let carol = carol["tenantId"].as_str().unwrap();
        let changes = [
            ("changeSlug", ", slug: \"caroline\"", "directory.slug-changed.v1"),
            ("addHost", ", host: \"carol.example\"", "directory.host-added.v1"),
            ("removeHost", ", host: \"carol.example\"", "directory.host-removed.v1"),
            ("suspendTenant", ", reason: REQUESTED", "directory.tenant-suspended.v1"),
            ("reactivateTenant", "", "directory.tenant-reactivated.v1"),
        ];
        for (name, arguments, event) in changes {
            let arguments = format!("tenantId: \"{carol}\"{arguments}");
            self.of(operator, name, &arguments, event).await;
        }
        // This binary speaks no level that an installation it has begun does not have.
        self.done.insert("raiseClusterLevel".to_owned());
        let next = Level::SPOKEN.next();
        let refused = run(site, operator, "raiseClusterLevel", &format!("to: {next}"), "").await;
        assert_eq!(refused["userErrors"][0]["code"], "LEVEL_NOT_SPOKEN");
        let spoken = format!("to: {}", Level::SPOKEN);
        let raised = run(site, operator, "raiseClusterLevel", &spoken, "").await;
        assert_eq!(raised["outcome"]["events"], json!([]));
    }

    async fn catalog(&mut self) {
        let (site, a) = (self.site, &self.site.a);
        let target = "input: {kind: URL, target: \"https://example.org/c.yaml\"}";
        self.of(a, "registerLocation", target, "location.registered.v1").await;
        let located = run(site, a, "registerLocation", target, "location").await;
        let located = format!("location: \"{}\"", located["location"].as_str().unwrap());
        self.of(a, "deregisterLocation", &located, "location.deregistered.v1").await;
        self.done.insert("applyEntities".to_owned());
        let changes = json!([put(&component("web", "web"), None)]);
        for effect in ["CREATED", "UNCHANGED"] {
            let applied = apply(site, a, changes.clone()).await;
            let expected = json!([{ "reference": "component:default/web", "effect": effect }]);
            assert_eq!(applied["changes"], expected);
        }
    }

    async fn billing(&mut self) {
        let a = &self.site.a;
        let created = |payload: &Value| payload["created"].as_str().unwrap().to_owned();
        let open = "input: {role: CUSTOMER, name: \"Shop\", timeZone: \"Asia/Tokyo\"}";
        let shop = created(&self.of(a, "openCustomer", open, "customer.opened.v1").await);
        let change = format!("input: {{customerId: \"{shop}\", name: \"Shop 2\"}}");
        self.of(a, "changeCustomer", &change, "customer.changed.v1").await;
        let meter = "input: {key: \"calls\", name: \"Calls\", unit: \"call\", aggregation: COUNT}";
        self.of(a, "defineMeter", meter, "meter.defined.v1").await;
        let mut plans = Vec::new();
        for name in ["Basic", "Other"] {
            let terms = format!(
                "terms: {{name: \"{name}\", currency: \"USD\", interval: {{unit: MONTH}}, items: [
                    {{key: \"calls\", description: \"Calls\",
                      price: {{perUnit: {{meter: \"calls\", unit: \"0.5\"}}}}}}]}}"
            );
            let plan = self.of(a, "publishPlanVersion", &terms, "plan.version-published.v1").await;
            plans.push(created(&plan));
        }
        let start = format!("customerId: \"{shop}\", planId: \"{}\"", plans[0]);
        let sale = self.of(a, "startSubscription", &start, "subscription.started.v1").await;
        let sale = format!("subscriptionId: \"{}\"", created(&sale));
        let changes = [
            (
                "changePlan",
                format!("{sale}, planId: \"{}\"", plans[1]),
                "subscription.plan-changed.v1",
            ),
            (
                "cancelSubscription",
                format!("{sale}, when: PERIOD_END"),
                "subscription.cancellation-scheduled.v1",
            ),
            ("undoCancellation", sale.clone(), "subscription.cancellation-undone.v1"),
            ("cancelSubscription", format!("{sale}, when: NOW"), "subscription.cancelled.v1"),
            ("retirePlan", format!("planId: \"{}\"", plans[1]), "plan.retired.v1"),
            (
                "recordUsage",
                "entries: [{source: \"s\", id: \"1\", meter: \"calls\", value: \"1\"}]".to_owned(),
                "usage.recorded.v1",
            ),
            ("archiveMeter", "key: \"calls\"".to_owned(), "meter.archived.v1"),
            ("closeCustomer", format!("customerId: \"{shop}\""), "customer.closed.v1"),
        ];
        for (name, arguments, event) in changes {
            self.of(a, name, &arguments, event).await;
        }
    }

    async fn access(&mut self) {
        let a = &self.site.a;
        let ada = format!("usr_{}", uuid::Uuid::now_v7().simple());
        let some = "role: \"team\", permits: [
            {permission: \"entity.read\", when: {any: [{tag: \"public\"}, {kind: \"API\"}]}}]";
        let all = "role: \"team\", permits: [{permission: \"entity.read\"}]";
        let add = format!("input: {{memberId: \"{ada}\", name: \"Ada\", roles: [\"team\"]}}");
        let member = format!("memberId: \"{ada}\"");
        let roles = format!("{member}, roles: [\"team\", \"viewer\"]");
        for (name, arguments, event) in [
            ("defineRole", some, "role.defined.v1"),
            ("changeRole", all, "role.changed.v1"),
            ("addMember", &*add, "member.added.v1"),
            ("changeMemberRoles", &*roles, "member.roles-changed.v1"),
            ("removeMember", &*member, "member.removed.v1"),
            ("retireRole", "role: \"team\"", "role.retired.v1"),
        ] {
            self.of(a, name, arguments, event).await;
        }
    }

    async fn api_keys(&mut self) {
        let a = &self.site.a;
        let ends = chrono::Utc::now() + chrono::TimeDelta::hours(1);
        let input = format!(
            "input: {{name: \"ci\", scope: [\"entity.read\"], expiresAt: \"{}\"}}",
            ends.to_rfc3339()
        );
        // The key itself is in the first answer only.
        let issued = self.twice(a, "issueApiKey", &input, "keyId").await;
        assert_eq!(issued["outcome"]["events"][0]["type"], "member.api-key-issued.v1");
        let key = format!("keyId: {}", issued["keyId"]);
        self.of(a, "revokeApiKey", &key, "member.api-key-revoked.v1").await;
    }

    async fn sessions(&mut self) {
        let (site, a) = (self.site, &self.site.a);
        let who = site.data(a, "{ viewer { actor } }", json!({})).await["viewer"]["actor"].take();
        // The text itself is in the first answer only.
        let input = format!("input: {{memberId: {who}}}");
        self.of(a, "inviteMember", &input, "member.invited.v1").await;
        signed_in(site, a).await;
        self.of(a, "signOut", "input: {everywhere: true}", "member.signed-out.v1").await;
    }

    async fn tenant(&mut self) {
        let a = &self.site.a;
        self.of(a, "renameTenant", "name: \"Alpha Ltd\"", "tenant.renamed.v1").await;
        let settings = "input: {timeZone: \"Europe/Berlin\", currency: \"USD\", kinds: EXTENDED}";
        self.of(a, "configureTenant", settings, "tenant.configured.v1").await;
        let provider = "input: {name: \"Alpha\", issuer: \"https://login.alpha.example\",
            clientId: \"callboard\", clientSecret: \"secret\", scopes: [\"profile\"]}";
        let added = self.twice(a, "addProvider", provider, "providerId").await;
        assert_eq!(added["outcome"]["events"][0]["type"], "tenant.provider-added.v1");
        let provider = format!("providerId: {}", added["providerId"]);
        self.of(a, "removeProvider", &provider, "tenant.provider-removed.v1").await;
        self.of(a, "closeTenant", "", "tenant.closed.v1").await;
    }
}

on_each_kind! {
    every_operation_can_be_asked_for
    a_change_is_made_only_to_what_was_expected
    a_repeated_request_answers_what_it_answered
    a_single_page_shows_an_entity_with_everything_around_it
}

async fn every_operation_can_be_asked_for(on: Kind) {
    let site = Site::start_on(on).await;
    let mut steps = Steps { site: &site, done: BTreeSet::new(), keys: 0 };
    steps.directory().await;
    steps.catalog().await;
    steps.billing().await;
    steps.access().await;
    steps.api_keys().await;
    steps.sessions().await;
    steps.tenant().await;

    let document = "{ __schema { mutationType { fields { name } } } }";
    let schema = site.data(&site.a, document, json!({})).await;
    let fields = schema["__schema"]["mutationType"]["fields"].as_array().unwrap().iter();
    let fields: BTreeSet<_> = fields.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(steps.done, fields, "every mutation needs a step here");
}

#[tokio::test]
async fn what_the_caller_must_mend_is_named_by_code_and_path() {
    let site = Site::start().await;
    let cases = [
        (
            &site.operator,
            "registerTenant",
            "input: {slug: \"X\", name: \"X\"}",
            "BAD_USER_INPUT",
            Some("input.slug"),
        ),
        (
            &site.operator,
            "registerTenant",
            "input: {slug: \"alpha\", name: \"X\"}",
            "SLUG_TAKEN",
            None,
        ),
        (&site.a, "closeCustomer", "customerId: \"x\"", "BAD_USER_INPUT", Some("customerId")),
        (
            &site.a,
            "defineMeter",
            "input: {key: \"m\", name: \"M\", unit: \"u\", aggregation: UNIQUE_COUNT}",
            "BAD_USER_INPUT",
            Some("input.dimension"),
        ),
        (
            &site.a,
            "publishPlanVersion",
            "terms: {name: \"P\", currency: \"EUR\", interval: {unit: DAY}, items: [
                {key: \"i\", description: \"d\", price: {flat: {unit: \"ten\"}}}]}",
            "BAD_USER_INPUT",
            Some("terms.items[0].price.flat.unit"),
        ),
        (
            &site.a,
            "recordUsage",
            "entries: [{source: \"s\", id: \"1\", meter: \"m\", value: \"1e3\"}]",
            "BAD_USER_INPUT",
            Some("entries[0].value"),
        ),
        (
            &site.a,
            "applyEntities",
            "input: {changes: [{put: {descriptor: {kind: \"Component\"}}}]}",
            "BAD_USER_INPUT",
            Some("changes[0]"),
        ),
        (
            &site.a,
            "renameTenant",
            "name: \"N\", options: {idempotencyKey: \"\"}",
            "BAD_USER_INPUT",
            Some("options.idempotencyKey"),
        ),
    ];
    for (who, name, arguments, code, path) in cases {
        let payload = run(&site, who, name, arguments, "").await;
        let error = &payload["userErrors"][0];
        assert_eq!(error["code"], code, "{name}: {payload}");
        match path {
            Some(path) => {
                let found = error["path"].as_str().unwrap_or_default();
                assert!(found.starts_with(path), "{name}: {payload}");
            }
            None => assert_eq!(error["path"], Value::Null, "{name}: {payload}"),
        }
        assert_eq!(payload["outcome"], Value::Null);
    }
    let denied = "mutation { registerTenant(input: {slug: \"abc\", name: \"x\"}) { tenantId } }";
    let denied = site.graphql(&site.a, denied, json!({})).await;
    assert_eq!(denied["errors"][0]["extensions"]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn a_tenant_is_there_for_its_owner_once_its_registration_is_answered() {
    let site = Site::start().await;
    site.following.hold();
    let register = site.register("carol");
    tokio::pin!(register);
    let slug = "carol".parse().unwrap();
    let is_registered = async {
        while site.commands.tenant_by_slug(&slug).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut register => panic!("it is answered before there is a tenant"),
        () = soon(is_registered) => (),
    }
    // It is answered within a few milliseconds where nobody waits for the tenant.
    let answered = tokio::time::timeout(Duration::from_millis(300), &mut register).await;
    assert!(answered.is_err(), "it is answered before there is a tenant");
    site.following.release();
    let owner = soon(register).await;
    assert_eq!(
        run(&site, &owner, "renameTenant", "name: \"N\"", "").await["userErrors"],
        json!([])
    );

    // A repetition names the tenant of the first time, whoever is called that by then.
    let operator = &site.operator;
    let dora = "input: {slug: \"dora\", name: \"D\"}, options: {idempotencyKey: \"d\"}";
    let first = run(&site, operator, "registerTenant", dora, "tenantId").await["tenantId"].take();
    assert_eq!(run(&site, operator, "registerTenant", dora, "tenantId").await["tenantId"], first);
    let renaming = format!("tenantId: {first}, slug: \"dolores\"");
    run(&site, operator, "changeSlug", &renaming, "").await;
    let again = run(&site, operator, "registerTenant", dora, "tenantId").await;
    assert_eq!(again["tenantId"], Value::Null, "never another one");
    assert_eq!(again["outcome"]["remembered"], true);
}

/// What took effect is told, whatever becomes of the mutations beside it.
#[tokio::test]
async fn a_mutation_that_fails_hides_nothing_of_the_others() {
    let site = Site::start().await;
    let document = format!(
        "mutation {{
            a: renameTenant(name: \"New\") {{ outcome {{ position }} }}
            b: suspendTenant(tenantId: \"{}\", reason: ABUSE) {{ outcome {{ position }} }}
        }}",
        site.a.tenant
    );
    let answer = site.graphql(&site.a, &document, json!({})).await;
    assert!(answer["data"]["a"]["outcome"]["position"].is_string(), "{answer}");
    assert_eq!(answer["data"]["b"], Value::Null);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(answer["errors"][0]["path"], json!(["b"]));

    let types = "{ __schema { mutationType { fields { name type { kind } } } } }";
    let types = site.data(&site.a, types, json!({})).await;
    for field in types["__schema"]["mutationType"]["fields"].as_array().unwrap() {
        assert_ne!(field["type"]["kind"], "NON_NULL", "{field} would hide the others");
    }
}

/// Where there is no one thing, or none that has a revision, none can be expected.
#[tokio::test]
async fn what_has_no_revision_of_its_own_refuses_an_expected_one() {
    let site = Site::start().await;
    let put = "input: {changes: [{remove: {reference: \"component:default/web\"}}]}";
    let record = "entries: [{source: \"s\", id: \"1\", meter: \"m\", value: \"1\"}]";
    for (name, arguments, instead) in [
        ("applyEntities", put, "the `expectedRevision` of each change"),
        ("recordUsage", record, "the `id` of each entry"),
    ] {
        for expected in ["exact: 9", "state: NONE", "state: EXISTS"] {
            let arguments = format!("{arguments}, options: {{expectedRevision: {{{expected}}}}}");
            let payload = run(&site, &site.a, name, &arguments, "").await;
            let error = &payload["userErrors"][0];
            assert_eq!(error["code"], "BAD_USER_INPUT", "{name} {expected}: {payload}");
            assert_eq!(error["path"], "options.expectedRevision");
            assert!(error["message"].as_str().unwrap().contains(instead), "{error}");
            assert_eq!(payload["outcome"], Value::Null);
        }
        let any = format!("{arguments}, options: {{expectedRevision: {{state: ANY}}}}");
        let payload = run(&site, &site.a, name, &any, "").await;
        assert_eq!(payload["userErrors"], json!([]), "{name}: anything is fine");
    }
}

async fn a_change_is_made_only_to_what_was_expected(on: Kind) {
    let site = Site::start_on(on).await;
    let rename = |options: &str| format!("name: \"New\", options: {{{options}}}");
    for (expected, told) in [
        ("expectedRevision: {exact: 9}", "expected the revision 9, but "),
        ("expectedRevision: {state: NONE}", "expected `NONE`, but "),
    ] {
        let payload = run(&site, &site.a, "renameTenant", &rename(expected), "").await;
        let error = &payload["userErrors"][0];
        assert_eq!(error["code"], "REVISION_CONFLICT", "{payload}");
        assert!(error["message"].as_str().unwrap().starts_with(told), "{payload}");
    }
    let revision = "{ tenant { revision } }";
    let previewed = run(&site, &site.a, "renameTenant", &rename("preview: true"), "").await;
    assert_eq!(previewed["outcome"]["events"][0]["type"], "tenant.renamed.v1");
    let again = run(&site, &site.a, "renameTenant", &rename("preview: true"), "").await;
    assert_eq!(again["outcome"]["sequence"], previewed["outcome"]["sequence"], "nothing happened");
    let position = again["outcome"]["position"].as_str().unwrap();
    let before =
        site.seen(&site.a, position, revision).await["tenant"]["revision"].as_u64().unwrap();
    let exact = rename(&format!("expectedRevision: {{exact: {before}}}"));
    let payload = run(&site, &site.a, "renameTenant", &exact, "").await;
    let position = payload["outcome"]["position"].as_str().unwrap();
    let after = site.seen(&site.a, position, "{ tenant { name revision } }").await;
    assert_eq!(
        after["tenant"],
        json!({ "name": "New", "revision": before + 1 }),
        "read your writes"
    );
}

async fn a_repeated_request_answers_what_it_answered(on: Kind) {
    let site = Site::start_on(on).await;
    let open = "input: {role: CUSTOMER, name: \"Once\"}, options: {idempotencyKey: \"k-1\"}";
    let first = run(&site, &site.a, "openCustomer", open, "created").await;
    let again = run(&site, &site.a, "openCustomer", open, "created").await;
    assert_eq!(again["created"], first["created"]);
    assert_eq!(again["outcome"]["commandId"], first["outcome"]["commandId"]);
    assert_eq!(
        (&again["outcome"]["remembered"], &first["outcome"]["remembered"]),
        (&json!(true), &json!(false))
    );
    let other =
        run(&site, &site.a, "openCustomer", &open.replace("Once", "Twice"), "created").await;
    assert_eq!(other["userErrors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
    let position = again["outcome"]["position"].as_str().unwrap();
    let customers = site.seen(&site.a, position, "{ customers { totalCount } }").await;
    assert_eq!(customers["customers"]["totalCount"], 2, "itself and the one");
}

async fn a_single_page_shows_an_entity_with_everything_around_it(on: Kind) {
    let site = Site::start_on(on).await;
    let seeded = seed(&site, &site.a, "cedar").await;
    let document = "{ entity(reference: \"component:default/cedar-service\") {
        title owners { target { title } }
        relations(types: [\"partOf\"]) { totalCount nodes { target { reference } } }
        location { target } history(first: 1) { nodes { change revision } }
    } }";
    let entity = site.seen(&site.a, &seeded.position, document).await["entity"].take();
    assert_eq!(entity["owners"][0]["target"]["title"], "cedar team");
    assert_eq!(entity["relations"]["totalCount"], 1);
    let part = &entity["relations"]["nodes"][0];
    assert_eq!(part["target"]["reference"], "system:default/cedar-system");
    assert_eq!(entity["location"]["target"], "https://example.org/cedar/catalog.yaml");
    assert_eq!(entity["history"]["nodes"], json!([{ "change": "REGISTERED", "revision": 1 }]));
}
