mod wire;

use super::*;
use crate::member::Method;
use crate::principal::{Need, Permission};
use crate::role::BuiltIn;

const TENANT: TenantId = TenantId::from_digest([1; 16]);
const CUSTOMER: CustomerId = CustomerId::from_digest([2; 16]);
const PLAN: PlanId = PlanId::from_digest([3; 16]);
const SUBSCRIPTION: SubscriptionId = SubscriptionId::from_digest([4; 16]);

/// The one place that knows how an operation is checked.
#[track_caller]
fn check(operation: &Operation, violations: &[&str]) {
    let found: Vec<String> = operation.violations().iter().map(ToString::to_string).collect();
    assert_eq!(found, violations);
}

fn open(role: Role, name: &str, contact: Option<&str>) -> Operation {
    Operation::OpenCustomer {
        customer: CUSTOMER,
        role,
        name: name.to_owned(),
        contact: contact.map(str::to_owned),
        currency: None,
        time_zone: None,
    }
}

fn entry(id: &str) -> UsageEntry {
    UsageEntry {
        source: "gateway".to_owned(),
        id: id.to_owned(),
        meter: "api.calls".parse().unwrap(),
        customer: None,
        at: None,
        value: 1.into(),
        dimensions: [].into(),
    }
}

#[test]
fn an_account_has_a_name_and_may_have_an_address() {
    check(&open(Role::Customer, "Acme", None), &[]);
    check(&open(Role::CostCentre, "Acme", Some("billing@example.com")), &[]);
    check(
        &open(Role::Itself, "", None),
        &[
            "role: the tenant's own account is opened with the tenant",
            "name: expected 1 to 120 characters, got 0",
        ],
    );
    for contact in ["billing", "@example.com", "billing@", "a@b@c", "a b@c"] {
        let change = Operation::ChangeCustomer {
            customer: CUSTOMER,
            name: "Acme".to_owned(),
            contact: Some(contact.to_owned()),
        };
        check(&change, &["contact: expected an e-mail address like `billing@example.com`"]);
    }
}

#[test]
fn a_host_is_a_name_that_can_lead_here() {
    let add = |host: &str| Operation::AddHost { tenant: TENANT, host: host.parse().unwrap() };
    for host in ["portal.example.com", "a.b.c.example", "127.example.org", "local.example.org"] {
        check(&add(host), &[]);
    }
    for host in ["127.0.0.1", "10.0.0.300", "1.2", "example.42"] {
        let told =
            format!("host: expected a name like `portal.example.com`, got the address `{host}`");
        check(&add(host), &[&told]);
    }
    for host in ["app.localhost", "printer.local", "api.internal", "x.home.arpa"] {
        let last = host.rsplit('.').next().unwrap();
        let told = format!(
            "host: expected a name that everybody can resolve, `.{last}` is reserved, got `{host}`"
        );
        check(&add(host), &[&told]);
        let remove = Operation::RemoveHost { tenant: TENANT, host: host.parse().unwrap() };
        check(&remove, &[]);
    }
}

#[test]
fn a_request_holds_at_least_one_thing_and_a_bounded_number() {
    let remove = |it: usize| EntityChange::Remove {
        reference: format!("component:default/c{it}"),
        expected: ExpectedRevision::Any,
    };
    let apply = |count| Operation::ApplyEntities { changes: (0..count).map(remove).collect() };
    check(&apply(0), &["changes: expected at least one, got none"]);
    check(&apply(500), &[]);
    check(&apply(501), &["changes: expected at most 500, got 501"]);

    let record = |count: usize| {
        let entries = (0..count).map(|it| entry(&it.to_string())).collect();
        Operation::RecordUsage { entries }
    };
    check(&record(0), &["entries: expected at least one, got none"]);
    check(&record(1_000), &[]);
    check(&record(1_001), &["entries: expected at most 1000, got 1001"]);
}

#[test]
fn a_member_has_roles_and_a_role_of_the_tenant_a_name_of_its_own() {
    let member = ActorId::from_digest([6; 16]);
    let add = |member, name: &str, roles| Operation::AddMember {
        member,
        name: Some(name.to_owned()),
        roles,
    };
    let viewer = || BTreeSet::from([RoleName::from(BuiltIn::Viewer)]);
    check(&add(member, "Ada", viewer()), &[]);
    check(
        &add(ActorId::SYSTEM, "", BTreeSet::new()),
        &[
            "member: Callboard itself is a member of nothing",
            "name: expected 1 to 120 characters, got 0",
            "roles: expected at least one, got none",
        ],
    );
    let retire = Operation::RetireRole { role: RoleName::from(BuiltIn::Owner) };
    check(&retire, &["role: `owner` is built in; take another name"]);
    let define = Operation::DefineRole { role: "team".parse().unwrap(), permits: Vec::new() };
    check(&define, &["permits: expected at least one, got none"]);
}

