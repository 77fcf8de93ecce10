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
    /// The tenant's last sequence by the answer; none while nobody answered.
    pub(crate) answered: Option<u64>,
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
        let lost = self.open.values().filter(|it| it.answered.is_some());
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
        if asked.answered.is_some_and(|it| Some(it) < last) {
            faults.push(Fault::Early(request));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: usize = 3;

    fn request(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// Ten requests of three events each, in turn of two tenants, all answered.
    fn good() -> (Vec<Asked>, Vec<Found>) {
        let (mut asked, mut found) = (Vec::new(), Vec::new());
        let mut sequences = HashMap::from([("one", 0), ("other", 0)]);
        for number in 0..10 {
            let tenant = if number % 2 == 0 { "one" } else { "other" };
            let sequence = sequences.get_mut(tenant).unwrap();
            for place in 1..=THREE {
                *sequence += 1;
                found.push(Found {
                    tenant: tenant.to_owned(),
                    sequence: *sequence,
                    request: request(number),
                    command: format!("cmd_{number}"),
                    place,
                    of: THREE,
                });
            }
            let answered = Some(*sequence);
            let tenant = tenant.to_owned();
            asked.push(Asked { request: request(number), tenant, events: THREE, answered });
        }
        (asked, found)
    }

    /// Numbers the events of each tenant anew, as a log would that was told to do wrong.
    fn renumber(found: &mut [Found]) {
        let mut sequences: HashMap<String, u64> = HashMap::new();
        for it in found {
            let sequence = sequences.entry(it.tenant.clone()).or_default();
            *sequence += 1;
            it.sequence = *sequence;
        }
    }

    #[track_caller]
    fn check(break_it: impl FnOnce(&mut Vec<Asked>, &mut Vec<Found>), expected: &[Fault]) {
        let (mut asked, mut found) = good();
        break_it(&mut asked, &mut found);
        assert_eq!(History::default().judge(&asked, &found), expected);
    }

    #[test]
    fn a_good_history_has_no_faults_whether_told_at_once_or_crash_by_crash() {
        check(|_, _| {}, &[]);
        let (asked, found) = good();
        let mut history = History::default();
        for (asked, found) in asked.chunks(2).zip(found.chunks(2 * THREE)) {
            assert_eq!(history.judge(asked, found), []);
        }
        assert_eq!(history.settled(), 10);
    }

    #[test]
    fn what_was_not_answered_may_be_there_or_not() {
        check(|asked, _| asked[4].answered = None, &[]);
        check(
            |asked, found| {
                asked[9].answered = None;
                found.truncate(9 * THREE);
            },
            &[],
        );
        check(
            |asked, found| {
                asked[9].answered = None;
                found.truncate(9 * THREE + 1);
            },
            &[Fault::Half(request(9))],
        );
    }

    #[test]
    fn a_lost_command_is_found() {
        check(|_, found| found.truncate(9 * THREE), &[Fault::Lost(request(9))]);
        check(
            |_, found| {
                found.drain(4 * THREE..5 * THREE);
                renumber(found);
            },
            &[Fault::Lost(request(4))],
        );
    }

    #[test]
    fn a_repeated_command_is_found_also_after_another_crash() {
        let again = |found: &mut Vec<Found>| {
            let more: Vec<Found> = found[..THREE]
                .iter()
                .map(|it| Found { command: "cmd_again".to_owned(), ..it.clone() })
                .collect();
            found.extend(more);
            renumber(found);
        };
        check(|_, found| again(found), &[Fault::Twice(request(0))]);
        let (asked, mut found) = good();
        again(&mut found);
        let mut history = History::default();
        assert_eq!(history.judge(&asked, &found[..10 * THREE]), []);
        assert_eq!(history.judge(&asked[..1], &found[10 * THREE..]), [Fault::Twice(request(0))]);
    }

    #[test]
    fn a_command_of_which_a_part_is_missing_is_found() {
        check(
            |_, found| {
                found.remove(4 * THREE + 1);
                renumber(found);
            },
            &[Fault::Half(request(4))],
        );
        check(
            |_, found| found.iter_mut().skip(27).for_each(|it| it.of = 4),
            &[Fault::Half(request(9))],
        );
    }

    #[test]
    fn what_is_out_of_place_or_order_is_found() {
        check(
            |_, found| {
                found.iter_mut().skip(27).for_each(|it| it.tenant = "one".to_owned());
                renumber(found);
            },
            &[Fault::Misplaced(request(9)), Fault::Early(request(9))],
        );
        check(
            |_, found| found[29].sequence += 1,
            &[Fault::Gap("other".to_owned(), 14, 16), Fault::Early(request(9))],
        );
        check(
            |asked, _| {
                asked.remove(3);
            },
            &[Fault::Unasked(request(3))],
        );
    }
}
