//! One way through each door.

use chrono::{TimeDelta, Utc};

use super::super::accounts::PASSWORD;
use super::super::isolation::{BOTH, days};
use super::super::seeded::Seeded;
use super::Ground;

/// How a door is gone through.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// A document whose only field this is. Mutations are previews: nothing comes of them.
    Field { document: String },
    /// The same, as a stream.
    Live { document: String },
    /// A request for this path, with this body if there is one.
    Route { method: &'static str, path: String, body: Option<String> },
}

/// What stands in a body for an invite: everybody has one of their own.
const INVITE: &str = "<invite>";

/// The doors that hand out a session.
const IN: [&str; 3] = ["/api/v1/sign-in", "/api/v1/invites/accept", "/api/v1/account/password"];

impl Way {
    /// Whether who goes through has another session afterwards.
    pub(super) fn begins_a_session(&self) -> bool {
        matches!(self, Self::Route { path, .. } if IN.contains(&path.as_str()))
    }

    /// The same with this invite.
    pub(super) fn with(&self, invite: &str) -> Self {
        let mut way = self.clone();
        if let Self::Route { body: Some(body), .. } = &mut way {
            let login = invite.get(invite.len().saturating_sub(8)..).unwrap_or_default();
            *body = body.replace("<login>", login).replace(INVITE, invite);
        }
        way
    }
}

/// A door, by its name in the table, and a way through it.
pub(super) type Door = (String, Way);

/// Every door.
pub(super) fn all(ground: &Ground) -> Vec<Door> {
    let mut doors = queries(&ground.a);
    doors.extend(mutations(ground));
    doors.extend(live());
    doors.extend(routes(ground));
    doors
}

fn queries(a: &Seeded) -> Vec<Door> {
    let Seeded { entity, customer, command, .. } = a;
    let range = "from: \"2026-01-01T00:00:00Z\", to: \"2027-01-01T00:00:00Z\"";
    let fields = [
        ("node", format!("(id: \"{entity}\") {{ id }}")),
        ("entity", "(reference: \"component:default/amber-service\") { reference }".to_owned()),
        ("entities", " { totalCount nodes { reference } }".to_owned()),
        ("locations", " { totalCount nodes { target } }".to_owned()),
        ("tenant", " { name }".to_owned()),
        ("tenants", " { totalCount nodes { slug } }".to_owned()),
        ("viewer", " { tenantId }".to_owned()),
        ("members", " { totalCount nodes { memberId } }".to_owned()),
        ("explain", format!("(memberId: \"{BOTH}\", permission: \"entity.read\") {{ isMember }}")),
        ("roles", " { totalCount nodes { name } }".to_owned()),
        ("builtInRoles", " { name }".to_owned()),
        ("cluster", " { level }".to_owned()),
        ("customers", " { totalCount nodes { name } }".to_owned()),
        ("plans", "(seller: ITSELF) { totalCount nodes { name } }".to_owned()),
        ("subscriptions", format!("(matching: {{customer: \"{customer}\"}}) {{ totalCount }}")),
        ("meters", " { totalCount nodes { key } }".to_owned()),
        ("usageTotals", format!("(matching: {{{range}}}) {{ totals {{ meter }} }}")),
        ("usageSeries", format!("(matching: {{{range}}}) {{ series {{ meter }} }}")),
        ("audit", " { totalCount nodes { type } }".to_owned()),
        ("causalTree", format!("(commandId: \"{command}\") {{ caused {{ event {{ type }} }} }}")),
        ("analytics", format!("({}) {{ commands }}", days())),
    ];
    let door = |(field, rest): (&str, String)| {
        let document = format!("{{ {field}{rest} }}");
        (format!("Query.{field}"), Way::Field { document })
    };
    fields.map(door).into()
}

fn mutations(ground: &Ground) -> Vec<Door> {
    let mut fields = of_directory(ground);
    fields.extend(of_tenant(ground));
    fields.extend(of_catalog(&ground.a));
    fields.extend(of_billing(ground));
    let door = |(field, arguments): (&'static str, String)| {
        let options = "options: {preview: true}";
        let outcome = "outcome { events { type } } userErrors { code }";
        let document = format!("mutation {{ {field}({arguments} {options}) {{ {outcome} }} }}");
        (format!("Mutation.{field}"), Way::Field { document })
    };
    fields.into_iter().map(door).collect()
}

