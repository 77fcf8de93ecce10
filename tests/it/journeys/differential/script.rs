//! A random script of commands and queries, the same for the same seed and answers.
//!
//! It speaks in the common words of [`Names`](super::names::Names) and learns ids, cursors and
//! revisions from common answers, so it can ask either installation for what it has seen. About
//! one request in four is meant to be refused: by a revision, a name, a quota, a key, a rule.
//!
//! Start at [`Script::next`]. What is asked for is in the modules, one for each side of the API.

mod access;
mod billing;
mod catalog;
mod directory;
mod reading;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::Random;

/// How many ids, cursors or keys of a kind are remembered; the newest.
const KNOWN_MAX: usize = 24;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// A member of the tenant with this number.
    Tenant(usize),
    Operator,
    /// Somebody without a credential.
    Nobody,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    GraphQl {
        query: String,
        variables: Value,
    },
    /// Usage over the door for machines.
    Record {
        media: &'static str,
        key: Option<String>,
        body: String,
    },
    Get {
        path: &'static str,
        query: Vec<(&'static str, String)>,
    },
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) who: Who,
    pub(super) ask: Ask,
    /// Which door, of as many as there are.
    pub(super) door: usize,
}

/// What the script knows of what a tenant has.
#[derive(Debug, Default)]
struct Known {
    /// Its id.
    id: String,
    /// Ids of each kind, `cus`, `node` and so on, oldest first.
    ids: BTreeMap<&'static str, Vec<String>>,
    /// Cursors of each list.
    cursors: BTreeMap<&'static str, Vec<String>>,
    /// The last sequence that was said.
    sequence: u64,
    closed: bool,
}

/// What makes an action of a script for a tenant.
type Action = fn(&mut Script, usize) -> Ask;

/// What members do, and how often.
const ACTIONS: [(u64, Action); 43] = [
    (120, catalog::apply),
    (14, catalog::register_location),
    (10, catalog::deregister_location),
    (18, billing::open_customer),
    (10, billing::change_customer),
    (16, billing::close_customer),
    (20, billing::publish_plan),
    (4, billing::retire_plan),
    (34, billing::start_subscription),
    (20, billing::buy),
    (50, billing::change_plan),
    (24, billing::cancel),
    (30, billing::undo_cancellation),
    (16, usage::define_meter),
    (18, usage::archive_meter),
    (30, usage::record_usage),
    (50, usage::record_at_machines_door),
    (10, directory::rename),
    (8, directory::configure),
    (10, directory::add_provider),
    (8, directory::remove_provider),
    (4, directory::only_for_operators),
    (24, access::add_member),
    (16, access::change_roles),
    (14, access::remove_member),
    (16, access::define_role),
    (14, access::change_role),
    (8, access::retire_role),
    (20, access::issue_api_key),
    (14, access::revoke_api_key),
    (6, access::invite_member),
    (4, access::sign_out),
    (30, access::lists),
    (90, reading::entities),
    (60, reading::entity),
    (20, reading::node),
    (60, reading::lists),
    (30, reading::billing),
    (40, reading::usage),
    (40, reading::audit),
    (20, reading::organisation),
    (40, reading::feed),
    (16, reading::malformed),
];

/// The script.
#[derive(Debug)]
pub(super) struct Script {
    random: Random,
    tenants: Vec<Known>,
    operator: Known,
    /// Requests with a key that were accepted.
    keyed: Vec<(Who, Ask)>,
    /// The list that the last request has pages of.
    list: Option<&'static str>,
    /// The day on which everything happens.
    day: String,
    /// How many names were given to what must have a new one.
    fresh: u64,
}

impl Script {
    /// For tenants with these ids, on a day.
    pub(super) fn new(seed: u64, tenants: &[String], day: String) -> Self {
        let known = |id: &String| Known { id: id.clone(), ..Known::default() };
        Self {
            random: Random::new(seed),
            tenants: tenants.iter().map(known).collect(),
            operator: Known::default(),
            keyed: Vec::new(),
            list: None,
            day,
            fresh: 0,
        }
    }

    /// What is asked first: the first tenant buys a plan with a quota that it will come to.
    pub(super) fn begin(&mut self, number: usize) -> Option<Step> {
        let (who, mut ask) = match number {
            0 => (Who::Operator, billing::publish_limited(self)),
            // Not known yet, so its billing accounts are listed.
            1 | 2 => (Who::Tenant(0), billing::buy(self, 0)),
            _ => return None,
        };
        if let Ask::GraphQl { variables, .. } = &mut ask {
            variables["options"] = json!({});
        }
        Some(Step { who, ask, door: self.below(1_024) })
    }

