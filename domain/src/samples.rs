//! One event of every type, the same every time, for tests of whoever reads or stores events.
//!
//! Not built into the product: the feature `samples` turns it on for tests of other crates.

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::blob::BlobName;
use crate::calendar::{Interval, Period, Unit};
use crate::catalog::{KindSet, StoredDescriptor};
use crate::customer::Role;
use crate::event::Event;
use crate::id::{
    ActorId, CustomerId, EntityUid, LocationId, PlanId, ProviderId, RoleId, SessionId, SubjectId,
    TenantId,
};
use crate::level::Level;
use crate::location::LocationKind;
use crate::meter::{Aggregation, MeterKey};
use crate::personal::{Content, Digest, Personal};
use crate::plan::{Enforcement, Item, Price, Quota, QuotaOf, Terms, Tier};
use crate::principal::{Permission, Predicate};
use crate::reaction::Reaction;
use crate::role::{BuiltIn, Permit, RoleRef};
use crate::subscription::Sold;
use crate::tenant::{Settings, SuspensionReason};
use crate::usage::{Consumption, Entry, Timed, Verdict};
use crate::{audit, customer, directory, entity, location, member, meter, plan, reaction};
use crate::{request, role, subscription, tenant, usage};

/// The tenant of the samples.
pub const TENANT: TenantId = TenantId::from_digest([0x10; 16]);

/// The billing account of the samples.
pub const CUSTOMER: CustomerId = CustomerId::from_digest([0x20; 16]);

/// The plan of the samples.
pub const PLAN: PlanId = PlanId::from_digest([0x30; 16]);

/// The location of the samples.
pub const LOCATION: LocationId = LocationId::from_digest([0x40; 16]);

/// One event of every type, by noun in the order of [`Event`].
#[must_use]
pub fn events() -> Vec<Event> {
    let mut events = Vec::new();
    events.extend(of_directory().map(Event::Directory));
    events.extend(of_tenant().map(Event::Tenant));
    events.extend(of_member().map(Event::Member));
    events.extend(of_role().map(Event::Role));
    events.extend(of_customer().map(Event::Customer));
    events.extend(of_entity().map(Event::Entity));
    events.extend(of_location().map(Event::Location));
    events.extend(of_plan().map(Event::Plan));
    events.extend(of_subscription().map(Event::Subscription));
    events.extend(of_meter().map(Event::Meter));
    events.push(Event::Usage(of_usage()));
    events.push(Event::Reaction(reaction::Event::Advanced {
        reaction: Reaction::FollowDirectory,
        source_tenant: TenantId::SYSTEM,
        source_sequence: 41,
    }));
    let verdicts = vec![(998, Verdict::Duplicate), (2, Verdict::Conflict)];
    events.push(Event::Request(request::Event::Noted { verdicts }));
    events.push(Event::Audit(audit::Event::Exported {
        part: audit::Part {
            from: Some("1".to_owned()),
            to: Some("2026-02-01T00:00:00Z".to_owned()),
            actor: Some(ActorId::from_digest([0x80; 16])),
            types: vec!["entity".to_owned(), "member.removed.v1".to_owned()],
            after: Some(4_096),
        },
    }));
    events
}

fn of_directory() -> [directory::Event; 8] {
    use directory::Event;

    let tenant = TENANT;
    let host: directory::Host = read("portal.acme.example");
    [
        Event::TenantRegistered {
            tenant,
            slug: read("acme"),
            name: read("Acme"),
            partition: 0,
            owner: Some(ActorId::from_digest([0x80; 16])),
            at: january(1),
        },
        Event::SlugChanged { tenant, slug: read("acme-group") },
        Event::HostAdded { tenant, host: host.clone() },
        Event::HostRemoved { tenant, host },
        Event::TenantSuspended { tenant, reason: SuspensionReason::NonPayment },
        Event::TenantReactivated { tenant },
        Event::TenantClosed { tenant },
        Event::LevelRaised { to: Level::FIRST.next(), at: january(31) },
    ]
}