fn of_directory(ground: &Ground) -> Vec<(&'static str, String)> {
    let tenant = format!("tenantId: \"{}\"", ground.site.a.tenant);
    vec![
        ("registerTenant", "input: {slug: \"dora\", name: \"Dora\"}".to_owned()),
        ("changeSlug", format!("{tenant}, slug: \"amber-two\"")),
        ("addHost", format!("{tenant}, host: \"amber.example\"")),
        ("removeHost", format!("{tenant}, host: \"amber.example\"")),
        ("suspendTenant", format!("{tenant}, reason: REQUESTED")),
        ("reactivateTenant", tenant),
        ("raiseClusterLevel", format!("to: {}", domain::Level::SPOKEN)),
    ]
}

fn of_tenant(ground: &Ground) -> Vec<(&'static str, String)> {
    let settings = "input: {timeZone: \"Europe/Berlin\", currency: \"EUR\", kinds: EXTENDED}";
    let provider =
        "name: \"Amber\", issuer: \"https://login.amber.example\", clientId: \"callboard\"";
    let new = "usr_0198000000007000800000000000000c";
    let ends = format!("expiresAt: \"{}\"", (Utc::now() + TimeDelta::hours(1)).to_rfc3339());
    let read = "permits: [{permission: \"entity.read\", when: {all: [{tag: \"amber\"}]}}]";
    vec![
        ("renameTenant", "name: \"Amber Ltd\"".to_owned()),
        ("configureTenant", settings.to_owned()),
        ("addProvider", format!("input: {{{provider}}}")),
        ("removeProvider", format!("providerId: \"{}\"", ground.provider)),
        ("closeTenant", String::new()),
        ("addMember", format!("input: {{memberId: \"{new}\", roles: [\"viewer\"]}}")),
        ("changeMemberRoles", format!("memberId: \"{BOTH}\", roles: [\"viewer\"]")),
        ("removeMember", format!("memberId: \"{BOTH}\"")),
        ("issueApiKey", format!("input: {{name: \"ci\", scope: [\"entity.read\"], {ends}}}")),
        ("revokeApiKey", format!("keyId: \"{new}\"")),
        ("inviteMember", format!("input: {{memberId: \"{BOTH}\"}}")),
        ("signOut", "input: {everywhere: true}".to_owned()),
        ("defineRole", format!("role: \"amber-two\", {read}")),
        ("changeRole", format!("role: \"amber-readers\", {read}")),
        ("retireRole", "role: \"amber-readers\"".to_owned()),
    ]
}

