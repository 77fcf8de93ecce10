//! One stream in memory: its revision and the state of its aggregate.

use std::collections::BTreeSet;

use domain::aggregate::{Aggregate, Due};
use domain::customer::Customer;
use domain::directory::Directory;
use domain::entity::Entity;
use domain::id::{
    ActorId, CustomerId, EntityId, LocationId, MeterId, PlanId, RoleId, SubscriptionId, TenantId,
};
use domain::location::Location;
use domain::member::Member;
use domain::meter::Meter;
use domain::plan::Plan;
use domain::reaction::Reactions;
use domain::role::Role;
use domain::subscription::Subscription;
use domain::tenant::Tenant;
use domain::usage::Usage;
use domain::{Event, Stream};

use super::overlay::Overlay;

/// A stream's revision and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The revision of its last event; 0 before the first.
    pub(crate) revision: u64,
    pub(crate) held: Held,
}

/// The state of an aggregate of any kind. Entities are by far the most, so all others are boxed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Directory(Box<Directory>),
    Tenant(Box<Tenant>),
    Member(Member),
    Role(Box<Role>),
    Customer(Box<Account>),
    Entity(Entity),
    Location(Location),
    Plan(Box<Plan>),
    Subscription(Box<Subscription>),
    Meter(Box<Meter>),
    Usage(Box<Usage>),
    Reactions(Box<Reactions>),
    /// Nothing is decided by what was noted, so only its revision is kept.
    Requests,
    /// Nor by what was exported.
    Audit,
}

/// A billing account, and what is derived for it from its subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) customer: Customer,
    /// Its subscriptions that are not over.
    pub(crate) running: BTreeSet<SubscriptionId>,
}

/// An aggregate the owner holds: how it is named, found and reported.
pub(crate) trait Kept: Aggregate {
    /// What names one within its tenant.
    type Id: Copy;

    /// The stream of the one called `id`.
    fn stream(id: Self::Id) -> Stream;

    /// The state, if it is of this kind.
    fn of(held: &Held) -> Option<&Self>;

    /// The event as one of any aggregate.
    fn event(event: Self::Event) -> Event;

    /// The stable code of a rejection.
    fn code(rejection: &Self::Rejection) -> &'static str;
}

macro_rules! kept {
    ($($kind:ident($held:pat => $state:expr), $id:ty, $named:pat => $stream:expr, $module:ident;)*) => {$(
        impl Kept for $kind {
            type Id = $id;

            fn stream($named: $id) -> Stream {
                $stream
            }

            fn of(held: &Held) -> Option<&Self> {
                match held {
                    $held => Some($state),
                    _ => None,
                }
            }

            fn event(event: domain::$module::Event) -> Event {
                Event::$kind(event)
            }

            fn code(rejection: &domain::$module::Rejection) -> &'static str {
                rejection.code()
            }
        }
    )*};
}

kept! {
    Directory(Held::Directory(it) => it), (), () => Stream::Directory, directory;
    Tenant(Held::Tenant(it) => it), TenantId, id => Stream::Tenant(id), tenant;
    Member(Held::Member(it) => it), ActorId, id => Stream::Member(id), member;
    Role(Held::Role(it) => it), RoleId, id => Stream::Role(id), role;
    Customer(Held::Customer(it) => &it.customer), CustomerId, id => Stream::Customer(id), customer;
    Entity(Held::Entity(it) => it), EntityId, id => Stream::Entity(id), entity;
    Location(Held::Location(it) => it), LocationId, id => Stream::Location(id), location;
    Plan(Held::Plan(it) => it), PlanId, id => Stream::Plan(id), plan;
    Subscription(Held::Subscription(it) => it), SubscriptionId, id => Stream::Subscription(id), subscription;
    Meter(Held::Meter(it) => it), MeterId, id => Stream::Meter(id), meter;
    Usage(Held::Usage(it) => it), (), () => Stream::Usage, usage;
}

