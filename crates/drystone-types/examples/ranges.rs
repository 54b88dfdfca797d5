//! Which keys a request speaks of, in etcd's two fields.

use drystone_types::KeyRange;

fn main() {
    let keys = ["a", "a/1", "a/2", "b"];
    for (key, range_end) in [("a", ""), ("a/", "a0"), ("a/1", "\0"), ("b", "a")] {
        let range = KeyRange::from_fields(key, range_end);
        let held: Vec<&str> =
            keys.into_iter().filter(|key| range.contains(key.as_bytes())).collect();
        eprintln!("key {key:?}, range_end {range_end:?}: {held:?}");
    }
}