    /// What is asked next.
    pub(super) fn next(&mut self) -> Step {
        self.list = None;
        let door = self.below(1_024);
        if self.one_in(20) && !self.keyed.is_empty() {
            let (who, ask) = self.pick_of(&self.keyed.clone());
            return Step { who, ask, door };
        }
        if self.one_in(9) {
            let ask = directory::operate(self);
            return Step { who: Who::Operator, ask, door };
        }
        let tenant = self.below(self.tenants.len());
        if self.tenants[tenant].closed {
            // What follows from its end comes in no particular order, so its sequences may differ.
            let ask = directory::rename(self, tenant);
            return Step { who: Who::Tenant(tenant), ask, door };
        }
        let total: u64 = ACTIONS.iter().map(|(weight, _)| weight).sum();
        let mut chosen = self.random.below(total);
        let action = ACTIONS.iter().find(|(weight, _)| {
            let here = chosen < *weight;
            chosen = chosen.saturating_sub(*weight);
            here
        });
        let ask = action.expect("it is below the total").1(self, tenant);
        let who = if self.one_in(150) { Who::Nobody } else { Who::Tenant(tenant) };
        Step { who, ask, door }
    }

    /// The end of the last tenant, after which it is only read.
    pub(super) fn close_last(&mut self) -> Step {
        let last = self.tenants.len() - 1;
        let ask = directory::close();
        Step { who: Who::Tenant(last), ask, door: self.below(1_024) }
    }

