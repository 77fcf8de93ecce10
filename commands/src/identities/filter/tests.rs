use domain::id::TenantId;

use super::super::Fingerprinter;
use super::Filter;

fn identities(from: u32, count: u32) -> impl Iterator<Item = u128> {
    let fingerprinter = Fingerprinter::new(&[7; 16]);
    (from..from + count)
        .map(move |it| fingerprinter.of(TenantId::SYSTEM, "", &it.to_string(), b"").identity)
}

#[test]
fn it_never_misses_and_seldom_errs() {
    let mut filter = Filter::new(20_000);
    identities(0, 20_000).for_each(|it| filter.insert(it));
    assert!(identities(0, 20_000).all(|it| filter.may_hold(it)));
    let wrong = identities(20_000, 20_000).filter(|it| filter.may_hold(*it)).count();
    assert!((20..200).contains(&wrong), "{wrong} of 20,000; about 100 are expected");
    assert!(filter.bytes() <= 20_000 * 3 / 2 + 64, "{}", filter.bytes());
}

#[test]
fn its_words_make_it_again() {
    let mut filter = Filter::new(1_000);
    identities(0, 1_000).for_each(|it| filter.insert(it));
    let mut again = Filter::with_words(filter.word_count());
    for (word, place) in filter.words().zip(again.words_mut()) {
        *place = word;
    }
    assert_eq!(again, filter);
    assert_ne!(again, Filter::new(1_000));
}

#[test]
fn one_for_nothing_holds_nothing() {
    assert!(identities(0, 100).all(|it| !Filter::new(0).may_hold(it)));
}
