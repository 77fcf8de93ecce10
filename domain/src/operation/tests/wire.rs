//! Operations pass from one process to another and lose nothing.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CUSTOMER, PLAN, SUBSCRIPTION, TENANT, entry, open};
use crate::calendar::{Interval, Unit};
use crate::catalog::KindSet;
use crate::id::{ActorId, LocationId, ProviderId, SessionId};
use crate::member::{ApiKey, Lifetime, Method, SignIn, Term};
use crate::operation::*;
use crate::personal::Digest;
use crate::plan::{Enforcement, Item, Price, Quota, QuotaOf, Tier};
use crate::principal::{Permission, Predicate};
use crate::role::RoleName;

const ACTOR: ActorId = ActorId::from_digest([6; 16]);

const LOCATION: LocationId = LocationId::from_digest([5; 16]);

const SESSION: SessionId = SessionId::from_digest([7; 16]);

const DIGEST: Digest = Digest([8; 16]);

const PROVIDER: ProviderId = ProviderId::from_digest([9; 16]);

fn provider() -> Provider {
    Provider {
        name: "Acme „Anmeldung“".parse().unwrap(),
        issuer: "https://login.acme.example/realm".into(),
        client_id: "callboard \"1\"".into(),
        scopes: ["profile", "groups"].map(str::to_owned).into(),
    }
}

fn sign_in() -> SignIn {
    let methods = Method::ALL.into();
    let lifetime = Lifetime::seconds(u32::MAX);
    let (proved_s_ago, ends_others, term) = (None, false, None);
    SignIn { secret: DIGEST, methods, proved_s_ago, lifetime, ends_others, term }
}

/// Every operation at least once, with and without what may be left out.
fn samples() -> Vec<Operation> {
    let (tenant, customer, plan, subscription) = (TENANT, CUSTOMER, PLAN, SUBSCRIPTION);
    let slug = || "acme".parse().unwrap();
    let name: Name = "Acme „Räder“ \"&\" Söhne".parse().unwrap();
    let host = || "portal.example.com".parse().unwrap();
    let mut samples = vec![
        Operation::RegisterTenant { tenant, slug: slug(), name: name.clone(), owner: None },
        Operation::RegisterTenant { tenant, slug: slug(), name: name.clone(), owner: Some(ACTOR) },
        Operation::AddMember {
            member: ACTOR, name: Some("Ada „Räder“".into()), roles: roles()
        },
        Operation::AddMember { member: ACTOR, name: None, roles: [].into() },
        Operation::ChangeMemberRoles { member: ACTOR, roles: roles() },
        Operation::RemoveMember { member: ACTOR },
        Operation::IssueApiKey { key: ACTOR, asked: api_key() },
        Operation::RevokeApiKey { member: None, key: ACTOR },
        Operation::RevokeApiKey { member: Some(ACTOR), key: ACTOR },
        Operation::InviteMember { member: ACTOR, secret: DIGEST, lifetime: Lifetime::hours(1) },
        Operation::SignOut { member: None, session: None },
        Operation::SignOut { member: Some(ACTOR), session: Some(SESSION) },
        Operation::DefineRole { role: "team".parse().unwrap(), permits: permits() },
        Operation::ChangeRole { role: "team".parse().unwrap(), permits: Vec::new() },
        Operation::RetireRole { role: "team".parse().unwrap() },
        Operation::ChangeSlug { tenant, slug: slug() },
        Operation::AddHost { tenant, host: host() },
        Operation::RemoveHost { tenant, host: host() },
        Operation::SuspendTenant { tenant, reason: SuspensionReason::NonPayment },
        Operation::ReactivateTenant { tenant },
        Operation::RaiseClusterLevel { to: Level(2) },
        Operation::RenameTenant { name },
        Operation::ConfigureTenant { settings: settings() },
        Operation::AddProvider { provider: PROVIDER, described: provider() },
        Operation::RemoveProvider { provider: PROVIDER },
        Operation::CloseTenant,
        open(Role::CostCentre, "Räder", None),
        Operation::ChangeCustomer { customer, name: "\u{0}\n".into(), contact: Some("a@b".into()) },
        Operation::CloseCustomer { customer },
        Operation::ApplyEntities {
            changes: changes(json!({ "spec": { "a": [1, -2, 0.1, null] } })),
        },
        Operation::RegisterLocation { kind: LocationKind::Url, target: "https://x".into() },
        Operation::DeregisterLocation { location: LOCATION },
        Operation::PublishPlanVersion { plan, is_new: true, terms: terms() },
        Operation::RetirePlan { plan },
        Operation::StartSubscription { subscription, customer, plan, version: Some(u32::MAX) },
        Operation::ChangePlan { subscription, plan, version: None },
        Operation::UndoCancellation { subscription },
        Operation::ArchiveMeter { key: "api.calls".parse().unwrap() },
        Operation::RecordUsage { entries: vec![entry("1"), full_entry("-0.000000000001")] },
    ];
    samples.extend(of_sign_in());
    samples.extend(
        [CancelWhen::Now, CancelWhen::PeriodEnd]
            .map(|when| Operation::CancelSubscription { subscription, when }),
    );
    let (currency, time_zone) = (Some(settings().currency), Some(settings().time_zone));
    let (name, contact) = ("Acme".to_owned(), Some("a@b".to_owned()));
    let role = Role::Customer;
    samples.push(Operation::OpenCustomer { customer, role, name, contact, currency, time_zone });
    let distinct = Aggregation::UniqueCount { dimension: "region".into() };
    samples.extend([Aggregation::Latest, distinct].map(|aggregation| {
        let (key, name, unit) = ("api.calls".parse().unwrap(), "Calls".into(), "call".into());
        Operation::DefineMeter { key, name, unit, aggregation }
    }));
    samples
}

