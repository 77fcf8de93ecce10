//! Histories for tests and benches: records as the write side makes them, without it.
//!
//! Everything but the keys is counted up, so the same calls make the same history.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use domain::catalog::{Descriptor, StoredDescriptor};
use domain::id::{ActorId, CommandId, EntityId, EntityUid, EventId, LocationId, TenantId};
use domain::{Event, Stream, entity};
use event_log::{Draft, EventLog, Link, Partition, Position, Record, Writer};
use serde_json::Value;
use uuid::Uuid;
use vault::tenant_keys::SEALED;
use vault::{Hold, Keyring, MemoryVault, Root};

/// When every history begins.
pub(crate) const BEGIN: &str = "2026-01-01T00:00:00Z";

/// A fresh set of keys that lives in memory.
pub(crate) async fn keyring() -> Keyring {
    let root = Root::from_hex(&"5a".repeat(32), "a test").unwrap();
    Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap()
}

/// The n-th tenant.
pub(crate) fn tenant(number: u128) -> TenantId {
    TenantId(Uuid::from_u128(0x7e00_0000 + number))
}

/// The n-th actor.
pub(crate) fn actor(number: u128) -> ActorId {
    ActorId(Uuid::from_u128(0xac00_0000 + number))
}

/// A name at which reading events and the catalog's fold panic in tests, as if they had a fault.
pub(crate) const FATAL: &str = "fatal-in-tests";

/// Panics if something is called [`FATAL`].
pub(crate) fn panic_at_fatal(name: &str) {
    assert!(!name.contains(FATAL), "the test wants it");
}

/// So many bytes of text that no compression makes shorter.
pub(crate) fn noise(bytes: usize) -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let letter = |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(LETTERS[usize::try_from(seed >> 58).unwrap()])
    };
    (0..bytes).map(letter).collect()
}

/// Writes one partition of a log.
#[derive(Debug)]
pub(crate) struct History {
    pub keyring: Keyring,
    pub now: DateTime<Utc>,
    pub actor: ActorId,
    /// The event that a reaction followed, where that is what records the next events.
    pub cause: Option<EventId>,
    /// The event that was recorded last.
    pub last: EventId,
    /// Of the next records.
    content_type: &'static str,
    writer: Box<dyn Writer>,
    tenants: HashMap<TenantId, (u64, Link)>,
    revisions: HashMap<(TenantId, Stream), u64>,
    counter: u128,
    pending: Vec<Record>,
}

impl History {
    /// The history of partition 0 of `log`.
    pub(crate) async fn new(log: Arc<dyn EventLog>, keyring: &Keyring) -> Self {
        let writer = log.claim(Partition(0)).await.unwrap();
        Self {
            keyring: keyring.clone(),
            now: BEGIN.parse().unwrap(),
            actor: actor(1),
            cause: None,
            last: EventId(Uuid::nil()),
            content_type: "application/json",
            writer,
            tenants: HashMap::new(),
            revisions: HashMap::new(),
            counter: 0,
            pending: Vec::new(),
        }
    }

    /// A command with these events, one second after the one before. Not appended yet.
    pub(crate) fn command(&mut self, tenant: TenantId, events: &[(Stream, Event)]) {
        self.now += TimeDelta::seconds(1);
        let command = CommandId(self.next_id());
        for (index, (stream, event)) in events.iter().enumerate() {
            let encoded = event.encode(domain::Level::SPOKEN).unwrap();
            let name = format!("callboard.{}", encoded.name());
            let place = format!("{}/{}", index + 1, events.len());
            self.record(tenant, *stream, &name, encoded.value(), command, &place);
        }
    }

    /// A command with one event.
    pub(crate) fn event(&mut self, tenant: TenantId, stream: Stream, event: impl Into<Event>) {
        self.command(tenant, &[(stream, event.into())]);
    }

    /// A command with one event of any type and value, known or not.
    pub(crate) fn raw(&mut self, tenant: TenantId, stream: Stream, name: &str, value: &[u8]) {
        self.now += TimeDelta::seconds(1);
        let command = CommandId(self.next_id());
        self.record(tenant, stream, name, value, command, "1/1");
    }

    /// A command with one event whose value only the tenant's key opens.
    pub(crate) async fn sealed(&mut self, tenant: TenantId, stream: Stream, event: Event) {
        let encoded = event.encode(domain::Level::SPOKEN).unwrap();
        let sequence = self.tenants.get(&tenant).map_or(0, |it| it.0) + 1;
        let keys = self.keyring.tenant(tenant).await.unwrap();
        let value = keys.seal_value(&stream.to_string(), sequence, encoded.value());
        self.content_type = SEALED;
        self.raw(tenant, stream, &format!("callboard.{}", encoded.name()), &value);
        self.content_type = "application/json";
    }

