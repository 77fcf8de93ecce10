//! Clients that never stop asking, and write down what they asked and what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outbound::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::history::{Answer, Asked};
use crate::harness::{Api, Random};

/// The most entities or entries of one request.
const PARTS_MAX: u64 = 12;

/// The meter that usage is recorded on.
pub(crate) const METER: &str = "crash.rides";

/// What a writer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Change some entities, all or none: as many events.
    Entities,
    /// Open a billing account: a repetition that is not noticed opens another one.
    Customer,
    /// Record some usage: one event.
    Usage,
}

/// Whether repetitions can be told from new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Every request carries an idempotency key.
    Sent,
    /// The positive control: none does.
    Withheld,
}

/// One client. It has one request at a time and repeats it until it is answered.
#[derive(Debug)]
pub(crate) struct Writer {
    number: usize,
    kind: Kind,
    keys: Keys,
    /// Which of the tenants it works for.
    pub(crate) tenant: usize,
    random: Random,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    request: Uuid,
    parts: usize,
    body: Value,
}

/// What all writers together did, counted while they do it.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) acknowledged: AtomicUsize,
    pub(crate) repeated: AtomicUsize,
    pub(crate) remembered: AtomicUsize,
    pub(crate) postponed: AtomicUsize,
}

impl Writer {
    pub(crate) fn new(number: usize, tenants: usize, keys: Keys) -> Self {
        let kind = match keys {
            Keys::Sent => [Kind::Entities, Kind::Customer, Kind::Usage][number % 3],
            // The others cannot take effect twice even so: what holds already is no event, and
            // usage is known by the identity of its entries.
            Keys::Withheld => Kind::Customer,
        };
        let random = Random::new(number as u64);
        Self { number, kind, keys, tenant: number % tenants, random, pending: None }
    }

    /// Asks until the server is gone; says what was asked.
    pub(crate) async fn run(
        mut self,
        api: Api,
        tenant: String,
        figures: Arc<Figures>,
    ) -> (Self, Vec<Asked>) {
        let mut all = Vec::new();
        loop {
            let pending = match self.pending.take() {
                Some(pending) => {
                    figures.repeated.fetch_add(1, Ordering::Relaxed);
                    pending
                }
                None => self.think(),
            };
            let (request, parts) = (pending.request, pending.parts);
            let events = if self.kind == Kind::Entities { parts } else { 1 };
            let mut asked =
                Asked { request, tenant: tenant.clone(), events, answer: Answer::Unknown };
            let answer = self.ask(&api, &pending).await;
            let gone = answer.is_none();
            if let Some(sequence) = answer.and_then(|it| self.read(&it, &figures)) {
                asked.answer = Answer::Done(sequence);
                figures.acknowledged.fetch_add(1, Ordering::Relaxed);
            } else {
                self.pending = Some(pending);
            }
            all.push(asked);
            if gone {
                return (self, all);
            }
        }
    }

    /// The next request.
    fn think(&mut self) -> Pending {
        let request = Uuid::now_v7();
        let parts = usize::try_from(1 + self.random.below(PARTS_MAX)).expect("it is small");
        let options = match self.keys {
            Keys::Sent => json!({"idempotencyKey": request, "correlationId": request}),
            Keys::Withheld => json!({"correlationId": request}),
        };
        let body = match self.kind {
            Kind::Entities => {
                let changes: Vec<Value> = (0..parts).map(|it| self.change(it, request)).collect();
                let query = "mutation($input: ApplyEntitiesInput!, $options: CommandOptions) {
                    answer: applyEntities(input: $input, options: $options) {
                        outcome { sequence remembered } userErrors { message } } }";
                json!({"query": query,
                    "variables": {"input": {"changes": changes}, "options": options}})
            }
            Kind::Customer => {
                let query = "mutation($input: OpenCustomerInput!, $options: CommandOptions) {
                    answer: openCustomer(input: $input, options: $options) {
                        outcome { sequence remembered } userErrors { message } } }";
                let input = json!({"role": "CUSTOMER", "name": format!("Rider {request}")});
                json!({"query": query, "variables": {"input": input, "options": options}})
            }
            Kind::Usage => {
                let entry = |it: usize| {
                    let (source, id) =
                        (format!("writer-{}", self.number), format!("{request}/{it}"));
                    let entity = format!("component:default/writer-{}-{it}", self.number);
                    json!({"source": source, "id": id, "meter": METER, "value": "1",
                        "dimensions": {"entity": entity}})
                };
                (0..parts).map(entry).collect()
            }
        };
        Pending { request, parts, body }
    }

    /// Says something new of one of the writer's own entities.
    fn change(&self, part: usize, request: Uuid) -> Value {
        let descriptor = json!({
            "apiVersion": "backstage.io/v1alpha1",
            "kind": "Component",
            "metadata": {
                "name": format!("writer-{}-{part}", self.number),
                "description": format!("as asked by {request}"),
            },
            "spec": {"type": "service", "lifecycle": "production", "owner": "group:writers"},
        });
        json!({"put": {"descriptor": descriptor}})
    }

    /// Sends the request; none if the server is gone.
    async fn ask(&self, api: &Api, pending: &Pending) -> Option<Response> {
        let key = pending.request.to_string();
        let keyed = [("idempotency-key", key.as_str())];
        let asked = match self.kind {
            Kind::Usage => api.post("/api/v1/usage", &pending.body, &keyed).await,
            Kind::Entities | Kind::Customer => api.post("/graphql", &pending.body, &[]).await,
        };
        asked.ok()
    }

    /// The sequence that an answer acknowledges; none if the server asks to come again.
    fn read(&self, answer: &Response, figures: &Figures) -> Option<u64> {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = body["errors"][0]["extensions"]["code"].as_str().or(body["code"].as_str());
        if matches!(code, Some("BUSY" | "UNAVAILABLE" | "OUTCOME_UNKNOWN")) {
            figures.postponed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let sequence = match self.kind {
            Kind::Usage => &body["sequence"],
            Kind::Entities | Kind::Customer => {
                let outcome = &body["data"]["answer"]["outcome"];
                if outcome["remembered"] == true {
                    figures.remembered.fetch_add(1, Ordering::Relaxed);
                }
                &outcome["sequence"]
            }
        };
        let sequence = sequence.as_u64();
        assert!(sequence.is_some(), "a request of {:?} was refused: {body}", self.kind);
        sequence
    }
}
