//! The judge of a crash test: what was asked and answered against what the log holds.
//!
//! Pure: it knows no server and no file. [`History::judge`] is told, crash after crash, what is
//! new on both sides and names everything that must not be. The tests below take one step away
//! from a good history each, and the judge must see it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use uuid::Uuid;

/// One request, whose repetitions are the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) request: Uuid,
    pub(crate) tenant: String,
    /// How many events it causes, all or none.
    pub(crate) events: usize,
    pub(crate) answer: Answer,
}

/// What is known of a request from its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It may have taken effect or not.
    Unknown,
    /// It took effect; the tenant's last sequence then.
    Done(u64),
    /// It did not take effect, and never will.
    Refused,
}

/// One event in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) tenant: String,
    pub(crate) sequence: u64,
    /// The request it says it comes from.
    pub(crate) request: Uuid,
    /// The command it was caused by.
    pub(crate) command: String,
    /// Its place among the events of the command, from 1.
    pub(crate) place: usize,
    /// How many events it says the command has.
    pub(crate) of: usize,
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It was acknowledged and is not there.
    Lost(Uuid),
    /// It was refused and took effect.
    Refused(Uuid),
    /// It took effect more than once.
    Twice(Uuid),
    /// Some of its events are there and some are not.
    Half(Uuid),
    /// It took effect in a tenant it was not meant for.
    Misplaced(Uuid),
    /// The answer spoke of a sequence before it took effect.
    Early(Uuid),
    /// It is there and nobody asked for it.
    Unasked(Uuid),
    /// A tenant's sequence goes from one number to another that is not the next.
    Gap(String, u64, u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(it) => write!(f, "{it} was acknowledged and is lost"),
            Self::Refused(it) => write!(f, "{it} was refused and took effect"),
            Self::Twice(it) => write!(f, "{it} took effect more than once"),
            Self::Half(it) => write!(f, "{it} took effect in part"),
            Self::Misplaced(it) => write!(f, "{it} took effect elsewhere"),
            Self::Early(it) => write!(f, "{it} was acknowledged at a sequence before its own"),
            Self::Unasked(it) => write!(f, "{it} took effect and nobody asked for it"),
            Self::Gap(tenant, from, to) => write!(f, "{tenant} goes from {from} to {to}"),
        }
    }
}

/// Everything that was asked and seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Asked, and not seen in the log yet.
    open: HashMap<Uuid, Asked>,
    /// Seen in the log.
    settled: HashSet<Uuid>,
    sequences: BTreeMap<String, u64>,
}

impl History {
    /// The history of tenants whose last sequences are known.
    pub(crate) fn since(sequences: BTreeMap<String, u64>) -> Self {
        Self { sequences, ..Self::default() }
    }

    /// The last sequence of each tenant.
    pub(crate) fn sequences(&self) -> &BTreeMap<String, u64> {
        &self.sequences
    }

    /// How many requests took effect.
    pub(crate) fn settled(&self) -> usize {
        self.settled.len()
    }

    /// Takes what was asked since the last time, answered or not, and what was appended to the
    /// log since, in its order; says what must not be. A request may be asked again.
    pub(crate) fn judge(&mut self, asked: &[Asked], found: &[Found]) -> Vec<Fault> {
        for it in asked.iter().filter(|it| !self.settled.contains(&it.request)) {
            self.open.insert(it.request, it.clone());
        }
        let mut faults = self.gaps(found);
        let mut by_request: Vec<(Uuid, Vec<&Found>)> = Vec::new();
        let mut places: HashMap<Uuid, usize> = HashMap::new();
        for it in found {
            let place = *places.entry(it.request).or_insert(by_request.len());
            if place == by_request.len() {
                by_request.push((it.request, Vec::new()));
            }
            by_request[place].1.push(it);
        }
        for (request, events) in by_request {
            faults.extend(self.settle(request, &events));
        }
        let lost = self.open.values().filter(|it| matches!(it.answer, Answer::Done(_)));
        faults.extend(lost.map(|it| Fault::Lost(it.request)));
        faults
    }

    fn gaps(&mut self, found: &[Found]) -> Vec<Fault> {
        let mut faults = Vec::new();
        for it in found {
            let last = self.sequences.entry(it.tenant.clone()).or_default();
            if it.sequence != *last + 1 {
                faults.push(Fault::Gap(it.tenant.clone(), *last, it.sequence));
            }
            *last = it.sequence;
        }
        faults
    }

    /// Judges all new events of one request.
    fn settle(&mut self, request: Uuid, events: &[&Found]) -> Vec<Fault> {
        if self.settled.contains(&request) {
            return vec![Fault::Twice(request)];
        }
        let Some(asked) = self.open.remove(&request) else { return vec![Fault::Unasked(request)] };
        self.settled.insert(request);
        if asked.answer == Answer::Refused {
            return vec![Fault::Refused(request)];
        }
        let commands: HashSet<&str> = events.iter().map(|it| it.command.as_str()).collect();
        let places: Vec<usize> = events.iter().map(|it| it.place).collect();
        if commands.len() > 1 || events.len() > asked.events {
            return vec![Fault::Twice(request)];
        }
        let mut faults = Vec::new();
        if places != (1..=asked.events).collect::<Vec<_>>()
            || events.iter().any(|it| it.of != asked.events)
        {
            faults.push(Fault::Half(request));
        }
        if events.iter().any(|it| it.tenant != asked.tenant) {
            faults.push(Fault::Misplaced(request));
        }
        let last = events.iter().map(|it| it.sequence).max();
        if matches!(asked.answer, Answer::Done(it) if Some(it) < last) {
            faults.push(Fault::Early(request));
        }
        faults
    }
}

#[cfg(test)]
mod tests;