    /// Takes what a common answer says for what may be asked next.
    pub(super) fn learn(&mut self, step: &Step, answer: &Value) {
        let done = &answer["data"]["done"];
        let accepted = done["outcome"].is_object() || answer["counts"].is_object();
        if accepted && step.key().is_some() && !self.keyed.iter().any(|(_, it)| *it == step.ask) {
            self.keyed.push((step.who, step.ask.clone()));
            keep_newest(&mut self.keyed);
        }
        let list = self.list;
        let known = match step.who {
            Who::Tenant(index) => &mut self.tenants[index],
            Who::Operator => &mut self.operator,
            Who::Nobody => return,
        };
        if done["outcome"]["events"][0]["type"] == "tenant.closed.v1" && !step.is_preview() {
            known.closed = true;
        }
        known.learn(list, answer);
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a small number");
        usize::try_from(self.random.below(bound)).expect("it is below a small number")
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn pick_of<T: Clone>(&mut self, list: &[T]) -> T {
        self.pick(list).clone()
    }

    /// A number that no other thing of this script has.
    fn fresh(&mut self) -> u64 {
        self.fresh += 1;
        self.fresh
    }

    /// Whether nothing of a kind is known of a tenant.
    fn lacks(&self, tenant: usize, kind: &str) -> bool {
        self.tenants[tenant].ids.get(kind).is_none_or(Vec::is_empty)
    }

    /// An id of a kind: mostly the tenant's own, at times another one's, or nobody's.
    fn id(&mut self, tenant: usize, kind: &'static str) -> String {
        let of = if self.one_in(12) { self.below(self.tenants.len()) } else { tenant };
        let known = self.tenants[of].ids.get(kind).cloned().unwrap_or_default();
        if known.is_empty() || self.one_in(25) {
            return match self.below(3) {
                0 => "nonsense".to_owned(),
                _ => format!("{kind}_0198000000007000800000000000000{}", self.below(3)),
            };
        }
        self.pick_of(&known)
    }

    /// A page of a list: its arguments, and what they are in the variables.
    fn page(&mut self, tenant: usize, list: &'static str) -> Value {
        self.list = Some(list);
        let count = 1 + self.below(9);
        let mut page = match self.below(8) {
            0 => json!({"last": count}),
            1 => json!({"first": 101}),
            2 => json!({}),
            _ => json!({"first": count}),
        };
        let known = self.tenants[tenant].cursors.get(list).cloned().unwrap_or_default();
        if !known.is_empty() && self.one_in(2) {
            let end = if page["last"].is_null() { "after" } else { "before" };
            page[end] = self.pick_of(&known).into();
        } else if self.one_in(30) {
            let any = self.tenants[tenant].cursors.values().flatten().cloned().collect::<Vec<_>>();
            page["after"] =
                if any.is_empty() { "made-up".into() } else { self.pick_of(&any).into() };
        }
        page
    }

    /// A mutation, which is called `done` in its answer, with options as they come.
    fn mutation(&mut self, call: &str, fields: &str, types: &str, mut variables: Value) -> Ask {
        variables["options"] = self.options();
        let comma = if types.is_empty() { "" } else { ", " };
        let query = format!(
            "mutation({types}{comma}$options: CommandOptions) {{ done: {call} {{ {fields} outcome {{ \
             commandId position sequence at remembered events {{ id stream revision type }} }} \
             userErrors {{ code message path }} }} }}"
        );
        Ask::GraphQl { query, variables }
    }

    fn options(&mut self) -> Value {
        let mut options = serde_json::Map::new();
        if self.one_in(8) {
            options.insert("expectedRevision".to_owned(), self.expected());
        }
        if self.one_in(4) {
            // Of few, and then met again with another request, or of many.
            let key = if self.one_in(3) { self.below(2) } else { self.below(4_096) };
            options.insert("idempotencyKey".to_owned(), format!("key-{key}").into());
        }
        if self.one_in(60) {
            options.insert("idempotencyKey".to_owned(), "\u{e4}".into());
        }
        if self.one_in(10) {
            options.insert("preview".to_owned(), true.into());
        }
        if self.one_in(12) {
            let correlation = format!("01980000-0000-7000-8000-00000000000{}", self.below(4));
            options.insert("correlationId".to_owned(), correlation.into());
        }
        options.into()
    }

    fn expected(&mut self) -> Value {
        match self.below(3) {
            0 => json!({"state": *self.pick(&["ANY", "EXISTS", "NONE"])}),
            _ => json!({"exact": self.below(6)}),
        }
    }
}

impl Known {
    fn learn(&mut self, list: Option<&'static str>, answer: &Value) {
        match answer {
            Value::Array(all) => all.iter().for_each(|it| self.learn(list, it)),
            Value::Object(all) => {
                if let ("ITSELF", Some(itself)) = (
                    all.get("role").and_then(Value::as_str).unwrap_or_default(),
                    all.get("customerId"),
                ) {
                    remember(
                        self.ids.entry("itself").or_default(),
                        itself.as_str().unwrap_or_default(),
                    );
                }
                for (key, value) in all {
                    match value {
                        Value::String(text) => self.learn_text(list, key, text),
                        Value::Number(number) if key == "sequence" => {
                            self.sequence = self.sequence.max(number.as_u64().unwrap_or_default());
                        }
                        value => self.learn(list, value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn learn_text(&mut self, list: Option<&'static str>, key: &str, text: &str) {
        if !text.starts_with('⟦') {
            return;
        }
        if matches!(key, "cursor" | "startCursor" | "endCursor") {
            if let Some(list) = list {
                remember(self.cursors.entry(list).or_default(), text);
            }
            return;
        }
        let kind = match key {
            "location" => "location",
            "id" if text.starts_with("⟦token") => "node",
            "keyId" => "key",
            "providerId" => "idp",
            "stream" => "stream",
            "uid" => "uid",
            "created" | "customerId" | "planId" | "subscriptionId" | "commandId" | "actor" => {
                let known = ["cus", "pln", "sub", "cmd", "usr"];
                let kind = known.into_iter().find(|it| text[3..].starts_with(it));
                let Some(kind) = kind else { return };
                kind
            }
            _ => return,
        };
        remember(self.ids.entry(kind).or_default(), text);
    }
}

/// Adds a name that is not there yet.
fn remember(known: &mut Vec<String>, name: &str) {
    if !known.iter().any(|it| it == name) {
        known.push(name.to_owned());
        keep_newest(known);
    }
}

fn keep_newest<T>(known: &mut Vec<T>) {
    if known.len() > KNOWN_MAX {
        known.remove(0);
    }
}

impl PartialEq for Ask {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Step {
    /// The key that makes repeating it safe.
    pub(super) fn key(&self) -> Option<&str> {
        match &self.ask {
            Ask::GraphQl { variables, .. } => variables["options"]["idempotencyKey"].as_str(),
            Ask::Record { key, .. } => key.as_deref(),
            Ask::Get { .. } => None,
        }
    }

    pub(super) fn is_preview(&self) -> bool {
        matches!(&self.ask, Ask::GraphQl { variables, .. } if variables["options"]["preview"] == true)
    }

    /// Tenants that what is asked for may have consequences for, and how many: by number, none for
    /// the system's tenant.
    pub(super) fn names_tenant(&self) -> Option<&str> {
        match &self.ask {
            Ask::GraphQl { variables, .. } => variables["tenantId"].as_str(),
            Ask::Record { .. } | Ask::Get { .. } => None,
        }
    }

    /// What kind of request it is, for counting: the first name in it.
    pub(super) fn kind(&self, kinds: &mut BTreeSet<String>) {
        if let Ask::GraphQl { query, .. } = &self.ask {
            let name = |it: &str| it.trim().chars().take_while(|it| it.is_alphanumeric()).collect();
            let body = query.split_once('{').map_or("", |(_, it)| it);
            kinds.insert(name(body.trim_start().trim_start_matches("done:")));
        }
    }
}
