use uuid::Uuid;

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Item {
    tenant: u128,
    number: usize,
    bytes: usize,
    sender: Sender,
}

impl Waiting for Item {
    fn tenant(&self) -> TenantId {
        TenantId(Uuid::from_u128(self.tenant))
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn sender(&self) -> Sender {
        self.sender
    }
}

fn item(tenant: u128, number: usize, bytes: usize) -> Item {
    Item { tenant, number, bytes, sender: Sender::Caller }
}

fn inbox(batch_requests_max: usize) -> Inbox<Item, ()> {
    let inbox = Inbox::new(Bounds {
        waiting_requests_max: 100,
        waiting_bytes_max: 1024 * 1024,
        batch_requests_max,
        batch_bytes_max: 64 * 1024,
    });
    inbox.open();
    inbox
}

/// Who is in the next batch.
fn next(inbox: &Inbox<Item, ()>) -> Vec<(u128, usize)> {
    inbox.try_next().requests.iter().map(|it| (it.tenant, it.number)).collect()
}

#[test]
fn requests_of_a_tenant_stay_in_order() {
    let inbox = inbox(3);
    (0..7).for_each(|it| inbox.push(item(1, it, 10)).unwrap());
    assert_eq!(next(&inbox), [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(next(&inbox), [(1, 3), (1, 4), (1, 5)]);
    assert_eq!(next(&inbox), [(1, 6)]);
    assert_eq!(next(&inbox), []);
}

#[test]
fn tenants_take_turns_by_bytes() {
    let inbox = inbox(100);
    (0..8).for_each(|it| inbox.push(item(1, it, 16 * 1024)).unwrap());
    (0..80).for_each(|it| inbox.push(item(2, it, 1024)).unwrap());
    let batch = next(&inbox);
    let of = |tenant| batch.iter().filter(|it| it.0 == tenant).count();
    assert_eq!((of(1), of(2)), (2, 32), "as many bytes of one as of the other");
}

/// Whether a request of `tenant` is in the next batch although another tenant's fill one.
fn is_served_soon(tenant: u128) -> bool {
    let inbox = inbox(40);
    (0..99).for_each(|it| inbox.push(item(1, it, 1024)).unwrap());
    inbox.push(item(tenant, 99, 1024)).unwrap();
    next(&inbox).contains(&(tenant, 99))
}

#[test]
fn who_comes_last_is_in_the_next_batch_however_many_wait() {
    assert!(is_served_soon(2));
    assert!(!is_served_soon(1), "in one queue for all it would not be, and the check notices");
}

#[test]
fn a_request_larger_than_a_turn_or_a_batch_gets_its_turn() {
    let inbox = inbox(100);
    inbox.push(item(1, 0, 200 * 1024)).unwrap();
    (0..90).for_each(|it| inbox.push(item(2, it, 1024)).unwrap());
    let mut batches = 0;
    loop {
        batches += 1;
        if next(&inbox).contains(&(1, 0)) {
            break;
        }
    }
    assert!(batches <= 3, "it was served after {batches} batches");
}

#[test]
fn only_who_fills_its_queue_is_turned_away() {
    let inbox = inbox(10);
    (0..100).for_each(|it| inbox.push(item(1, it, 10)).unwrap());
    inbox.set_pace(Duration::from_millis(20));
    let Err(Refused::Full(refused, wait)) = inbox.push(item(1, 100, 10)) else { panic!() };
    assert_eq!(refused, item(1, 100, 10));
    assert_eq!(wait, Duration::from_millis(220), "10 batches before it, and its own");
    inbox.push(item(2, 0, 10)).unwrap();
    next(&inbox);
    inbox.push(item(1, 100, 10)).unwrap();
}

#[test]
fn what_callboard_asks_of_itself_gets_into_a_full_queue_in_its_place() {
    let reaction = |number| Item { sender: Sender::Reaction, ..item(1, number, 10) };
    let inbox = inbox(200);
    (0..100).for_each(|it| inbox.push(item(1, it, 10)).unwrap());
    inbox.push(reaction(100)).unwrap();
    inbox.push(reaction(101)).unwrap();
    let refused = inbox.push(item(1, 102, 10));
    assert!(matches!(refused, Err(Refused::Full(..))), "of a caller it takes no more");
    assert_eq!(next(&inbox), (0..102).map(|it| (1, it)).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_of_bytes_still_takes_one_request_of_any_size() {
    let inbox = inbox(10);
    inbox.push(item(1, 0, 4 * 1024 * 1024)).unwrap();
    assert!(matches!(inbox.push(item(1, 1, 1)), Err(Refused::Full(..))));
}

#[test]
fn what_is_given_back_comes_first_and_in_order() {
    let inbox = inbox(3);
    (0..6).for_each(|it| inbox.push(item(1, it, 10)).unwrap());
    let taken = inbox.try_next().requests;
    inbox.give_back(taken.into_iter());
    assert_eq!(next(&inbox), [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(next(&inbox), [(1, 3), (1, 4), (1, 5)]);
}

#[tokio::test]
async fn a_closed_inbox_hands_out_what_waits_and_ends() {
    let inbox = inbox(10);
    inbox.push(item(1, 0, 10)).unwrap();
    inbox.close();
    assert!(matches!(inbox.push(item(1, 1, 10)), Err(Refused::Shut(..))));
    assert!(inbox.push_read(()).is_err());
    assert_eq!(inbox.next().await.unwrap().requests.len(), 1);
    assert!(inbox.next().await.is_none());
}

#[test]
fn a_shut_inbox_opens_again_and_serves_reads_meanwhile() {
    let inbox = inbox(10);
    inbox.shut(Away::Owner, 0);
    assert!(matches!(inbox.push(item(1, 0, 10)), Err(Refused::Shut(_, Away::Owner))));
    inbox.push_read(()).unwrap();
    assert_eq!(inbox.try_next().reads.len(), 1);
    inbox.open();
    inbox.push(item(1, 0, 10)).unwrap();
}
