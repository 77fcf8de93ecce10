//! What a snapshot stores: explicit types with a version, apart from those of the state.
//!
//! Never change one in a way that reads stored bytes differently without raising the fold
//! version. Values that events store too, like terms, are stored as their JSON: their format is
//! kept stable anyway.

mod access;
mod subscription;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::catalog::KindSet;
use domain::customer::{self, Customer, Role};
use domain::directory::{self, Directory, Host, Slug};
use domain::entity::Entity;
use domain::id::{
    ActorId, CustomerId, EntityId, EntityUid, LocationId, MeterId, PlanId, ProviderId, RoleId,
    SubscriptionId, TenantId,
};
use domain::location::Location;
use domain::meter::{self, Meter};
use domain::personal::Digest;
use domain::plan::{Plan, Terms};
use domain::quantity::Currency;
use domain::reaction::{self, Reaction, Reactions};
use domain::tenant::{self, Name, SuspensionReason, Tenant};
use domain::usage::{Consumption, Usage};
use domain::{Level, Stream};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::access::{MemberV1, RoleV1};
use self::subscription::{SubscriptionV1, subscription};
use crate::state::slot::Account;
use crate::state::{Held, Slot};

/// Why a row cannot be taken back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    #[error("an embedded value cannot be read")]
    Json(#[from] serde_json::Error),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaV1 {
    pub(crate) recorded: DateTime<Utc>,
    pub(crate) followed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TallyV1 {
    pub(crate) sequence: u64,
    pub(crate) link: [u8; 32],
    pub(crate) entities: u64,
    pub(crate) owners: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OutcomeV1 {
    pub(crate) tenant: u128,
    pub(crate) command: u128,
    pub(crate) request: u64,
    pub(crate) position: u64,
    /// In microseconds since 1970.
    pub(crate) at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SlotV1 {
    id: u128,
    revision: u64,
    held: HeldV1,
}

#[derive(Debug, Serialize, Deserialize)]
enum HeldV1 {
    Directory {
        level: Option<u32>,
        entries: Vec<(TenantId, EntryV1)>,
        slugs: Vec<(Slug, TenantId)>,
        hosts: Vec<(Host, TenantId)>,
    },
    /// The last is when it was closed.
    Tenant(StandingV1, Option<ProfileV1>, Option<DateTime<Utc>>),
    Member(MemberV1),
    Role(RoleV1),
    Customer(StandingV1, Option<AccountV1>, Vec<u128>),
    Entity(EntityV1),
    Location(StandingV1),
    Plan(StandingV1, Vec<String>),
    Subscription(SubscriptionV1),
    Meter(StandingV1, Option<DefinitionV1>),
    Usage(Vec<Consumption>),
    Reactions(Vec<(Reaction, TenantId, u64)>),
    Requests,
    Audit,
}

/// How far an aggregate's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StandingV1 {
    NotBegun,
    Active,
    Suspended(SuspensionReason),
    Ended,
}

#[derive(Debug, Serialize, Deserialize)]
struct EntryV1 {
    slug: Slug,
    name: Name,
    partition: u32,
    hosts: u16,
    standing: StandingV1,
}

#[derive(Debug, Serialize, Deserialize)]
struct ProfileV1 {
    slug: Slug,
    name: Name,
    time_zone: chrono_tz::Tz,
    currency: Currency,
    kinds: KindSet,
    /// Each a [`tenant::Provider`] in JSON.
    providers: Vec<(u128, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AccountV1 {
    role: Role,
    name: [u8; 16],
    contact: Option<[u8; 16]>,
    currency: Currency,
    time_zone: chrono_tz::Tz,
}

#[derive(Debug, Serialize, Deserialize)]
enum EntityV1 {
    NotRegistered,
    Registered { uid: u128, location: Option<u128>, digest: [u8; 16] },
    Deregistered,
}

#[derive(Debug, Serialize, Deserialize)]
struct DefinitionV1 {
    key: meter::MeterKey,
    name: String,
    unit: String,
    /// A [`meter::Aggregation`] in JSON.
    aggregation: String,
}

impl SlotV1 {
    pub(crate) fn of(stream: &Stream, slot: &Slot) -> Self {
        let id = match stream {
            Stream::Directory
            | Stream::Usage
            | Stream::Reactions
            | Stream::Requests
            | Stream::Audit => Uuid::nil(),
            Stream::Tenant(id) => id.0,
            Stream::Member(id) => id.0,
            Stream::Role(id) => id.0,
            Stream::Customer(id) => id.0,
            Stream::Entity(id) => id.0,
            Stream::Location(id) => id.0,
            Stream::Plan(id) => id.0,
            Stream::Subscription(id) => id.0,
            Stream::Meter(id) => id.0,
        };
        let held = match &slot.held {
            Held::Directory(it) => directory(it),
            Held::Tenant(it) => tenant(it),
            Held::Member(it) => HeldV1::Member(MemberV1::of(it)),
            Held::Role(it) => HeldV1::Role(RoleV1::of(it)),
            Held::Customer(it) => customer(it),
            Held::Entity(it) => HeldV1::Entity(entity(it)),
            Held::Location(it) => HeldV1::Location(match it {
                Location::NotRegistered => StandingV1::NotBegun,
                Location::Registered => StandingV1::Active,
                Location::Deregistered => StandingV1::Ended,
            }),
            Held::Plan(it) => plan(it),
            Held::Subscription(it) => HeldV1::Subscription(subscription(it)),
            Held::Meter(it) => meter(it),
            Held::Usage(it) => HeldV1::Usage(it.counters().collect()),
            Held::Reactions(it) => HeldV1::Reactions(it.handled().collect()),
            Held::Requests => HeldV1::Requests,
            Held::Audit => HeldV1::Audit,
        };
        Self { id: id.as_u128(), revision: slot.revision, held }
    }

    pub(crate) fn restore(self) -> Result<(Stream, Slot), RowError> {
        let Self { id, revision, held } = self;
        let id = Uuid::from_u128(id);
        let (stream, held) = match held {
            HeldV1::Directory { level, entries, slugs, hosts } => {
                let entries = entries.into_iter().map(|(tenant, it)| (tenant, it.restore()));
                let directory = Directory::from_parts(level.map(Level), entries, slugs, hosts);
                (Stream::Directory, Held::Directory(Box::new(directory)))
            }
            HeldV1::Tenant(standing, profile, closed_at) => {
                let state = restore_tenant(standing, profile, closed_at)?;
                (Stream::Tenant(TenantId(id)), Held::Tenant(Box::new(state)))
            }
            HeldV1::Member(it) => (Stream::Member(ActorId(id)), Held::Member(it.restore()?)),
            HeldV1::Role(it) => (Stream::Role(RoleId(id)), Held::Role(Box::new(it.restore()?))),
            HeldV1::Customer(standing, account, running) => {
                let customer = restore_customer(standing, account.as_ref());
                let running = running.into_iter().map(|it| SubscriptionId(Uuid::from_u128(it)));
                let account = Account { customer, running: running.collect() };
                (Stream::Customer(CustomerId(id)), Held::Customer(Box::new(account)))
            }
            HeldV1::Entity(it) => (Stream::Entity(EntityId(id)), Held::Entity(it.restore())),
            HeldV1::Location(standing) => {
                let state = match standing {
                    StandingV1::NotBegun => Location::NotRegistered,
                    StandingV1::Active | StandingV1::Suspended(_) => Location::Registered,
                    StandingV1::Ended => Location::Deregistered,
                };
                (Stream::Location(LocationId(id)), Held::Location(state))
            }
            HeldV1::Plan(standing, versions) => {
                let state = restore_plan(standing, &versions)?;
                (Stream::Plan(PlanId(id)), Held::Plan(Box::new(state)))
            }
            HeldV1::Subscription(it) => {
                let state = it.restore()?;
                let stream = Stream::Subscription(SubscriptionId(id));
                (stream, Held::Subscription(Box::new(state)))
            }
            HeldV1::Meter(standing, definition) => {
                let state = restore_meter(standing, definition)?;
                (Stream::Meter(MeterId(id)), Held::Meter(Box::new(state)))
            }
            HeldV1::Usage(counters) => {
                let state = Usage::from_counters(&counters);
                (Stream::Usage, Held::Usage(Box::new(state)))
            }
            HeldV1::Reactions(handled) => {
                let state = restore_reactions(&handled);
                (Stream::Reactions, Held::Reactions(Box::new(state)))
            }
            HeldV1::Requests => (Stream::Requests, Held::Requests),
            HeldV1::Audit => (Stream::Audit, Held::Audit),
        };
        Ok((stream, Slot { revision, held }))
    }
}

fn directory(state: &Directory) -> HeldV1 {
    let entry = |(tenant, it): (TenantId, &directory::Entry)| {
        let standing = match it.standing {
            directory::Standing::Active => StandingV1::Active,
            directory::Standing::Suspended(reason) => StandingV1::Suspended(reason),
            directory::Standing::Closed => StandingV1::Ended,
        };
        let (slug, name) = (it.slug.clone(), it.name.clone());
        (tenant, EntryV1 { slug, name, partition: it.partition, hosts: it.hosts, standing })
    };
    HeldV1::Directory {
        level: state.recorded_level().map(|it| it.0),
        entries: state.entries().map(entry).collect(),
        slugs: state.slugs().map(|(slug, tenant)| (slug.clone(), tenant)).collect(),
        hosts: state.hosts().map(|(host, tenant)| (host.clone(), tenant)).collect(),
    }
}

impl EntryV1 {
    fn restore(self) -> directory::Entry {
        let Self { slug, name, partition, hosts, standing } = self;
        let standing = match standing {
            StandingV1::NotBegun | StandingV1::Active => directory::Standing::Active,
            StandingV1::Suspended(reason) => directory::Standing::Suspended(reason),
            StandingV1::Ended => directory::Standing::Closed,
        };
        directory::Entry { slug, name, partition, hosts, standing }
    }
}

fn tenant(state: &Tenant) -> HeldV1 {
    let standing = match state {
        Tenant::NotCreated => StandingV1::NotBegun,
        Tenant::Active(_) => StandingV1::Active,
        Tenant::Suspended { reason, .. } => StandingV1::Suspended(*reason),
        Tenant::Closed { .. } => StandingV1::Ended,
    };
    let profile = state.profile().map(|it| {
        let tenant::Settings { time_zone, currency, kinds } = it.settings;
        let (slug, name) = (it.slug.clone(), it.name.clone());
        let providers = it.providers.iter().map(|(id, it)| (id.0.as_u128(), json(it)));
        let providers = providers.collect();
        ProfileV1 { slug, name, time_zone, currency, kinds, providers }
    });
    HeldV1::Tenant(standing, profile, state.closed_at())
}

fn restore_tenant(
    standing: StandingV1,
    profile: Option<ProfileV1>,
    closed_at: Option<DateTime<Utc>>,
) -> Result<Tenant, RowError> {
    let Some(ProfileV1 { slug, name, time_zone, currency, kinds, providers }) = profile else {
        return Ok(Tenant::NotCreated);
    };
    let provider = |(id, it): (u128, String)| {
        Ok::<_, RowError>((ProviderId(Uuid::from_u128(id)), serde_json::from_str(&it)?))
    };
    let providers = providers.into_iter().map(provider).collect::<Result<_, _>>()?;
    let settings = tenant::Settings { time_zone, currency, kinds };
    let profile = tenant::Profile { slug, name, settings, providers };
    Ok(match (standing, closed_at) {
        (_, Some(at)) => Tenant::Closed { profile, at },
        (StandingV1::NotBegun | StandingV1::Ended, None) => Tenant::NotCreated,
        (StandingV1::Active, None) => Tenant::Active(profile),
        (StandingV1::Suspended(reason), None) => Tenant::Suspended { profile, reason },
    })
}

fn customer(state: &Account) -> HeldV1 {
    let standing = match state.customer {
        Customer::NotOpened => StandingV1::NotBegun,
        Customer::Open(_) => StandingV1::Active,
        Customer::Closed(_) => StandingV1::Ended,
    };
    let account = state.customer.account().map(|it| AccountV1 {
        role: it.role,
        name: it.name.0,
        contact: it.contact.map(|it| it.0),
        currency: it.currency,
        time_zone: it.time_zone,
    });
    let running = state.running.iter().map(|it| it.0.as_u128()).collect();
    HeldV1::Customer(standing, account, running)
}

fn restore_customer(standing: StandingV1, account: Option<&AccountV1>) -> Customer {
    let Some(&AccountV1 { role, name, contact, currency, time_zone }) = account else {
        return Customer::NotOpened;
    };
    let (name, contact) = (Digest(name), contact.map(Digest));
    let account = customer::Account { role, name, contact, currency, time_zone };
    match standing {
        StandingV1::NotBegun => Customer::NotOpened,
        StandingV1::Active | StandingV1::Suspended(_) => Customer::Open(account),
        StandingV1::Ended => Customer::Closed(account),
    }
}

fn entity(state: &Entity) -> EntityV1 {
    match state {
        Entity::NotRegistered => EntityV1::NotRegistered,
        Entity::Registered { uid, location, digest } => EntityV1::Registered {
            uid: uid.0.as_u128(),
            location: location.map(|it| it.0.as_u128()),
            digest: digest.0,
        },
        Entity::Deregistered => EntityV1::Deregistered,
    }
}

impl EntityV1 {
    fn restore(self) -> Entity {
        match self {
            Self::NotRegistered => Entity::NotRegistered,
            Self::Registered { uid, location, digest } => Entity::Registered {
                uid: EntityUid(Uuid::from_u128(uid)),
                location: location.map(|it| LocationId(Uuid::from_u128(it))),
                digest: Digest(digest),
            },
            Self::Deregistered => Entity::Deregistered,
        }
    }
}

fn plan(state: &Plan) -> HeldV1 {
    let standing = match state {
        Plan::NotPublished => StandingV1::NotBegun,
        Plan::OnSale(_) => StandingV1::Active,
        Plan::Retired(_) => StandingV1::Ended,
    };
    let versions = (1..=state.newest()).filter_map(|it| state.terms(it));
    HeldV1::Plan(standing, versions.map(|it| json(&**it)).collect())
}

fn restore_plan(standing: StandingV1, versions: &[String]) -> Result<Plan, RowError> {
    let versions: Result<Vec<Arc<Terms>>, _> =
        versions.iter().map(|it| serde_json::from_str(it).map(Arc::new)).collect();
    Ok(match standing {
        StandingV1::NotBegun => Plan::NotPublished,
        StandingV1::Active | StandingV1::Suspended(_) => Plan::OnSale(versions?),
        StandingV1::Ended => Plan::Retired(versions?),
    })
}

fn meter(state: &Meter) -> HeldV1 {
    let standing = match state {
        Meter::NotDefined => StandingV1::NotBegun,
        Meter::Defined(_) => StandingV1::Active,
        Meter::Archived(_) => StandingV1::Ended,
    };
    let definition = state.definition().map(|it| DefinitionV1 {
        key: it.key.clone(),
        name: it.name.clone(),
        unit: it.unit.clone(),
        aggregation: json(&it.aggregation),
    });
    HeldV1::Meter(standing, definition)
}

fn restore_meter(
    standing: StandingV1,
    definition: Option<DefinitionV1>,
) -> Result<Meter, RowError> {
    let Some(DefinitionV1 { key, name, unit, aggregation }) = definition else {
        return Ok(Meter::NotDefined);
    };
    let aggregation = serde_json::from_str(&aggregation)?;
    let definition = meter::Definition { key, name, unit, aggregation };
    Ok(match standing {
        StandingV1::NotBegun => Meter::NotDefined,
        StandingV1::Active | StandingV1::Suspended(_) => Meter::Defined(definition),
        StandingV1::Ended => Meter::Archived(definition),
    })
}

fn restore_reactions(handled: &[(Reaction, TenantId, u64)]) -> Reactions {
    let mut reactions = Reactions::default();
    for (reaction, source_tenant, source_sequence) in handled.iter().copied() {
        reactions.evolve(&reaction::Event::Advanced { reaction, source_tenant, source_sequence });
    }
    reactions
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("what events store has a form in JSON")
}