fn of_tenant() -> [tenant::Event; 8] {
    use tenant::Event;

    let settings =
        |kinds| Settings { time_zone: chrono_tz::Europe::Berlin, currency: read("EUR"), kinds };
    let provider = ProviderId::from_digest([0x90; 16]);
    let described = tenant::Provider {
        name: read("Acme Sign-in"),
        issuer: "https://login.acme.example".to_owned(),
        client_id: "callboard".to_owned(),
        scopes: ["profile".to_owned()].into(),
    };
    [
        Event::Created {
            slug: read("acme"),
            name: read("Acme"),
            settings: settings(KindSet::Core),
            at: january(1),
        },
        Event::Renamed { name: read("Acme Group") },
        Event::Configured { settings: settings(KindSet::Extended) },
        Event::ProviderAdded { provider, described },
        Event::ProviderRemoved { provider },
        Event::Suspended { reason: SuspensionReason::Security },
        Event::Reactivated {},
        Event::Closed { at: january(31) },
    ]
}

fn of_member() -> [member::Event; 9] {
    use member::{Event, Method};

    let own = RoleRef::Own(RoleId::from_digest([0x70; 16]));
    let key = ActorId::from_digest([0x80; 16]);
    let issued = member::ApiKey {
        name: read("nightly-import"),
        scope: vec![Permission::EntityWrite, Permission::EntityRead],
        secret: Digest([0x81; 16]),
        expires_at: february(15),
    };
    let by = Some(ActorId::from_digest([0x85; 16]));
    let invite = member::Invite { secret: Digest([0x82; 16]), expires_at: february(8), by };
    let session = SessionId::from_digest([0x83; 16]);
    let opened = member::Session {
        secret: Digest([0x84; 16]),
        methods: [Method::Pwd, Method::Otp].into(),
        since: february(2),
        proved_at: None,
        expires_at: february(3),
    };
    [
        Event::Added { name: Some(sealed(6)), roles: [RoleRef::BuiltIn(BuiltIn::Viewer)].into() },
        Event::RolesChanged { roles: [RoleRef::BuiltIn(BuiltIn::Owner), own].into() },
        Event::ApiKeyIssued { key, issued },
        Event::ApiKeyRevoked { key },
        Event::Invited { invite },
        Event::SignedIn { session, opened },
        Event::SignedOut { session },
        Event::CredentialChanged {
            change: member::CredentialChange::ProviderLinked,
            provider: Some(ProviderId::from_digest([0x90; 16])),
        },
        Event::Removed {},
    ]
}

fn of_role() -> [role::Event; 3] {
    use role::Event;

    let text = str::to_owned;
    let condition = Predicate::Any(vec![
        Predicate::All(vec![
            Predicate::Kind(text("component")),
            Predicate::OwnedBy(text("group:default/payments")),
        ]),
        Predicate::Label { key: text("tier"), value: Some(text("gold")) },
        Predicate::Annotation { key: text("example.com/shared"), value: None },
        Predicate::Tag(text("public")),
    ]);
    let read = Permit::only(Permission::EntityRead, condition);
    [
        Event::Defined {
            name: self::read("payments-team"),
            permits: vec![Permit::everywhere(Permission::TenantRead), read],
        },
        Event::Changed { permits: vec![Permit::everywhere(Permission::EntityRead)] },
        Event::Retired {},
    ]
}

fn of_customer() -> [customer::Event; 3] {
    use customer::Event;

    [
        Event::Opened {
            role: Role::Customer,
            name: sealed(1),
            contact: Some(sealed(2)),
            currency: read("EUR"),
            time_zone: chrono_tz::America::New_York,
        },
        Event::Changed { name: sealed(3), contact: None },
        Event::Closed {},
    ]
}

fn of_entity() -> [entity::Event; 3] {
    use entity::Event;

    let uid = EntityUid::from_digest([0x50; 16]);
    let user = json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "User",
        "metadata": {"name": {"$personal": 0}},
        "spec": {"profile": {"$personal": 1}, "memberOf": ["platform"]},
    });
    let api = json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "API",
        "metadata": {"name": "checkout", "tags": ["java"]},
        "spec": {"$large": 0},
    });
    [
        Event::Registered {
            uid,
            location: Some(LOCATION),
            descriptor: StoredDescriptor {
                public: user.into(),
                personal: vec![sealed(4), sealed(5)],
                large: Vec::new(),
            },
            digest: Digest([0x51; 16]),
        },
        Event::Updated {
            location: None,
            descriptor: StoredDescriptor {
                public: api.into(),
                personal: Vec::new(),
                large: vec![BlobName { hash: [0x53; 32], length: 1_048_576 }],
            },
            digest: Digest([0x52; 16]),
        },
        Event::Deregistered { uid },
    ]
}

fn of_location() -> [location::Event; 2] {
    use location::Event;

    let target = "https://example.com/acme/catalog-info.yaml".to_owned();
    [Event::Registered { kind: LocationKind::Url, target }, Event::Deregistered {}]
}