/// Those of people who prove who they are, and of what they take away.
fn of_sign_in() -> Vec<Operation> {
    vec![
        Operation::SignIn { session: SESSION, asked: sign_in() },
        Operation::SignIn { session: SESSION, asked: SignIn { term: Some(Term(2)), ..sign_in() } },
        Operation::SignIn {
            session: SESSION,
            asked: SignIn { proved_s_ago: Some(0), ..sign_in() },
        },
        Operation::ChangeCredential {
            term: Term(1),
            change: CredentialChange::SecondFactorSet,
            provider: None,
        },
        Operation::ChangeCredential {
            term: Term(2),
            change: CredentialChange::ProviderLinked,
            provider: Some(PROVIDER),
        },
        Operation::ExportAudit { part: Part::default() },
        Operation::ExportAudit {
            part: Part {
                from: Some("1".into()),
                to: Some("2026-12-01T00:00:00Z".into()),
                actor: Some(ACTOR),
                types: vec!["entity".into()],
                after: Some(u64::MAX),
            },
        },
    ]
}

fn api_key() -> ApiKey {
    ApiKey {
        name: "ci".parse().unwrap(),
        scope: vec![Permission::EntityRead, Permission::UsageWrite],
        secret: Digest([7; 16]),
        expires_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
    }
}

fn roles() -> BTreeSet<RoleName> {
    ["owner", "team"].map(|it| it.parse().unwrap()).into()
}

/// With every condition there is.
fn permits() -> Vec<Permit> {
    let text = || "a/b \"c\"".to_owned();
    let condition = Predicate::All(vec![
        Predicate::Any(vec![Predicate::Kind(text()), Predicate::OwnedBy(text())]),
        Predicate::Label { key: text(), value: None },
        Predicate::Annotation { key: text(), value: Some(text()) },
        Predicate::Tag(text()),
    ]);
    let read = Permit::only(Permission::EntityRead, condition);
    vec![read, Permit::everywhere(Permission::AuditRead)]
}

fn settings() -> Settings {
    Settings {
        time_zone: chrono_tz::Pacific::Apia,
        currency: "JPY".parse().unwrap(),
        kinds: KindSet::default(),
    }
}

fn changes(descriptor: Value) -> Vec<EntityChange> {
    use ExpectedRevision::{Any, Exact, Exists, None};

    let put = EntityChange::Put { descriptor, location: Some(LOCATION), expected: Exact(u64::MAX) };
    let remove = |expected| EntityChange::Remove { reference: "component:a/b".into(), expected };
    [put].into_iter().chain([Any, Exists, None].map(remove)).collect()
}

