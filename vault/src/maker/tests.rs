use std::collections::BTreeSet;
use std::sync::Arc;

use domain::id::{SubjectId, TenantId};
use futures::FutureExt as _;
use futures::future::join_all;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::Maker;
use super::queue::{KEYS_MAX, Queue, Request, WAITING_MAX};
use crate::MemoryVault;
use crate::conformance::{ACME, GLOBEX};
use crate::port::{KeyName, Slot, VaultError, Wrapped};

type Answer = oneshot::Receiver<Result<Vec<Slot>, VaultError>>;

fn candidate(tenant: TenantId, subject: u128) -> (KeyName, Wrapped) {
    let name = KeyName::Subject(tenant, SubjectId(Uuid::from_u128(subject)));
    (name, Wrapped(subject.to_be_bytes().to_vec()))
}

fn request(tenant: TenantId, subjects: std::ops::Range<u128>) -> (Request, Answer) {
    let (answer, made) = oneshot::channel();
    (Request { candidates: subjects.map(|it| candidate(tenant, it)).collect(), answer }, made)
}

fn held(subject: u128) -> Slot {
    Slot::Held(Wrapped(subject.to_be_bytes().to_vec()))
}

#[tokio::test]
async fn who_needs_keys_at_the_same_time_shares_a_transaction() {
    let vault = Arc::new(MemoryVault::default());
    let maker = Maker::new(vault.clone());
    vault.fall_silent();
    let tenant = |it: u128| if it.is_multiple_of(2) { ACME } else { GLOBEX };
    let asked = (0..100).map(|it| maker.make(tenant(it), vec![candidate(tenant(it), it)]));
    let mut asked = std::pin::pin!(join_all(asked));
    // The first is under way, and says nothing yet.
    assert!(asked.as_mut().now_or_never().is_none());
    tokio::task::yield_now().await;
    vault.come_back();
    for (it, made) in (0..100).zip(asked.await) {
        assert_eq!(made.unwrap(), [held(it)]);
    }
    // As many as there were keys, would each have its own.
    assert!(vault.makings() <= 2, "{}", vault.makings());
    // Nobody has to wait for company.
    maker.make(ACME, vec![candidate(ACME, 1_000)]).await.unwrap();
}

#[tokio::test]
async fn everybody_hears_of_a_failure_and_the_next_ones_are_tried_again() {
    let vault = Arc::new(MemoryVault::default());
    let maker = Maker::new(vault.clone());
    for _ in 0..2 {
        vault.leave();
        let asked = (0..10).map(|it| maker.make(ACME, vec![candidate(ACME, it)]));
        for made in join_all(asked).await {
            assert_eq!(made.unwrap_err().doing, "looking for itself");
        }
        vault.come_back();
        let asked = (0..10).map(|it| maker.make(ACME, vec![candidate(ACME, it)]));
        for (it, made) in (0..10).zip(join_all(asked).await) {
            assert_eq!(made.unwrap(), [held(it)]);
        }
    }
}

#[tokio::test]
async fn who_gives_up_takes_nothing_from_those_who_wait() {
    let vault = Arc::new(MemoryVault::default());
    let maker = Maker::new(vault.clone());
    vault.fall_silent();
    let ask = |it| maker.make(ACME, vec![candidate(ACME, it)]);
    let (mut first, mut second, third) = (Box::pin(ask(1)), Box::pin(ask(2)), ask(3));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    tokio::task::yield_now().await;
    drop((first, second));
    let mut third = Box::pin(third);
    assert!((&mut third).now_or_never().is_none());
    vault.come_back();
    assert_eq!(third.await.unwrap(), [held(3)]);
}

#[test]
fn nobody_waits_behind_a_tenant_that_needs_many() {
    let mut queue = Queue::default();
    let mut answers = Vec::new();
    let mut add = |queue: &mut Queue, tenant, subjects| {
        let (request, answer) = request(tenant, subjects);
        answers.push(answer);
        queue.add(tenant, request).unwrap()
    };
    let step = KEYS_MAX as u128 / 10;
    assert!(add(&mut queue, ACME, 0..step), "somebody has to begin");
    for it in 1..30 {
        assert!(!add(&mut queue, ACME, it * step..(it + 1) * step));
    }
    assert!(!add(&mut queue, GLOBEX, 0..1));
    let taken: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
    let keys = |it: &super::Group| it.requests.iter().map(|it| it.candidates.len()).sum::<usize>();
    let first: BTreeSet<_> = taken[0].iter().map(|it| it.tenant).collect();
    assert_eq!(first, BTreeSet::from([ACME, GLOBEX]));
    assert_eq!(taken.iter().flatten().map(keys).sum::<usize>(), 30 * KEYS_MAX / 10 + 1);
    assert!(taken.iter().all(|it| it.iter().map(keys).sum::<usize>() < KEYS_MAX + KEYS_MAX / 10));
    assert!(add(&mut queue, ACME, 0..1), "the work had ended");
}

#[test]
fn a_tenant_fills_its_own_line_only_and_who_has_given_up_needs_nothing() {
    let mut queue = Queue::default();
    let (first, _first) = request(ACME, 0..WAITING_MAX as u128);
    queue.add(ACME, first).unwrap();
    let (more, _more) = request(ACME, 0..1);
    assert!(queue.add(ACME, more).unwrap_err().is_away(), "it may ask again");
    let (other, given_up) = request(GLOBEX, 0..1);
    queue.add(GLOBEX, other).unwrap();
    drop(given_up);
    let taken = queue.take().unwrap();
    assert_eq!(taken.iter().map(|it| it.tenant).collect::<Vec<_>>(), [ACME]);
    assert!(queue.take().is_none());
}

#[test]
fn a_tenant_that_is_apart_waits_alone() {
    let mut queue = Queue::default();
    queue.set_apart(ACME);
    let ((mine, _mine), (other, _other)) = (request(ACME, 0..1), request(GLOBEX, 0..1));
    assert!(!queue.add(ACME, mine).unwrap(), "there is nothing to do yet");
    assert!(queue.add(GLOBEX, other).unwrap());
    let tenants = |it: Vec<super::Group>| it.iter().map(|it| it.tenant).collect::<Vec<_>>();
    assert_eq!(queue.take().map(tenants), Some(vec![GLOBEX]));
    assert!(queue.take().is_none());
    assert!(queue.take_back(ACME), "there is now");
    assert_eq!(queue.take().map(tenants), Some(vec![ACME]));
}
