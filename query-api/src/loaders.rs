//! Edges without a query each: what sibling fields ask for is fetched together.
//!
//! The first to ask for something waits a turn of the executor, in which its siblings join it;
//! then one reader call answers all of them. Nothing is kept longer than that. (The loader of
//! async-graphql brings a cache with a security advisory that nobody here needs.)

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::Error;
use domain::id::{ActorId, CustomerId, EntityId, LocationId, PlanId, RoleId, SubscriptionId};
use domain::meter::MeterKey;
use event_log::{Partition, Position};
use projections::billing::customers::{self, Customer};
use projections::billing::meters::{self, Meter};
use projections::billing::plans::{self, Plan, Seller};
use projections::billing::subscriptions::{self, Subscription, SubscriptionStep};
use projections::billing::usage::{self, EntityUsage, EntityUsageQuery, UsageReport};
use projections::catalog::entities::{self, Columns, Entity};
use projections::catalog::history::{self, Detail, Version};
use projections::catalog::locations::{self, Location};
use projections::catalog::relations::{self, Neighbour, Part, RelationCursor};
use projections::organisation::roles;
use projections::page::Page;
use projections::{Model, ReadModels};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::context::RequestContext;
use crate::error::ApiError;
use crate::key_uses::{self, Uses};
use crate::streams;

/// The most keys one reader call is asked for: 500.
const KEYS_MAX: usize = 500;

type Waiting<K, V> = Vec<(K, oneshot::Sender<Result<V, Error>>)>;

/// Gathers the keys that siblings ask for, and fetches them together.
struct Batch<K, V> {
    waiting: Mutex<Waiting<K, V>>,
}

impl<K, V> Default for Batch<K, V> {
    fn default() -> Self {
        Self { waiting: Mutex::default() }
    }
}

impl<K, V> Batch<K, V> {
    /// The value of `key`; `fetch` answers a list of keys in order.
    async fn load<F, A>(&self, key: K, fetch: F) -> Result<V, Error>
    where
        F: Fn(Vec<K>) -> A,
        A: Future<Output = Result<Vec<V>, ApiError>>,
    {
        let (sender, receiver) = oneshot::channel();
        if self.join(key, sender) == Role::Leader {
            let led = Led(Some(self));
            tokio::task::yield_now().await;
            let mut waiting = led.take().into_iter().peekable();
            while waiting.peek().is_some() {
                let (keys, senders): (Vec<K>, Vec<_>) = waiting.by_ref().take(KEYS_MAX).unzip();
                answer(senders, fetch(keys).await);
            }
        }
        // An answer costs no turn of its own: those who are answered together ask on together.
        let answered = tokio::task::unconstrained(receiver).await;
        answered.map_err(|_| Error::new("the operation was given up"))?
    }

    fn join(&self, key: K, sender: oneshot::Sender<Result<V, Error>>) -> Role {
        let mut waiting = self.lock();
        waiting.push((key, sender));
        if waiting.len() == 1 { Role::Leader } else { Role::Follower }
    }

    /// Everybody who waits; nobody does from here on.
    fn leave(&self) -> Waiting<K, V> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting<K, V>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those who wait for a leader, until it takes them. If it is given up before, so are they, and
/// the next to ask leads.
struct Led<'b, K, V>(Option<&'b Batch<K, V>>);

impl<K, V> Led<'_, K, V> {
    /// Everybody who joined so far. Whoever comes later has another leader.
    fn take(mut self) -> Waiting<K, V> {
        self.0.take().map(Batch::leave).unwrap_or_default()
    }
}

impl<K, V> Drop for Led<'_, K, V> {
    fn drop(&mut self) {
        // What is dropped here tells its receiver.
        self.0.take().map(Batch::leave);
    }
}

/// Who fetches for all.
#[derive(PartialEq, Eq)]
enum Role {
    Leader,
    Follower,
}

/// Hands each asker its value. One that has gone away misses nothing.
fn answer<V>(senders: Vec<oneshot::Sender<Result<V, Error>>>, fetched: Result<Vec<V>, ApiError>) {
    match fetched {
        Ok(values) => {
            for (sender, value) in senders.into_iter().zip(values) {
                let _ = sender.send(Ok(value));
            }
        }
        Err(error) => {
            let error = Error::from(error);
            for sender in senders {
                let _ = sender.send(Err(error.clone()));
            }
        }
    }
}