/// An entry with everything an entry can say.
fn full_entry(value: &str) -> UsageEntry {
    let at = DateTime::UNIX_EPOCH + TimeDelta::nanoseconds(1_234_567_890_123_456_789);
    UsageEntry {
        customer: Some(CUSTOMER),
        at: Some(at),
        value: value.parse().unwrap(),
        dimensions: [("zone".into(), "ä".into()), ("".into(), "".into())].into(),
        ..entry("full")
    }
}

/// Terms that are malformed in part: whether they may be is for the owner to say.
fn terms() -> Terms {
    let meter = || "api.calls".parse().unwrap();
    let unit = "0.000000000001".parse().unwrap();
    let tiers = || vec![Tier { up_to: None, unit, flat: 5.into() }];
    let prices = [
        Price::Flat { unit, quantity: 3.into() },
        Price::PerUnit { meter: meter(), unit },
        Price::Graduated { meter: meter(), tiers: tiers() },
        Price::Volume { meter: meter(), tiers: tiers() },
        Price::Package { meter: meter(), size: 0.into(), free: 7.into(), unit },
    ];
    let item = |price| Item { key: String::new(), description: "d".into(), price };
    let quota = |of| Quota { of, limit: 9.into(), enforcement: Enforcement::Soft };
    Terms {
        name: "Team".into(),
        currency: "EUR".parse().unwrap(),
        interval: Interval { unit: Unit::Week, count: 0 },
        items: prices.map(item).into(),
        quotas: vec![quota(QuotaOf::Entities), quota(QuotaOf::Usage { meter: meter() })],
        trial_days: u16::MAX,
    }
}

#[track_caller]
fn passes_whole(operation: &Operation) {
    let text = serde_json::to_string(operation).unwrap();
    let read: Operation = serde_json::from_str(&text).unwrap();
    assert_eq!(read, *operation, "{text}");
}

/// What an operation is called on the wire.
fn tag(operation: &Operation) -> String {
    match serde_json::to_value(operation).unwrap() {
        Value::String(tag) => tag,
        Value::Object(fields) => fields.keys().next().unwrap().clone(),
        other => panic!("{other}"),
    }
}

/// The variants there are, as the complaint about one that is not there lists them.
fn variants() -> BTreeSet<String> {
    let unknown = serde_json::from_value::<Operation>("nonsense".into()).unwrap_err().to_string();
    let (complaint, listed) = unknown.split_once(", expected one of ").unwrap();
    assert_eq!(complaint, "unknown variant `nonsense`");
    listed.split(", ").map(|it| it.trim_matches('`').to_owned()).collect()
}

#[test]
fn every_operation_passes_whole_and_under_the_name_it_has_in_the_api() {
    for operation in samples() {
        passes_whole(&operation);
        assert_eq!(tag(&operation), operation.name());
    }
    assert_eq!(samples().iter().map(tag).collect::<BTreeSet<_>>(), variants());
}

#[test]
fn what_a_newer_version_adds_is_ignored_and_what_it_cannot_do_is_named() {
    let newer = json!({"retirePlan": {"plan": PLAN.to_string(), "reason": "old"}});
    let read: Operation = serde_json::from_value(newer).unwrap();
    assert_eq!(read, Operation::RetirePlan { plan: PLAN });
    let newer = json!({"splitTenant": {}});
    let unknown = serde_json::from_value::<Operation>(newer).unwrap_err().to_string();
    assert!(unknown.starts_with("unknown variant `splitTenant`, expected one of"), "{unknown}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..8)
                .prop_map(|it| it.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn any_descriptor_passes_whole(descriptor in any_json()) {
        passes_whole(&Operation::ApplyEntities { changes: changes(descriptor) });
    }

    #[test]
    fn any_amount_passes_whole(units in any::<u32>(), fraction in 0_u64..1_000_000_000_000) {
        let value = format!("{units}.{fraction:012}");
        passes_whole(&Operation::RecordUsage { entries: vec![full_entry(&value)] });
    }
}
