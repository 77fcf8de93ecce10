//! Who is next: whoever has used least, where idling saves nothing up.
//!
//! Each tenant has an account of what it has used. The next turn belongs to the smallest account
//! of those who wait. Who comes back starts from where the others are now if its own account is
//! smaller, so that nobody has a claim for having been away; what it used too much is remembered
//! until the others have used as much. (Start-time fair queueing, with real costs.)

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// Accounts that are kept without asking whether they still matter: 1,024.
const UNSWEPT_MAX: usize = 1_024;

/// What waits, by whose it is.
#[derive(Debug)]
pub(super) struct Order<K, T> {
    accounts: HashMap<K, Account<T>>,
    /// Everybody who waits, by what they have used.
    waiting: BTreeSet<(Duration, K)>,
    /// Where the accounts are now: the account of whoever was let in last.
    now: Duration,
    /// How many accounts there may be before they are looked through.
    unswept_max: usize,
}

#[derive(Debug)]
struct Account<T> {
    used: Duration,
    waiting: VecDeque<T>,
}

impl<K, T> Default for Order<K, T> {
    fn default() -> Self {
        let (accounts, waiting) = (HashMap::new(), BTreeSet::new());
        Self { accounts, waiting, now: Duration::ZERO, unswept_max: UNSWEPT_MAX }
    }
}

impl<K: Copy + Ord + Hash, T> Order<K, T> {
    /// Lets `item` wait, behind others of `whose`.
    pub(super) fn wait(&mut self, whose: K, item: T) {
        let account = Self::account(&mut self.accounts, whose, self.now);
        if account.waiting.is_empty() {
            self.waiting.insert((account.used, whose));
        }
        account.waiting.push_back(item);
    }

    /// Something of `whose` begins that never waited.
    pub(super) fn begin(&mut self, whose: K) {
        let used = Self::account(&mut self.accounts, whose, self.now).used;
        self.now = self.now.max(used);
    }

    /// Who is next.
    pub(super) fn next(&mut self) -> Option<T> {
        let (used, whose) = self.waiting.pop_first()?;
        self.now = self.now.max(used);
        let account = self.accounts.get_mut(&whose)?;
        let item = account.waiting.pop_front();
        if !account.waiting.is_empty() {
            self.waiting.insert((used, whose));
        }
        item
    }

    /// Adds to what `whose` has used.
    pub(super) fn charge(&mut self, whose: K, cost: Duration) {
        if let Some(account) = self.accounts.get_mut(&whose) {
            let waits = self.waiting.remove(&(account.used, whose));
            account.used += cost;
            if waits {
                self.waiting.insert((account.used, whose));
            } else if self.waiting.is_empty() {
                // What is used while nobody waits is at nobody's cost.
                self.now = self.now.max(account.used);
            }
        }
        if self.accounts.len() > self.unswept_max {
            let now = self.now;
            self.accounts.retain(|_, it| !it.waiting.is_empty() || it.used > now);
            self.unswept_max = UNSWEPT_MAX.max(self.accounts.len() * 2);
        }
    }

    fn account(accounts: &mut HashMap<K, Account<T>>, whose: K, now: Duration) -> &mut Account<T> {
        let account = accounts
            .entry(whose)
            .or_insert_with(|| Account { used: now, waiting: VecDeque::new() });
        if account.waiting.is_empty() {
            account.used = account.used.max(now);
        }
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets everybody in, each for what it costs, and says in which order they came.
    fn served(order: &mut Order<char, u64>) -> String {
        let mut served = String::new();
        loop {
            // Each item says whose it is in its tens, and what it costs in its units.
            let Some(item) = order.next() else { return served };
            let whose = char::from(b'a' + u8::try_from(item / 10).unwrap());
            served.push(whose);
            order.charge(whose, Duration::from_millis(item % 10));
        }
    }

    fn filled(waiting: &[(char, u64, usize)]) -> Order<char, u64> {
        let mut order = Order::default();
        for (whose, cost, count) in waiting {
            for _ in 0..*count {
                order.wait(*whose, (*whose as u64 - 'a' as u64) * 10 + cost);
            }
        }
        order
    }

    #[test]
    fn tenants_take_turns_however_many_wait_for_one() {
        assert_eq!(served(&mut filled(&[('a', 1, 6), ('b', 1, 2)])), "ababaaaa");
        assert_eq!(served(&mut filled(&[('b', 1, 2), ('a', 1, 2)])), "abab");
    }

    #[test]
    fn who_asks_for_much_is_let_in_less_often() {
        assert_eq!(served(&mut filled(&[('a', 3, 3), ('b', 1, 6)])), "abbbabbba");
    }

    #[test]
    fn being_away_saves_nothing_up() {
        let mut order = filled(&[('a', 1, 5)]);
        assert_eq!(served(&mut order), "aaaaa");
        for _ in 0..3 {
            order.wait('a', 1);
            order.wait('b', 11);
        }
        assert_eq!(served(&mut order), "ababab", "and not `bbb` first");
    }

    #[test]
    fn what_was_used_too_much_is_remembered_until_others_have_used_it() {
        let mut order = filled(&[('a', 4, 1), ('b', 1, 1)]);
        assert_eq!(served(&mut order), "ab");
        order.wait('a', 1);
        for _ in 0..4 {
            order.wait('b', 11);
        }
        assert_eq!(served(&mut order), "bbbab");
    }

    #[test]
    fn accounts_that_matter_no_longer_are_forgotten() {
        let mut order: Order<u32, ()> = Order::default();
        for whose in 0..5_000 {
            order.wait(whose, ());
            assert_eq!(order.next(), Some(()));
            order.charge(whose, Duration::from_nanos(1));
        }
        assert!(order.accounts.len() <= UNSWEPT_MAX + 1, "{}", order.accounts.len());
    }
}
