//! What a client can ask: of the catalog, of billing and of usage, some of which must be refused.

use outbound::{OutboundError, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answers::{Done, Wants};
use crate::harness::{Api, Random};

/// The meter that usage is recorded on.
pub(crate) const METER: &str = "fault.rides";

/// How many entities a client has, all its own.
const ENTITIES: usize = 6;

/// The most entities or entries of one request.
const PARTS_MAX: u64 = 4;

const APPLY: &str = "mutation($input: ApplyEntitiesInput!, $options: CommandOptions) {
    answer: applyEntities(input: $input, options: $options) {
        outcome { commandId sequence position remembered events { revision } }
        userErrors { code message } } }";

const OPEN: &str = "mutation($input: OpenCustomerInput!, $options: CommandOptions) {
    answer: openCustomer(input: $input, options: $options) {
        outcome { commandId sequence position remembered events { revision } }
        userErrors { code message } } }";

/// A look at the audit trail and an entity.
pub(crate) const VIEW: &str = "query($reference: String!) {
    audit(first: 1) { totalCount }
    entity(reference: $reference) { description revision } }";

/// All usage.
pub(crate) const TOTALS: &str =
    "/api/v1/usage?from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z&meter=fault.rides";

/// One request, whose repetitions are the same request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) request: Uuid,
    pub(crate) wants: Wants,
    pub(crate) key: Option<String>,
    body: Value,
    door: Door,
}

#[derive(Clone, Debug)]
enum Door {
    /// Says something of these of the client's entities.
    Entities(Vec<usize>),
    Customers,
    Usage,
}

impl Ask {
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self.door, Door::Usage)
    }

    /// Whether what the client asks next depends on what becomes of it.
    pub(crate) fn is_expected(&self) -> bool {
        matches!(self.door, Door::Entities(_))
    }

    /// Whether nothing happens twice when it is asked twice.
    pub(crate) fn may_be_repeated(&self) -> bool {
        self.key.is_some() || !matches!(self.wants, Wants::Change(_))
    }

    /// Sends it, once.
    pub(crate) async fn send(&self, api: &Api) -> Result<Response, OutboundError> {
        let headers: Vec<(&str, &str)> =
            self.key.iter().map(|it| ("idempotency-key", it.as_str())).collect();
        match self.door {
            Door::Usage => api.post("/api/v1/usage", &self.body, &headers).await,
            Door::Entities(_) | Door::Customers => api.post("/graphql", &self.body, &[]).await,
        }
    }
}

/// What is a client's own.
#[derive(Debug)]
pub(crate) struct Own {
    number: usize,
    /// Text and revision of each entity that is registered.
    entities: Vec<Option<(String, u64)>>,
    /// Usage that counts already.
    used: Option<Value>,
}

impl Own {
    pub(crate) fn new(number: usize) -> Self {
        Self { number, entities: vec![None; ENTITIES], used: None }
    }

    /// The next request.
    pub(crate) fn think(&mut self, random: &mut Random) -> Ask {
        match random.below(16) {
            0..=5 => self.update(random),
            6..=8 => open_customer(Keyed::Yes),
            9 | 10 => open_customer(Keyed::No),
            11..=13 => self.record(random),
            14 => self.say_again(random),
            _ => self.expect_the_past(random),
        }
    }

    /// Takes in what became of a request.
    pub(crate) fn changed(&mut self, ask: &Ask, done: &Done) {
        let Wants::Change(_) = ask.wants else { return };
        match &ask.door {
            Door::Entities(indexes) => {
                for (index, revision) in indexes.iter().zip(&done.effects) {
                    self.entities[*index] = Some((text(ask.request), *revision));
                }
            }
            Door::Usage => self.used = Some(ask.body.clone()),
            Door::Customers => (),
        }
    }

    /// One of the entities: its number, and what is known of it.
    pub(crate) fn any_entity(&self, random: &mut Random) -> (usize, Option<(String, u64)>) {
        let index = any(random, ENTITIES);
        (index, self.entities[index].clone())
    }

    /// What is known of each entity.
    pub(crate) fn entities(&self) -> &[Option<(String, u64)>] {
        &self.entities
    }

    pub(crate) fn reference(&self, index: usize) -> String {
        format!("component:default/client-{}-{index}", self.number)
    }