impl Slot {
    /// A stream without events.
    pub(crate) fn empty(stream: &Stream) -> Self {
        let held = match stream {
            Stream::Directory => Held::Directory(Box::default()),
            Stream::Tenant(_) => Held::Tenant(Box::default()),
            Stream::Member(_) => Held::Member(Member::default()),
            Stream::Role(_) => Held::Role(Box::default()),
            Stream::Customer(_) => Held::Customer(Box::default()),
            Stream::Entity(_) => Held::Entity(Entity::default()),
            Stream::Location(_) => Held::Location(Location::default()),
            Stream::Plan(_) => Held::Plan(Box::default()),
            Stream::Subscription(_) => Held::Subscription(Box::default()),
            Stream::Meter(_) => Held::Meter(Box::default()),
            Stream::Usage => Held::Usage(Box::default()),
            Stream::Reactions => Held::Reactions(Box::default()),
            Stream::Requests => Held::Requests,
            Stream::Audit => Held::Audit,
        };
        Self { revision: 0, held }
    }
}

impl Held {
    /// Takes in one event of the stream. An event of another aggregate cannot get into a stream;
    /// it would be left out of account.
    pub(crate) fn evolve(&mut self, event: &Event) {
        match (self, event) {
            (Self::Directory(state), Event::Directory(event)) => state.evolve(event),
            (Self::Tenant(state), Event::Tenant(event)) => state.evolve(event),
            (Self::Member(state), Event::Member(event)) => state.evolve(event),
            (Self::Role(state), Event::Role(event)) => state.evolve(event),
            (Self::Customer(state), Event::Customer(event)) => state.customer.evolve(event),
            (Self::Entity(state), Event::Entity(event)) => state.evolve(event),
            (Self::Location(state), Event::Location(event)) => state.evolve(event),
            (Self::Plan(state), Event::Plan(event)) => state.evolve(event),
            (Self::Subscription(state), Event::Subscription(event)) => state.evolve(event),
            (Self::Meter(state), Event::Meter(event)) => state.evolve(event),
            (Self::Usage(state), Event::Usage(event)) => state.evolve(event),
            (Self::Reactions(state), Event::Reaction(event)) => state.evolve(event),
            (Self::Requests, Event::Request(_)) | (Self::Audit, Event::Audit(_)) => {}
            (_, _) => tracing::error!("an event stands in a stream of another aggregate"),
        }
    }

    /// When the aggregate wants to be woken.
    pub(crate) fn due(&self) -> Option<Due> {
        match self {
            Self::Subscription(state) => state.due(),
            Self::Directory(_)
            | Self::Tenant(_)
            | Self::Member(_)
            | Self::Role(_)
            | Self::Customer(_)
            | Self::Entity(_)
            | Self::Location(_)
            | Self::Plan(_)
            | Self::Meter(_)
            | Self::Usage(_)
            | Self::Reactions(_)
            | Self::Requests
            | Self::Audit => None,
        }
    }

    pub(crate) fn is_registered_entity(&self) -> bool {
        matches!(self, Self::Entity(it) if it.is_registered())
    }

    /// Whether the aggregate has begun and ended.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Tenant(it) => matches!(**it, Tenant::Closed { .. }),
            Self::Member(it) => matches!(it, Member::Removed(_)),
            Self::Role(it) => matches!(**it, Role::Retired(_)),
            Self::Customer(it) => matches!(it.customer, Customer::Closed(_)),
            Self::Entity(it) => matches!(it, Entity::Deregistered),
            Self::Location(it) => matches!(it, Location::Deregistered),
            Self::Plan(it) => matches!(**it, Plan::Retired(_)),
            Self::Subscription(it) => matches!(**it, Subscription::Cancelled { .. }),
            Self::Meter(it) => matches!(**it, Meter::Archived(_)),
            Self::Directory(_)
            | Self::Usage(_)
            | Self::Reactions(_)
            | Self::Requests
            | Self::Audit => false,
        }
    }
}

impl Overlay<'_> {
    /// The aggregate called `id`, with the changes of this batch; as it begins if it has not.
    pub(crate) fn aggregate<A: Kept>(&self, tenant: TenantId, id: A::Id) -> Option<&A> {
        A::of(&self.slot(tenant, &A::stream(id))?.held)
    }

    /// A billing account with its running subscriptions.
    pub(crate) fn account(&self, tenant: TenantId, customer: CustomerId) -> Option<&Account> {
        match &self.slot(tenant, &Stream::Customer(customer))?.held {
            Held::Customer(account) => Some(account),
            _ => None,
        }
    }

    /// What reactions have handled on behalf of a tenant.
    pub(crate) fn reactions(&self, tenant: TenantId) -> Option<&Reactions> {
        match &self.slot(tenant, &Stream::Reactions)?.held {
            Held::Reactions(reactions) => Some(reactions),
            _ => None,
        }
    }
}