/// One [`Batch`] for each way of asking.
struct Batches<A, K, V>(Mutex<HashMap<A, Arc<Batch<K, V>>>>);

impl<A, K, V> Default for Batches<A, K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<A: Eq + Hash, K, V> Batches<A, K, V> {
    fn of(&self, way: A) -> Arc<Batch<K, V>> {
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(batches.entry(way).or_default())
    }
}

/// The loaders of one operation.
pub struct Loaders {
    request: RequestContext,
    entities: Batch<String, Option<Arc<Entity>>>,
    neighbours: Batches<(Part, Option<Columns>), String, Page<Neighbour, RelationCursor>>,
    relation_counts: Batches<Vec<String>, String, u64>,
    versions: Batches<(u32, Detail), String, Page<Arc<Version>, u64>>,
    entity_usage: Batches<EntityUsageQuery, EntityId, UsageReport<EntityUsage>>,
    locations: Batch<LocationId, Option<Location>>,
    roles: Batch<RoleId, Option<roles::Role>>,
    customers: Batch<CustomerId, Option<Customer>>,
    subscriptions: Batches<u32, CustomerId, Page<Subscription, SubscriptionId>>,
    steps: Batch<SubscriptionId, Vec<SubscriptionStep>>,
    meters: Batch<MeterKey, Option<Meter>>,
    own_plans: Batch<PlanId, Option<Plan>>,
    operator_plans: Batch<PlanId, Option<Plan>>,
    bodies: Batch<(Partition, Position), Option<Value>>,
    key_uses: Batch<ActorId, Uses>,
}

impl fmt::Debug for Loaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaders").finish_non_exhaustive()
    }
}

impl Loaders {
    /// Loaders for one operation.
    #[must_use]
    pub fn new(request: RequestContext) -> Self {
        Self {
            request,
            entities: Batch::default(),
            neighbours: Batches::default(),
            relation_counts: Batches::default(),
            versions: Batches::default(),
            entity_usage: Batches::default(),
            locations: Batch::default(),
            roles: Batch::default(),
            customers: Batch::default(),
            subscriptions: Batches::default(),
            steps: Batch::default(),
            meters: Batch::default(),
            own_plans: Batch::default(),
            operator_plans: Batch::default(),
            bodies: Batch::default(),
            key_uses: Batch::default(),
        }
    }

    async fn catalog(&self) -> Result<ReadModels, ApiError> {
        self.request.read(Model::Catalog).await
    }

    async fn billing(&self) -> Result<ReadModels, ApiError> {
        self.request.read(Model::Billing).await
    }

