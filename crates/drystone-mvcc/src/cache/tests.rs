use super::*;

fn revision(main: i64) -> Revision {
    Revision { main, sub: 0 }
}

fn pair(length: usize) -> Bytes {
    Bytes::from(vec![7; length])
}

#[test]
fn the_budget_holds_whatever_comes() {
    for budget in [0, 1000, 100_000, 40 << 20] {
        let cache = Cache::new(budget);
        for main in 0..5000 {
            let length = usize::try_from(main * 37 % 9000).unwrap();
            cache.insert(revision(main), pair(length));
            if main % 3 == 0 {
                cache.replaced(revision(main / 2));
            }
            assert!(cache.bytes() <= budget);
        }
    }
}

#[test]
fn what_is_read_stays_longer() {
    let cache = Cache::new((10 * (100 + SLOT_BYTES)) * 8 / 7 + 8);
    for main in 0..10 {
        cache.insert(revision(main), pair(100));
    }
    assert!(cache.get(revision(0)).is_some());
    for main in 10..15 {
        cache.insert(revision(main), pair(100));
    }
    assert!(cache.get(revision(0)).is_some());
    assert!(cache.get(revision(1)).is_none());
    assert!(cache.get(revision(14)).is_some());
}

#[test]
fn replaced_pairs_are_found_for_a_while() {
    let cache = Cache::new(100_000);
    cache.insert(revision(1), pair(10));
    cache.replaced(revision(1));
    assert_eq!(cache.get(revision(1)), Some(pair(10)));
    cache.forget(revision(1));
    for main in 2..2000 {
        cache.insert(revision(main), pair(10));
        cache.replaced(revision(main));
    }
    assert_eq!(cache.get(revision(1)), None);
    let queued: usize = cache.current.shards.iter().map(|s| s.lock().queue.len()).sum();
    assert!(queued <= 64 + 2, "{queued} places for nothing");
}

#[test]
fn revisions_spread_over_shards_and_buckets() {
    let lru = Lru::new(64 << 20);
    for main in 0..16_000 {
        lru.insert(Revision { main: main / 4, sub: main % 4 }, Bytes::new());
    }
    for shard in &lru.shards {
        let held = shard.lock().slots.len();
        assert!((700..1300).contains(&held), "{held}");
    }
}