fn of_plan() -> [plan::Event; 2] {
    use plan::Event;

    [Event::VersionPublished { version: 1, terms: terms() }, Event::Retired {}]
}

fn of_subscription() -> [subscription::Event; 6] {
    use subscription::{CancelReason, Event};

    let sold = |version| Sold { plan: PLAN, version, terms: terms() };
    [
        Event::Started {
            customer: CUSTOMER,
            sold: sold(1),
            time_zone: chrono_tz::America::New_York,
            anchor: january(15),
            trial_end: Some(january(15)),
            period_end: january(15),
            at: january(1),
        },
        Event::PlanChanged { sold: sold(2), at: january(20) },
        Event::CancellationScheduled { at: february(15) },
        Event::CancellationUndone {},
        Event::Renewed { period: 0, start: january(15), end: february(15) },
        Event::Cancelled { at: february(15), reason: CancelReason::Requested },
    ]
}

fn of_meter() -> [meter::Event; 2] {
    use meter::Event;

    [
        Event::Defined {
            key: read("api.calls"),
            name: "API calls".to_owned(),
            unit: "call".to_owned(),
            aggregation: Aggregation::Sum,
        },
        Event::Archived {},
    ]
}

fn of_usage() -> usage::Event {
    let entry = |id: &str, timed, value| Entry {
        source: "gateway".into(),
        id: id.into(),
        meter: read("api.calls"),
        customer: CUSTOMER,
        at: january(20),
        timed,
        value: read(value),
        dimensions: [
            ("entity".into(), "component:default/checkout".into()),
            ("region".into(), "eu-central".into()),
        ]
        .into(),
    };
    usage::Event::Recorded {
        entries: vec![
            entry("req-1", Timed::BySource, "12.5"),
            entry("req-2", Timed::ByReceipt, "-2"),
        ],
        others: vec![(2, Verdict::Duplicate), (3, Verdict::UnknownMeter)],
        consumed: vec![Consumption {
            customer: CUSTOMER,
            meter: read("api.calls"),
            period: Period { start: january(15), end: february(15) },
            amount: read("10.5"),
        }],
    }
}

/// Terms in which every price model, quota and enforcement occurs.
#[must_use]
pub fn terms() -> Terms {
    let meter = || read::<MeterKey>("api.calls");
    let item = |key: &str, price| Item {
        key: key.to_owned(),
        description: format!("What {key} costs"),
        price,
    };
    let tiers = || {
        let tier = |up_to: Option<&str>, unit, flat| Tier {
            up_to: up_to.map(read),
            unit: read(unit),
            flat: read(flat),
        };
        vec![tier(Some("1000"), "0.01", "0"), tier(None, "0.005", "1")]
    };
    Terms {
        name: "Team".to_owned(),
        currency: read("EUR"),
        interval: Interval { unit: Unit::Month, count: 1 },
        items: vec![
            item("seats", Price::Flat { unit: read("12.5"), quantity: read("3") }),
            item("calls", Price::PerUnit { meter: meter(), unit: read("0.000012") }),
            item("steps", Price::Graduated { meter: meter(), tiers: tiers() }),
            item("bulk", Price::Volume { meter: meter(), tiers: tiers() }),
            item(
                "packs",
                Price::Package {
                    meter: meter(),
                    size: read("100"),
                    free: read("50"),
                    unit: read("2"),
                },
            ),
        ],
        quotas: vec![
            Quota { of: QuotaOf::Entities, limit: read("1000"), enforcement: Enforcement::Soft },
            Quota {
                of: QuotaOf::Usage { meter: meter() },
                limit: read("100000"),
                enforcement: Enforcement::Hard,
            },
        ],
        trial_days: 14,
    }
}

/// Some personal text, sealed; nobody has the key.
fn sealed(mark: u8) -> Personal {
    Personal {
        subject: SubjectId::from_digest([0x60; 16]),
        digest: Digest([mark; 16]),
        content: Content::Sealed(vec![mark; 44].into()),
    }
}

fn january(day: i64) -> DateTime<Utc> {
    /// The midnight before 1 January 2026 in UTC, in seconds since 1970.
    const EVE: i64 = 1_767_139_200;
    DateTime::from_timestamp(EVE + day * 86_400, 0).expect("a day of 2026 is in range")
}

fn february(day: i64) -> DateTime<Utc> {
    january(31 + day)
}

fn read<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("the samples are well-formed")
}

#[cfg(test)]
mod plain_texts;
#[cfg(test)]
mod tests;
