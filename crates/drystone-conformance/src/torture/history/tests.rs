use super::*;
use crate::torture::words::Value;

fn put(revision: i64, number: u16, created: i64, version: i64) -> Change {
    let value = Value::new(0, u64::try_from(revision).unwrap());
    let key = Key::plain(number);
    let pair = Pair { key, value, created, modified: revision, version };
    Change { revision, key, put: Some(pair) }
}

fn delete(revision: i64, number: u16) -> Change {
    Change { revision, key: Key::plain(number), put: None }
}

fn history(changes: &[Change]) -> Result<History, String> {
    let mut history = History::default();
    for change in changes {
        history.push(*change)?;
    }
    Ok(history)
}

#[test]
fn states_of_the_past() {
    let changes =
        [put(2, 1, 2, 1), put(3, 1, 2, 2), put(3, 2, 3, 1), delete(4, 1), put(5, 1, 5, 1)];
    let history = history(&changes).unwrap();
    let (one, two) = (Key::plain(1), Key::plain(2));
    let modified = |revision| history.at(one, revision).map(|pair| pair.modified);
    assert_eq!([1, 2, 3, 4, 5, 9].map(modified), [None, Some(2), Some(3), None, Some(5), Some(5)]);
    assert_eq!(history.last(), 5);
    assert_eq!(history.of(3), &changes[1..3]);
    assert_eq!(history.between(3, 4), &changes[1..4]);
    assert_eq!(history.of(6), &[]);
    assert_eq!(history.range(one, two, 3).len(), 1);
    assert_eq!(history.range(one, Key::plain(3), 4).len(), 1);
    assert_eq!(history.all(5).len(), 2);
}

#[test]
fn what_cannot_follow() {
    for (name, changes) in [
        ("the first revision", vec![put(1, 1, 1, 1)]),
        ("left out", vec![put(2, 1, 2, 1), put(4, 2, 4, 1)]),
        ("backwards", vec![put(2, 1, 2, 1), put(3, 2, 3, 1), put(2, 3, 2, 1)]),
        ("told again", vec![put(2, 1, 2, 1), put(2, 1, 2, 1)]),
        ("version", vec![put(2, 1, 2, 1), put(3, 1, 2, 1)]),
        ("created", vec![put(2, 1, 2, 1), put(3, 1, 3, 2)]),
        ("not there", vec![put(2, 1, 2, 1), delete(3, 2)]),
        ("deleted twice", vec![put(2, 1, 2, 1), delete(3, 1), delete(4, 1)]),
        ("version after deletion", vec![put(2, 1, 2, 1), delete(3, 1), put(4, 1, 2, 2)]),
    ] {
        assert!(history(&changes).is_err(), "{name}");
    }
}
