//! One installation, asked in common words and answering in them.

use std::collections::{BTreeMap, BTreeSet};

use outbound::Request;
use serde_json::{Value, json};

use super::names::Names;
use super::script::{Ask, Step, Who};
use crate::harness::{Api, Server, eventually};

/// An installation with one or several processes.
pub(super) struct Side {
    doors: Vec<Server>,
    operator: String,
    tokens: Vec<String>,
    names: Names,
    /// What each has seen: reads are of a state that is no older.
    positions: BTreeMap<Who, String>,
    /// Keys under which usage was accepted.
    keys: BTreeSet<(Who, String)>,
}

impl Side {
    /// Processes of one installation with the tokens of an operator and of tenants, whose ids
    /// are named in this order.
    pub(super) fn new(
        doors: Vec<Server>,
        operator: String,
        tenants: Vec<(String, String)>,
    ) -> Self {
        let mut names = Names::default();
        let (ids, tokens): (Vec<String>, Vec<String>) = tenants.into_iter().unzip();
        for id in ids {
            names.common_text(&id);
        }
        let (positions, keys) = (BTreeMap::new(), BTreeSet::new());
        Self { doors, operator, tokens, names, positions, keys }
    }

    fn api(&self, door: usize, who: Who) -> Api {
        let token = match who {
            Who::Tenant(index) => &self.tokens[index],
            Who::Operator => &self.operator,
            Who::Nobody => "",
        };
        self.doors[door % self.doors.len()].api(token)
    }

    /// The status and body of the answer to a step.
    pub(super) async fn ask(&mut self, step: &Step) -> Value {
        let api = self.api(step.door, step.who);
        let request = self.request(&api, &step.ask);
        let request = match self.positions.get(&step.who) {
            Some(position) => request.with_header("callboard-position", position),
            None => request,
        };
        let answer = api.send(request).await.expect("the server answers");
        let body = match serde_json::from_slice(&answer.body) {
            Ok(body) => body,
            Err(_) => Value::from(String::from_utf8_lossy(&answer.body).into_owned()),
        };
        self.move_on(step, &body);
        json!({"status": answer.status, "body": self.names.common(&body)})
    }

    fn request(&self, api: &Api, ask: &Ask) -> Request {
        match ask {
            Ask::GraphQl { query, variables } => {
                let query = self.names.original(query);
                let variables = self.names.original_value(variables);
                let body = json!({"query": query, "variables": variables}).to_string();
                Request::post(api.url("/graphql"), "application/json", body)
            }
            Ask::Record { media, key, body } => {
                let body = self.names.original(body);
                let request = Request::post(api.url("/api/v1/usage"), media, body);
                match key {
                    Some(key) => request.with_header("idempotency-key", key),
                    None => request,
                }
            }
            Ask::Get { path, query } => {
                let mut url = api.url(path);
                let pairs = query.iter().map(|(name, value)| (*name, self.names.original(value)));
                url.query_pairs_mut().extend_pairs(pairs);
                Request::get(url)
            }
        }
    }

    /// Notes what the answer lets whoever asked see. A remembered outcome is of long ago.
    fn move_on(&mut self, step: &Step, body: &Value) {
        let outcome = &body["data"]["done"]["outcome"];
        let position = match (&step.ask, outcome["position"].as_str()) {
            (Ask::GraphQl { .. }, Some(position)) => {
                let is_new = outcome["remembered"] == false && !step.is_preview();
                is_new.then_some(position)
            }
            (Ask::Record { key, .. }, _) => body["position"]
                .as_str()
                .filter(|_| key.as_ref().is_none_or(|it| self.keys.insert((step.who, it.clone())))),
            (Ask::GraphQl { .. } | Ask::Get { .. }, _) => None,
        };
        if let Some(position) = position {
            self.positions.insert(step.who, position.to_owned());
        }
    }

    /// Waits until so many things have followed for each of these tenants, and everything that is
    /// recorded is shown at every door.
    pub(super) async fn settle(&self, followed: &BTreeMap<Who, usize>) {
        for (who, count) in followed {
            let api = self.api(0, *who);
            eventually("what follows has come about", async || {
                let feed = api.get("/api/v1/events?types=reaction&limit=1000").await;
                let found = feed["events"].as_array()?.len();
                assert!(found <= *count, "{found} things followed for {who:?}, not {count}");
                (found == *count).then_some(())
            })
            .await;
        }
        for door in 0..self.doors.len() {
            let api = self.api(door, Who::Operator);
            eventually("everything is shown", async || {
                let status = api.get("/api/v1/projections").await;
                let models = status.as_array()?.iter();
                let mut partitions = models.flat_map(|it| it["partitions"].as_array()).flatten();
                partitions.all(|it| it["eventsBehind"] == 0).then_some(())
            })
            .await;
        }
    }

    pub(super) async fn stop(self) {
        for door in self.doors {
            door.stop().await;
        }
    }
}