fn of_catalog(a: &Seeded) -> Vec<(&'static str, String)> {
    let descriptor = "{apiVersion: \"backstage.io/v1alpha1\", kind: \"Component\",
        metadata: {name: \"new\"}, spec: {type: \"service\", lifecycle: \"production\",
        owner: \"group:default/amber-team\"}}";
    let target = "input: {kind: URL, target: \"https://example.org/amber.yaml\"}";
    vec![
        ("applyEntities", format!("input: {{changes: [{{put: {{descriptor: {descriptor}}}}}]}}")),
        ("registerLocation", target.to_owned()),
        ("deregisterLocation", format!("location: \"{}\"", a.location)),
    ]
}

fn of_billing(ground: &Ground) -> Vec<(&'static str, String)> {
    let Seeded { customer, plan, subscription, .. } = &ground.a;
    let terms = "terms: {name: \"Amber\", currency: \"EUR\", interval: {unit: MONTH}, items: [
        {key: \"base\", description: \"Base\", price: {flat: {unit: \"1\"}}}]}";
    let meter = "input: {key: \"calls\", name: \"Calls\", unit: \"call\", aggregation: COUNT}";
    let entry = "entries: [{source: \"s\", id: \"2\", meter: \"amber.requests\", value: \"1\"}]";
    let subscription = format!("subscriptionId: \"{subscription}\"");
    vec![
        ("openCustomer", "input: {role: CUSTOMER, name: \"Amber\"}".to_owned()),
        ("changeCustomer", format!("input: {{customerId: \"{customer}\", name: \"Amber\"}}")),
        ("closeCustomer", format!("customerId: \"{}\"", ground.idle_customer)),
        ("publishPlanVersion", terms.to_owned()),
        ("retirePlan", format!("planId: \"{plan}\"")),
        ("startSubscription", format!("customerId: \"{customer}\", planId: \"{plan}\"")),
        ("changePlan", format!("{subscription}, planId: \"{plan}\"")),
        ("cancelSubscription", format!("{subscription}, when: NOW")),
        ("undoCancellation", subscription),
        ("defineMeter", meter.to_owned()),
        ("archiveMeter", "key: \"amber.requests\"".to_owned()),
        ("recordUsage", entry.to_owned()),
    ]
}

fn live() -> Vec<Door> {
    let fields = [("entityChanged", "{ reference }"), ("events", "(afterSequence: 0) { type }")];
    let door = |(field, rest): (&str, &str)| {
        let document = format!("subscription {{ {field}{rest} }}");
        (format!("SubscriptionRoot.{field}"), Way::Live { document })
    };
    fields.map(door).into()
}

/// A path of the router has the same name there, so that it is seen to have a row.
fn routes(ground: &Ground) -> Vec<Door> {
    let entry =
        "{\"source\": \"amber\", \"id\": \"1\", \"meter\": \"amber.requests\", \"value\": 1}";
    let tenant = format!("{{\"tenant\": \"{}\"}}", ground.site.a.tenant);
    let get = |path: &'static str| (path, "GET", path.to_owned(), None);
    let (rebuild, resume) =
        ("/api/v1/projections/{model}/rebuild", "/api/v1/projections/{model}/resume");
    let range = "?from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z";
    let (accept, password) = ("/api/v1/invites/accept", "/api/v1/account/password");
    let (oidc, callback) =
        ("/api/v1/sign-in/oidc/{provider}", "/api/v1/sign-in/oidc/{provider}/callback");
    let token = "/api/v1/sign-in/oidc/{provider}/token";
    let at = |path: &str| path.replace("{provider}", &ground.provider);
    // Whoever asks first is the first operator, and then everybody has their password.
    let with = |begin: &str, login: &str| {
        format!("{{{begin}\"login\": \"{login}\", \"password\": \"{PASSWORD}\"}}")
    };
    let setup = with(&format!("\"token\": \"{}\", ", ground.setup_token), "amber");
    let invite = with(&format!("\"invite\": \"{INVITE}\", "), "<login>");
    let change = format!("{{\"current\": \"{PASSWORD}\", \"new\": \"{PASSWORD}\"}}");
    let again = format!("{{\"password\": \"{PASSWORD}\"}}");
    let (totp, recovery) = ("/api/v1/account/totp", "/api/v1/account/recovery-codes");
    let (confirm, remove) = ("/api/v1/account/totp/confirm", "/api/v1/account/totp/remove");
    let shown = format!("{{\"token\": \"{}\"}}", ground.program);
    let schema = "/schemas/events/entity.updated.v1.json";
    let doors = [
        ("/api/v1/usage", "GET", format!("/api/v1/usage{range}"), None),
        ("/api/v1/usage", "POST", "/api/v1/usage".to_owned(), Some(entry.to_owned())),
        get("/api/v1/events"),
        get("/api/v1/audit/export"),
        get("/api/v1/audit/keys"),
        get("/api/v1/projections"),
        (rebuild, "POST", rebuild.replace("{model}", "analytics"), None),
        (resume, "POST", resume.replace("{model}", "analytics"), Some(tenant)),
        ("/api/v1/setup", "POST", "/api/v1/setup".to_owned(), Some(setup)),
        ("/api/v1/sign-in", "POST", "/api/v1/sign-in".to_owned(), Some(with("", "amber"))),
        (accept, "POST", accept.to_owned(), Some(invite)),
        (oidc, "GET", at(oidc), None),
        (oidc, "POST", at(oidc), Some("{}".to_owned())),
        (callback, "GET", at(callback), None),
        (token, "POST", at(token), Some(shown)),
        (password, "PUT", password.to_owned(), Some(change)),
        get("/api/v1/account"),
        (totp, "POST", totp.to_owned(), Some(again.clone())),
        (confirm, "POST", confirm.to_owned(), Some("{\"code\": \"x\"}".to_owned())),
        (remove, "POST", remove.to_owned(), Some(again.clone())),
        (recovery, "POST", recovery.to_owned(), Some(again)),
        get("/metrics"),
        get("/api/v1/openapi.json"),
        get("/api/v1/asyncapi.json"),
        ("/schemas/events/{file}", "GET", schema.to_owned(), None),
        get("/healthz"),
        get("/readyz"),
        get("/graphiql"),
        get("/nothing"),
        // The last one: whoever is in a session is in it no longer.
        ("/api/v1/session", "DELETE", "/api/v1/session".to_owned(), None),
    ];
    let door = |(name, method, path, body)| {
        (format!("{method} {name}"), Way::Route { method, path, body })
    };
    doors.map(door).into()
}