    /// The entity with this reference, in lower case.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn entity(&self, reference: String) -> Result<Option<Arc<Entity>>, Error> {
        let principal = self.request.principal();
        let fetch = async |keys: Vec<String>| {
            Ok(entities::find_many(&self.catalog().await?, principal, &keys).await?)
        };
        self.entities.load(reference, fetch).await
    }

    /// A part of the neighbours of the entity with this reference, with these columns of the
    /// entities there.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn neighbours(
        &self,
        reference: String,
        part: Part,
        columns: Option<Columns>,
    ) -> Result<Page<Neighbour, RelationCursor>, Error> {
        let (principal, of) = (self.request.principal(), &part);
        let fetch = async |keys: Vec<String>| {
            let models = self.catalog().await?;
            Ok(relations::neighbours_of_many(&models, principal, &keys, of, columns).await?)
        };
        self.neighbours.of((part.clone(), columns)).load(reference, fetch).await
    }

    /// How many neighbours the entity with this reference has, of `kinds` only unless that is
    /// empty.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn relation_count(
        &self,
        reference: String,
        kinds: Vec<String>,
    ) -> Result<u64, Error> {
        let (principal, of) = (self.request.principal(), &kinds);
        let fetch = async |keys: Vec<String>| {
            let models = self.catalog().await?;
            Ok(relations::count_of_many(&models, principal, &keys, of).await?)
        };
        self.relation_counts.of(kinds.clone()).load(reference, fetch).await
    }

    /// The newest `count` versions of the entity with this reference.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn versions(
        &self,
        reference: String,
        count: u32,
        detail: Detail,
    ) -> Result<Page<Arc<Version>, u64>, Error> {
        let principal = self.request.principal();
        let fetch = async |keys: Vec<String>| {
            let models = self.catalog().await?;
            Ok(history::newest_of_many(&models, principal, &keys, count, detail).await?)
        };
        self.versions.of((count, detail)).load(reference, fetch).await
    }

    /// What was used on behalf of the entity with this identity.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn entity_usage(
        &self,
        id: EntityId,
        query: EntityUsageQuery,
    ) -> Result<UsageReport<EntityUsage>, Error> {
        let (principal, of) = (self.request.principal(), &query);
        let fetch = async |keys: Vec<EntityId>| {
            let models = self.billing().await?;
            Ok(usage::entities::of_many(&models, principal, &keys, of).await?)
        };
        self.entity_usage.of(query.clone()).load(id, fetch).await
    }

    /// The location with this identity.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn location(&self, id: LocationId) -> Result<Option<Location>, Error> {
        let principal = self.request.principal();
        let fetch = async |keys: Vec<LocationId>| {
            Ok(locations::find_many(&self.catalog().await?, principal, &keys).await?)
        };
        self.locations.load(id, fetch).await
    }

    /// The role of the tenant with this identity.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn role(&self, id: RoleId) -> Result<Option<roles::Role>, Error> {
        let principal = self.request.principal();
        let fetch = async |keys: Vec<RoleId>| {
            let models = self.request.read(Model::Organisation).await?;
            Ok(roles::find_many(&models, principal, &keys).await?)
        };
        self.roles.load(id, fetch).await
    }

    /// The billing account with this identity.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, Error> {
        let principal = self.request.principal();
        let fetch = async |keys: Vec<CustomerId>| {
            Ok(customers::find_many(&self.billing().await?, principal, &keys).await?)
        };
        self.customers.load(id, fetch).await
    }

    /// The first `count` subscriptions of a customer.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn subscriptions(
        &self,
        customer: CustomerId,
        count: u32,
    ) -> Result<Page<Subscription, SubscriptionId>, Error> {
        let principal = self.request.principal();
        let fetch = async |keys: Vec<CustomerId>| {
            let models = self.billing().await?;
            Ok(subscriptions::of_customers(&models, principal, &keys, count).await?)
        };
        self.subscriptions.of(count).load(customer, fetch).await
    }

    /// What happened to a subscription.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn steps(&self, id: SubscriptionId) -> Result<Vec<SubscriptionStep>, Error> {
        let principal = self.request.principal();
        let fetch = async |keys: Vec<SubscriptionId>| {
            Ok(subscriptions::history_of_many(&self.billing().await?, principal, &keys).await?)
        };
        self.steps.load(id, fetch).await
    }

    /// The meter with this key.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn meter(&self, key: MeterKey) -> Result<Option<Meter>, Error> {
        let principal = self.request.principal();
        let fetch = async |keys: Vec<MeterKey>| {
            Ok(meters::find_many(&self.billing().await?, principal, &keys).await?)
        };
        self.meters.load(key, fetch).await
    }

    /// The plan of `seller` with this identity.
    ///
    /// # Errors
    ///
    /// As the reader.
    pub async fn plan(&self, seller: Seller, id: PlanId) -> Result<Option<Plan>, Error> {
        let principal = self.request.principal();
        let fetch = async |keys: Vec<PlanId>| {
            Ok(plans::find_many(&self.billing().await?, principal, seller, &keys).await?)
        };
        match seller {
            Seller::Itself => self.own_plans.load(id, fetch).await,
            Seller::Operator => self.operator_plans.load(id, fetch).await,
        }
    }

    /// The body of the event at a place, if it is one of the caller's tenant.
    ///
    /// # Errors
    ///
    /// If the caller may not read the audit trail, or the log cannot be read.
    pub async fn body(&self, place: (Partition, Position)) -> Result<Option<Value>, Error> {
        let fetch = async |places: Vec<_>| streams::bodies(&self.request, &places).await;
        self.bodies.load(place, fetch).await
    }

    /// When the API keys of a member of the caller's tenant were used last.
    ///
    /// # Errors
    ///
    /// If the vault cannot be read.
    pub(crate) async fn key_uses(&self, member: ActorId) -> Result<Uses, Error> {
        let (keyring, tenant) = (self.request.keyring(), self.request.principal().tenant());
        let fetch = async |members: Vec<_>| key_uses::of_members(keyring, tenant, &members).await;
        self.key_uses.load(member, fetch).await
    }
}

#[cfg(test)]
mod tests;