    /// Appends what was made since the last time, as one batch; returns the last position.
    pub(crate) async fn append(&mut self) -> Position {
        let batch = self.take();
        self.write(batch).await
    }

    /// What was made since the last time, to be written later.
    pub(crate) fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.pending)
    }

    /// Appends what was taken, as one batch; returns the last position.
    pub(crate) async fn write(&mut self, batch: Vec<Record>) -> Position {
        *self.writer.append(batch).await.unwrap().last().unwrap()
    }

    /// A descriptor as events hold it, with its entity's stream.
    pub(crate) async fn stored(
        &self,
        tenant: TenantId,
        json: &Value,
    ) -> (EntityId, StoredDescriptor) {
        let keys = self.keyring.tenant(tenant).await.unwrap();
        let descriptor = Descriptor::recorded(json.clone()).unwrap();
        let id = keys.entity_id(&descriptor.reference().canonical());
        let mut parts = descriptor.into_parts();
        parts.take_large();
        let mut large = Vec::new();
        for it in &parts.large {
            large.push(
                self.keyring.blobs().put(&keys, it.as_bytes(), Hold::random()).await.unwrap(),
            );
        }
        let subjects: Vec<_> =
            parts.personal.iter().map(|it| keys.subject_id(&it.subject)).collect();
        let sealing = self.keyring.ensure_subjects(tenant, &subjects).await.unwrap();
        let mut personal = Vec::new();
        for (part, subject) in parts.personal.into_iter().zip(subjects) {
            let mut text = keys.personal(subject, part.text);
            sealing.seal(&mut text).unwrap();
            personal.push(text);
        }
        (id, StoredDescriptor { public: parts.public.into(), personal, large })
    }

    /// Registers an entity.
    pub(crate) async fn register(
        &mut self,
        tenant: TenantId,
        json: &Value,
        location: Option<LocationId>,
    ) -> EntityId {
        let (id, descriptor) = self.stored(tenant, json).await;
        let uid = EntityUid(self.next_id());
        let digest = Default::default();
        let event = entity::Event::Registered { uid, location, descriptor, digest };
        self.event(tenant, Stream::Entity(id), Event::Entity(event));
        id
    }

    /// Says something else about an entity.
    pub(crate) async fn update(
        &mut self,
        tenant: TenantId,
        json: &Value,
        location: Option<LocationId>,
    ) {
        let (id, descriptor) = self.stored(tenant, json).await;
        let event = entity::Event::Updated { location, descriptor, digest: Default::default() };
        self.event(tenant, Stream::Entity(id), Event::Entity(event));
    }

    /// Deregisters an entity.
    pub(crate) fn deregister(&mut self, tenant: TenantId, id: EntityId) {
        let event = entity::Event::Deregistered { uid: EntityUid(Uuid::nil()) };
        self.event(tenant, Stream::Entity(id), Event::Entity(event));
    }

    /// How many records wait to be appended.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn next_id(&mut self) -> Uuid {
        self.counter += 1;
        Uuid::from_u128(self.counter)
    }

    fn record(
        &mut self,
        tenant: TenantId,
        stream: Stream,
        name: &str,
        value: &[u8],
        command: CommandId,
        place: &str,
    ) {
        self.last = EventId(self.next_id());
        let id = self.last.to_string();
        let cause = self.cause.map_or_else(|| command.to_string(), |it| it.to_string());
        let (sequence, link) = self.tenants.entry(tenant).or_insert((0, Link::GENESIS));
        *sequence += 1;
        let revision = self.revisions.entry((tenant, stream)).or_default();
        *revision += 1;
        let attributes = [
            "1.0",
            &id,
            name,
            "/callboard/test",
            &stream.to_string(),
            &self.now.to_rfc3339_opts(SecondsFormat::Micros, true),
            "/schemas/events/test.json",
            &tenant.to_string(),
            &tenant.to_string(),
            &sequence.to_string(),
            &revision.to_string(),
            place,
            &command.to_string(),
            &command.0.to_string(),
            &cause,
            &self.actor.to_string(),
            self.content_type,
        ];
        let record = Record::seal(&Draft { attributes, value }, *link, None).unwrap();
        *link = record.link();
        self.pending.push(record);
    }
}
