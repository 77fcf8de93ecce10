use uuid::Uuid;

use super::*;

const COMMON_MAX: usize = 1_000;

fn tenant(number: u128) -> TenantId {
    TenantId(Uuid::from_u128(number))
}

fn day(number: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(number)
}

/// Remembers requests of `who` on a day for as long as there is room, at most `count`.
fn flood(outcomes: &mut Outcomes, who: TenantId, at: DateTime<Utc>, count: usize) -> usize {
    for number in 0..count {
        if !outcomes.has_room(who, &Claims::default(), COMMON_MAX) {
            return number;
        }
        let position = Position(u64::try_from(outcomes.len()).unwrap() + 1);
        let remembered = Remembered { request: RequestHash(1), position, at };
        outcomes.insert(who, CommandId(Uuid::now_v7()), remembered);
    }
    count
}

#[test]
fn who_floods_takes_half_of_what_is_free_and_what_is_reserved_for_it() {
    let mut outcomes = Outcomes::default();
    assert_eq!(flood(&mut outcomes, tenant(1), day(0), 10_000), RESERVED + 500);
    assert_eq!(flood(&mut outcomes, tenant(2), day(0), 10_000), RESERVED + 250);
    assert_eq!(flood(&mut outcomes, tenant(1), day(1), 10_000), 0, "its share is not larger now");
}

#[test]
fn however_many_flood_everybody_has_what_is_reserved_and_all_is_bounded() {
    let mut outcomes = Outcomes::default();
    for number in 0..100 {
        assert!(flood(&mut outcomes, tenant(number), day(0), 10_000) >= RESERVED);
    }
    assert!(outcomes.len() <= COMMON_MAX + 100 * RESERVED);
    assert!(outcomes.shares.common <= COMMON_MAX);
}

#[test]
fn nothing_is_forgotten_early_and_all_of_it_in_time() {
    let mut outcomes = Outcomes::default();
    flood(&mut outcomes, tenant(1), day(0), 10_000);
    flood(&mut outcomes, tenant(1), day(6), 10_000);
    let count = outcomes.len();
    outcomes.forget(day(7) - TimeDelta::microseconds(1));
    assert_eq!(outcomes.len(), count);
    assert_eq!(outcomes.retry_after(day(6)), Duration::from_secs(3_600));
    outcomes.forget(day(7));
    assert_eq!((outcomes.len(), outcomes.shares.common), (0, 0), "also of the page being filled");
    assert_eq!(flood(&mut outcomes, tenant(1), day(7), 10_000), RESERVED + 500);
}

#[test]
fn what_a_batch_claims_counts_like_what_is_remembered() {
    let outcomes = Outcomes::default();
    let mut claims = Claims::default();
    let mut count = 0;
    while outcomes.has_room(tenant(1), &claims, COMMON_MAX) {
        outcomes.claim(tenant(1), &mut claims);
        count += 1;
    }
    assert_eq!(count, RESERVED + 500);
    assert!(outcomes.has_room(tenant(2), &claims, COMMON_MAX));
}

#[test]
fn shares_are_the_same_after_a_restart() {
    let mut outcomes = Outcomes::default();
    for number in 0..20 {
        flood(&mut outcomes, tenant(number), day(0), 10_000);
    }
    outcomes.forget(day(6));
    let mut restored = Outcomes::default();
    restored.restore(outcomes.freeze(0).pages);
    assert_eq!(restored.all(day(6)), outcomes.all(day(6)));
    assert_eq!(restored.shares.common, outcomes.shares.common);
    restored.forget(day(7));
    for _ in 0..20 {
        restored.forget(day(7));
    }
    assert_eq!((restored.len(), restored.shares.common), (0, 0));
}

#[test]
fn a_key_used_again_in_a_later_page_does_not_hold_up_the_earlier_one() {
    let mut outcomes = Outcomes::default();
    let command = CommandId(Uuid::now_v7());
    let remembered =
        |at, position| Remembered { request: RequestHash(1), position: Position(position), at };
    outcomes.insert(tenant(1), command, remembered(day(0), 1));
    let others: Vec<_> = (0..2 * PAGE_LENGTH).map(|_| CommandId(Uuid::now_v7())).collect();
    for (other, position) in others.iter().zip(2..) {
        outcomes.insert(tenant(1), *other, remembered(day(1), position));
    }
    // As if the first had not been forgotten in time.
    outcomes.by_command.get_mut(&command).unwrap().at = day(0);
    outcomes.insert(tenant(1), command, remembered(day(6), 100_000));
    for _ in 0..10 {
        outcomes.forget(day(8));
    }
    assert_eq!(outcomes.len(), 1);
    assert!(outcomes.get(command, day(8)).is_some());
}