    /// Says something new of some entities, if they are as they are known to be.
    fn update(&self, random: &mut Random) -> Ask {
        let request = Uuid::now_v7();
        let count = any(random, usize::try_from(PARTS_MAX).expect("it is small")) + 1;
        let first = any(random, ENTITIES);
        let indexes: Vec<usize> = (0..count).map(|it| (first + it) % ENTITIES).collect();
        let changes = indexes.iter().map(|index| {
            let revision = self.entities[*index].as_ref().map(|it| it.1);
            self.put(*index, &text(request), revision)
        });
        let changes: Vec<Value> = changes.collect();
        let (wants, key) = (Wants::Change(count), Some(request.to_string()));
        apply(request, wants, key, &changes, indexes)
    }

    /// Says what holds already, which changes nothing.
    fn say_again(&self, random: &mut Random) -> Ask {
        let (index, known) = self.any_entity(random);
        let Some((text, revision)) = known else { return self.update(random) };
        let changes = [self.put(index, &text, Some(revision))];
        apply(Uuid::now_v7(), Wants::Nothing, None, &changes, vec![index])
    }

    /// Says something new of an entity, if it is as it was before the last change.
    fn expect_the_past(&self, random: &mut Random) -> Ask {
        let (index, known) = self.any_entity(random);
        let Some((_, revision)) = known else { return self.update(random) };
        let request = Uuid::now_v7();
        let past = revision.checked_sub(1).filter(|it| *it > 0);
        let changes = [self.put(index, &text(request), past)];
        let key = (random.below(2) == 0).then(|| request.to_string());
        apply(request, Wants::Conflict, key, &changes, vec![index])
    }

    /// Records usage, or the same usage as before, which does not count again.
    fn record(&self, random: &mut Random) -> Ask {
        let request = Uuid::now_v7();
        if let Some(used) = self.used.as_ref().filter(|_| random.below(4) == 0) {
            let body = used.clone();
            return Ask { request, wants: Wants::Nothing, key: None, body, door: Door::Usage };
        }
        let count = any(random, usize::try_from(PARTS_MAX).expect("it is small")) + 1;
        let entry = |it: usize| {
            let (source, id) = (format!("client-{}", self.number), format!("{request}/{it}"));
            json!({"source": source, "id": id, "meter": METER, "value": "1",
                "dimensions": {"entity": self.reference(it)}})
        };
        let body = (0..count).map(entry).collect();
        let key = Some(request.to_string());
        Ask { request, wants: Wants::Change(count), key, body, door: Door::Usage }
    }

    fn put(&self, index: usize, text: &str, revision: Option<u64>) -> Value {
        let descriptor = json!({
            "apiVersion": "backstage.io/v1alpha1",
            "kind": "Component",
            "metadata": {"name": format!("client-{}-{index}", self.number), "description": text},
            "spec": {"type": "service", "lifecycle": "production", "owner": "group:clients"},
        });
        let expected = match revision {
            Some(revision) => json!({"exact": revision}),
            None => json!({"state": "NONE"}),
        };
        json!({"put": {"descriptor": descriptor, "expectedRevision": expected}})
    }
}

/// Whether a request carries an idempotency key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keyed {
    Yes,
    No,
}

/// Opens a billing account: a repetition that is not noticed opens another one.
fn open_customer(keyed: Keyed) -> Ask {
    let request = Uuid::now_v7();
    let key = (keyed == Keyed::Yes).then(|| request.to_string());
    let input = json!({"role": "CUSTOMER", "name": format!("Rider {request}")});
    let options = json!({"idempotencyKey": key, "correlationId": request});
    let body = json!({"query": OPEN, "variables": {"input": input, "options": options}});
    Ask { request, wants: Wants::Change(1), key, body, door: Door::Customers }
}

fn apply(
    request: Uuid,
    wants: Wants,
    key: Option<String>,
    changes: &[Value],
    indexes: Vec<usize>,
) -> Ask {
    let options = json!({"idempotencyKey": key, "correlationId": request});
    let variables = json!({"input": {"changes": changes}, "options": options});
    let body = json!({"query": APPLY, "variables": variables});
    Ask { request, wants, key, body, door: Door::Entities(indexes) }
}

fn text(request: Uuid) -> String {
    format!("as asked by {request}")
}

fn any(random: &mut Random, count: usize) -> usize {
    usize::try_from(random.below(count as u64)).expect("it is below a count")
}

/// How many entries a report of usage counts.
pub(crate) fn total(report: &Value) -> Option<u64> {
    report["rows"].as_array()?.iter().map(|it| it["count"].as_u64()).sum()
}
