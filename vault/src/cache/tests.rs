use super::Cache;

#[test]
fn it_is_bounded_and_keeps_what_is_asked_for() {
    let cache = Cache::new(100);
    let began = cache.begin();
    for key in 0..10_000 {
        cache.put(began, key, key);
        assert_eq!(cache.get(&0), Some(0), "asked for all the time, at {key}");
    }
    let kept = (0..10_000).filter(|it| cache.get(it).is_some()).count();
    assert!((50..=101).contains(&kept), "{kept}");
}

#[test]
fn a_reading_that_began_before_a_removal_is_not_kept() {
    let cache = Cache::new(100);
    let before = cache.begin();
    cache.remove(|it| *it == 7);
    cache.put(before, 7, "stale");
    assert_eq!(cache.get(&7), None);
    // The positive control: one that began afterwards is.
    cache.put(cache.begin(), 7, "fresh");
    assert_eq!(cache.get(&7), Some("fresh"));
}

#[test]
fn a_removal_reaches_both_halves() {
    let cache = Cache::new(4);
    for key in 0..4 {
        cache.put(cache.begin(), key, ());
    }
    cache.remove(|_| true);
    assert_eq!((0..4).filter_map(|it| cache.get(&it)).count(), 0);
}
