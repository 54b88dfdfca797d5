use super::*;
use std::collections::BTreeSet;

#[test]
fn names_sort_as_keys_do() {
    let keys = [Key::plain(0), Key::plain(9), Key::plain(10), Key::plain(KEYS_MAX)];
    let all: BTreeSet<Key> = keys.into_iter().flat_map(|key| [key, key.shadow()]).collect();
    let names: Vec<Bytes> = all.iter().map(|key| key.name()).collect();
    assert!(names.is_sorted());
    for key in all {
        assert_eq!(Key::parse(&key.name()), Ok(key));
        assert!(key.name() < PREFIX_END && key.name() > PREFIX);
    }
    for name in ["", "torture/", "torture/k1", "torture/x0001", "torture/k00001", "k0001"] {
        assert!(Key::parse(name.as_bytes()).is_err(), "{name}");
    }
}

#[test]
fn a_value_with_one_other_byte_is_none() {
    let value = Value::new(3, 77);
    let bytes = value.render();
    assert_eq!(Value::parse(&bytes), Ok(value));
    for at in 0..bytes.len() {
        let mut other = bytes.to_vec();
        other[at] ^= 1;
        // A changed number may be another number, but then the filler gives it away.
        assert!(Value::parse(&other).is_err(), "byte {at}");
    }
    assert!(Value::parse(&bytes[..bytes.len() - 1]).is_err());
    assert!(Value::parse(b"").is_err());
}

#[test]
fn events_are_read_strictly() {
    let value = Value::new(1, 1).render();
    let kv = mvccpb::KeyValue {
        key: Key::plain(1).name(),
        value,
        mod_revision: 5,
        create_revision: 4,
        version: 2,
        lease: 0,
    };
    let put = mvccpb::Event { r#type: 0, kv: Some(kv.clone()), prev_kv: None };
    assert_eq!(Change::read(&put).unwrap().put, Some(Pair::read(&kv).unwrap()));
    let bare =
        mvccpb::KeyValue { key: kv.key.clone(), mod_revision: 6, ..mvccpb::KeyValue::default() };
    let delete = mvccpb::Event { r#type: 1, kv: Some(bare), prev_kv: None };
    let change = Change { revision: 6, key: Key::plain(1), put: None };
    assert_eq!(Change::read(&delete), Ok(change));
    let leased = mvccpb::KeyValue { lease: 7, ..kv.clone() };
    for broken in [
        mvccpb::Event { kv: None, ..put.clone() },
        mvccpb::Event { r#type: 1, kv: Some(kv), prev_kv: None },
        mvccpb::Event { r#type: 2, ..delete },
        mvccpb::Event { kv: Some(leased), ..put },
    ] {
        assert!(Change::read(&broken).is_err(), "{broken:?}");
    }
}
