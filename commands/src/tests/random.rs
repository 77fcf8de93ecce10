//! Whatever is asked in whatever order: the live state is what the log says.

use std::time::Duration;

use chrono::TimeDelta;
use domain::operation::{EntityChange, Operation};
use domain::principal::Principal;
use event_log::Partition;
use event_log::memory::Fault;

use super::installation::{Installation, change, put, put_described, remove};
use super::scenario::{self, calls, define_calls};
use crate::request::{Mode, Request};

/// A sequence of numbers that looks random and is the same every time (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn any_request(numbers: &mut Numbers) -> Request {
    let name = format!("web-{}", numbers.below(12));
    let description = format!("version {}", numbers.below(3));
    let operation = match numbers.below(8) {
        0 => put(&name),
        1 | 2 => put_described(&name, &description),
        3 => remove(&name),
        4 => {
            let changes = (0..4).map(|it| change(&format!("web-{it}"), &description));
            Operation::ApplyEntities { changes: changes.collect::<Vec<EntityChange>>() }
        }
        5 => {
            let value = u32::try_from(numbers.below(3)).unwrap();
            let entry = calls(&format!("call-{}", numbers.below(20)), value);
            Operation::RecordUsage { entries: vec![entry] }
        }
        6 => Operation::RenameTenant { name: name.parse().unwrap() },
        _ => define_calls(),
    };
    let key = (numbers.below(4) == 0).then(|| format!("key-{}", numbers.below(10)));
    let mode = if numbers.below(6) == 0 { Mode::Preview } else { Mode::Commit };
    Request { idempotency_key: key.map(|it| it.parse().unwrap()), mode, ..Request::new(operation) }
}

async fn play(seed: u64) {
    let mut numbers = Numbers(seed);
    let mut installation = Installation::new().await;
    let tenants = [installation.tenant("acme").await, installation.tenant("umbrella").await];
    scenario::sell(&installation, &tenants[0], 8, 20).await;
    for _ in 0..25 {
        if numbers.below(4) == 0 {
            let faults = [Fault::Refused, Fault::UnknownWritten, Fault::UnknownLost, Fault::Fenced];
            let fault = usize::try_from(numbers.below(4)).unwrap();
            installation.log.faults().fail_next(faults[fault]);
        }
        let requests: Vec<(Principal, Request)> = (0..numbers.below(12))
            .map(|_| {
                let tenant = usize::try_from(numbers.below(2)).unwrap();
                (tenants[tenant].clone(), any_request(&mut numbers))
            })
            .collect();
        let asked = requests.into_iter().map(|(who, request)| {
            let commands = installation.commands.clone();
            tokio::spawn(async move { commands.submit(&who, request).await })
        });
        for asked in asked.collect::<Vec<_>>() {
            // Whether it is accepted is not the question here.
            drop(asked.await.unwrap());
        }
        if numbers.below(5) == 0 {
            installation.clock.advance(TimeDelta::days(11));
        }
        if numbers.below(8) == 0 {
            installation.restart().await;
        }
    }
    // Timers may rest after a refusal; a later start must not find any that are due.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let live = installation.state(Partition(0)).await;
    installation.restart().await;
    scenario::assert_same(&live, &installation.state(Partition(0)).await);
    installation.forget_snapshots().await;
    installation.start_again().await;
    scenario::assert_same(&live, &installation.state(Partition(0)).await);
}

#[tokio::test(start_paused = true)]
async fn the_live_state_is_what_the_log_says() {
    for seed in 0..12 {
        play(seed).await;
    }
}