#[test]
fn nothing_that_lets_somebody_in_lasts_longer_than_it_may() {
    let member = ActorId::from_digest([6; 16]);
    let secret = Digest([1; 16]);
    let invite = |lifetime| Operation::InviteMember { member, secret, lifetime };
    let sign_in = |methods: &[Method], lifetime| Operation::SignIn {
        session: SessionId::from_digest([7; 16]),
        asked: SignIn {
            secret,
            methods: methods.iter().copied().collect(),
            proved_s_ago: None,
            lifetime,
            ends_others: false,
            term: None,
        },
    };
    check(&invite(Lifetime::hours(7 * 24)), &[]);
    check(
        &invite(Lifetime::seconds(604_801)),
        &["lifetime: expected 1 to 604800 seconds, got 604801"],
    );
    check(&sign_in(&[Method::Pwd], Lifetime::hours(12)), &[]);
    check(
        &sign_in(&[], Lifetime::hours(u32::MAX)),
        &[
            "methods: expected at least one, got none",
            "lifetime: expected 1 to 43200 seconds, got 4294967295",
        ],
    );
    check(
        &sign_in(&[Method::Pwd], Lifetime::seconds(0)),
        &["lifetime: expected 1 to 43200 seconds, got 0"],
    );
}

#[test]
fn a_provider_has_an_address_that_nobody_else_can_answer_at() {
    let add = |issuer: &str, client_id: &str, scopes: &[&str]| Operation::AddProvider {
        provider: ProviderId::from_digest([1; 16]),
        described: Provider {
            name: "Login".parse().unwrap(),
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            scopes: scopes.iter().map(|it| (*it).to_owned()).collect(),
        },
    };
    for issuer in [
        "https://login.example.com",
        "https://login.example.com:8443/realms/acme/",
        "http://localhost:9000",
        "http://127.0.0.1/a",
        "http://[::1]:80",
    ] {
        check(&add(issuer, "callboard", &["profile"]), &[]);
    }
    let expected = "issuer: expected an address like `https://login.example.com/realm`, or one that \
                    begins with `http://` and leads to this machine";
    for issuer in [
        "login.example.com",
        "https://",
        "http://login.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "https://login.example.com?a",
        "https://login.example.com#a",
        "https://login@example.com",
        "https://login.exämple.com",
        "ftp://localhost",
    ] {
        check(&add(issuer, "callboard", &[]), &[expected]);
    }
    check(
        &add("https://a.example", "", &["a b"]),
        &[
            "clientId: expected 1 to 255 characters, got 0",
            "scopes: expected scopes like `profile`, got `a b`",
        ],
    );
}

#[test]
fn a_violation_is_found_at_its_path() {
    let entries = vec![entry("1"), entry("")];
    check(
        &Operation::RecordUsage { entries },
        &["entries[1].id: expected 1 to 128 characters, got 0"],
    );
    let define = Operation::DefineMeter {
        key: "api.calls".parse().unwrap(),
        name: String::new(),
        unit: "call".to_owned(),
        aggregation: Aggregation::Sum,
    };
    check(&define, &["name: expected 1 to 120 characters, got 0"]);
    let (subscription, plan, version) = (SUBSCRIPTION, PLAN, Some(0));
    let change = Operation::ChangePlan { subscription, plan, version };
    check(&change, &["version: versions count from 1, got 0"]);
}

#[test]
fn an_operation_has_the_name_and_permission_of_what_it_does() {
    let suspend = Operation::SuspendTenant { tenant: TENANT, reason: SuspensionReason::NonPayment };
    let (usual, fresh) = (Need::Permission, Need::Fresh);
    for (operation, name, need) in [
        (suspend, "suspendTenant", usual(Permission::DirectoryWrite)),
        (Operation::CloseTenant, "closeTenant", fresh(Permission::TenantWrite)),
        (open(Role::Customer, "Acme", None), "openCustomer", usual(Permission::CustomerWrite)),
        (Operation::RetirePlan { plan: PLAN }, "retirePlan", fresh(Permission::PlanWrite)),
        (
            Operation::UndoCancellation { subscription: SUBSCRIPTION },
            "undoCancellation",
            fresh(Permission::SubscriptionWrite),
        ),
        (
            Operation::RecordUsage { entries: Vec::new() },
            "recordUsage",
            usual(Permission::UsageWrite),
        ),
        (
            Operation::ExportAudit { part: Part::default() },
            "exportAudit",
            fresh(Permission::AuditRead),
        ),
    ] {
        assert_eq!((operation.name(), operation.need()), (name, need));
    }
}

#[test]
fn a_part_of_the_trail_is_named_in_few_words() {
    let export = |part| Operation::ExportAudit { part };
    check(&export(Part::default()), &[]);
    let types = vec!["a".repeat(100); 100];
    check(&export(Part { types, ..Part::default() }), &[]);
    let (from, types) = (Some(String::new()), vec!["a".repeat(101); 101]);
    let found = export(Part { from, types, ..Part::default() }).violations();
    assert_eq!(found.len(), 102, "{:?}", &found[..2]);
}
