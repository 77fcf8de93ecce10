//! The index against a plain map, under random operations, also across restarts.

use std::collections::HashMap;

use domain::usage::Seen;
use event_log::Position;

use super::super::{Fingerprint, Identities, Pending};
use super::{entry, open};

/// What the index is compared with: the log, and a map of everything in it.
#[derive(Default)]
struct Model {
    log: Vec<Fingerprint>,
    known: HashMap<u128, u64>,
}

impl Model {
    fn seen(&self, asked: Fingerprint) -> Seen {
        match self.known.get(&asked.identity) {
            None => Seen::New,
            Some(content) if *content == asked.content => Seen::Same,
            Some(_) => Seen::Conflict,
        }
    }

    /// The position of the next record; the first has 1, and some are skipped.
    fn end(&self) -> Position {
        Position(position(self.log.len()))
    }

    /// Brings a reopened index up to date, as the owner does.
    fn replay(&self, identities: &mut Identities) {
        let sealed_upto = identities.sealed_upto();
        for (number, fingerprint) in self.log.iter().enumerate() {
            if Position(position(number)) >= sealed_upto {
                identities.insert(*fingerprint);
            }
        }
    }
}

fn position(number: usize) -> u64 {
    u64::try_from(number).unwrap() * 3 + 1
}

/// Pseudo-random numbers (xorshift), the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(bound)).unwrap()
    }
}

/// Runs random operations; how many lookups differed from the model.
fn differences(seed: u64, replay: impl Fn(&Model, &mut Identities)) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let mut identities = open(folder.path());
    let mut model = Model::default();
    let mut random = Random(seed);
    let mut differences = 0;
    for _ in 0..250 {
        match random.below(10) {
            0 => identities.seal(model.end()),
            1 => identities.settle().unwrap(),
            2 => {
                drop(identities);
                identities = open(folder.path());
                replay(&model, &mut identities);
            }
            _ => {
                let contents = ["one", "two"];
                let asked: Vec<_> = (0..random.below(60))
                    .map(|_| {
                        entry(random.below(3_000), contents[usize::from(random.below(8) == 0)])
                    })
                    .collect();
                let seen = identities.lookup(&Pending::default(), &asked).unwrap();
                let expected: Vec<_> = asked.iter().map(|it| model.seen(*it)).collect();
                differences += seen.iter().zip(&expected).filter(|(a, b)| a != b).count();
                let mut pending = Pending::default();
                let accepted = expected.iter().zip(&asked).filter(|it| *it.0 == Seen::New);
                accepted.for_each(|it| pending.insert(*it.1));
                if random.below(4) == 0 {
                    continue;
                }
                for (identity, content) in &pending.0 {
                    let (identity, content) = (*identity, *content);
                    model.log.push(Fingerprint { identity, content });
                    model.known.insert(identity, content);
                }
                identities.merge(pending);
            }
        }
    }
    identities.verify().unwrap();
    differences
}

#[test]
fn it_answers_like_a_map_also_across_restarts() {
    for seed in 1..=8 {
        assert_eq!(differences(seed, Model::replay), 0, "seed {seed}");
    }
}

/// The positive control: an owner that forgets to replay the tail is found out.
#[test]
fn without_the_replay_of_the_tail_it_would_not() {
    assert!((1..=3).any(|seed| differences(seed, |_, _| ()) > 0));
}
