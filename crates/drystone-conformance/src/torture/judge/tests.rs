use super::*;
use std::time::Duration;

const A: u16 = 1;
const B: u16 = 2;

fn value(serial: u64) -> Value {
    Value::new(0, serial)
}

fn pair(number: u16, serial: u64, created: i64, modified: i64, version: i64) -> Pair {
    Pair { key: Key::plain(number), value: value(serial), created, modified, version }
}

fn put(pair: Pair) -> Change {
    Change { revision: pair.modified, key: pair.key, put: Some(pair) }
}

/// 2: put A, 3: put B, 4: delete A, 5: guarded put of B and its shadow.
fn history() -> History {
    let shadow = Pair { key: Key::plain(B).shadow(), ..pair(B, 5, 5, 5, 1) };
    let mut history = History::default();
    for change in [
        put(pair(A, 2, 2, 2, 1)),
        put(pair(B, 3, 3, 3, 1)),
        Change { revision: 4, key: Key::plain(A), put: None },
        put(pair(B, 5, 3, 5, 2)),
        put(shadow),
    ] {
        history.push(change).unwrap();
    }
    history
}

fn record(floor: i64, op: Op, outcome: Outcome) -> Record {
    Record { client: 0, began: Duration::ZERO, ended: Duration::ZERO, floor, op, outcome }
}

fn done(floor: i64, op: Op, reply: Reply) -> Record {
    record(floor, op, Outcome::Done(reply))
}

fn put_op(number: u16, serial: u64) -> Op {
    Op::Put { key: Key::plain(number), value: value(serial), want_prev: true }
}

fn delete_op(number: u16) -> Op {
    Op::Delete { key: Key::plain(number), want_prev: true }
}

fn guard_op(number: u16, seen: i64, serial: u64) -> Op {
    Op::Guard { key: Key::plain(number), seen, value: value(serial) }
}

fn read_op(number: u16, keys: u16) -> Op {
    Op::Read { first: Key::plain(number), keys, serializable: false }
}

/// Records that tell the truth about [`history`].
fn truth() -> Vec<Record> {
    vec![
        done(1, put_op(A, 2), Reply::Put { revision: 2, prev: None }),
        done(2, put_op(B, 3), Reply::Put { revision: 3, prev: None }),
        done(
            3,
            delete_op(A),
            Reply::Deleted { revision: 4, count: 1, prev: Some(pair(A, 2, 2, 2, 1)) },
        ),
        done(4, guard_op(B, 3, 5), Reply::Guarded { revision: 5 }),
        done(
            3,
            read_op(A, 2),
            Reply::Read {
                revision: 3,
                pairs: vec![pair(A, 2, 2, 2, 1), pair(B, 3, 3, 3, 1)],
                count: 2,
            },
        ),
        done(5, read_op(A, 1), Reply::Read { revision: 5, pairs: vec![], count: 0 }),
        done(5, delete_op(A), Reply::Deleted { revision: 5, count: 0, prev: None }),
        done(
            5,
            guard_op(B, 3, 9),
            Reply::Refuted { revision: 5, found: Some(pair(B, 5, 3, 5, 2)) },
        ),
        record(5, put_op(A, 10), Outcome::Refused("no".into())),
        record(5, put_op(A, 11), Outcome::Unknown("late".into())),
    ]
}

fn kinds(all: &[Record]) -> Vec<&'static str> {
    let mut faults = Faults::default();
    records(&history(), all, &mut faults);
    faults.kinds().map(|(kind, _)| kind).collect()
}

fn with(records: Vec<Record>) -> Vec<&'static str> {
    kinds(&truth().into_iter().chain(records).collect::<Vec<_>>())
}

fn instead(at: usize, record: Record) -> Vec<&'static str> {
    let mut records = truth();
    records[at] = record;
    kinds(&records)
}

#[test]
fn the_truth_has_no_faults() {
    assert_eq!(kinds(&truth()), [] as [&str; 0]);
}

#[test]
fn unknown_writes_may_have_happened() {
    for at in 0..4 {
        let late = record(1, truth()[at].op, Outcome::Unknown("late".into()));
        assert_eq!(instead(at, late), [] as [&str; 0], "{at}");
    }
}

#[test]
fn lost_writes() {
    let gone = done(1, put_op(A, 7), Reply::Put { revision: 2, prev: None });
    assert_eq!(with(vec![gone]), [LOST]);
    let beyond = done(1, put_op(A, 7), Reply::Put { revision: 6, prev: None });
    assert_eq!(with(vec![beyond]), [LOST]);
    let elsewhere = done(1, put_op(A, 2), Reply::Put { revision: 4, prev: None });
    assert!(instead(0, elsewhere).contains(&LOST));
    let deletion = done(1, delete_op(B), Reply::Deleted { revision: 3, count: 1, prev: None });
    assert!(with(vec![deletion]).contains(&LOST));
    let guarded = done(1, guard_op(B, 3, 7), Reply::Guarded { revision: 5 });
    assert_eq!(with(vec![guarded]), [LOST]);
}

#[test]
fn reads_that_go_back() {
    let stale = |revision, floor| {
        let reply = Reply::Read { revision, pairs: vec![pair(A, 2, 2, 2, 1)], count: 1 };
        done(floor, read_op(A, 1), reply)
    };
    assert_eq!(with(vec![stale(2, 2)]), [] as [&str; 0]);
    assert_eq!(with(vec![stale(2, 3)]), [BACKWARDS]);
    // A write needs a revision of its own, a read does not; the unknown ones too.
    let late = done(2, put_op(A, 2), Reply::Put { revision: 2, prev: None });
    assert!(instead(0, late).contains(&BACKWARDS));
    let late = record(2, put_op(A, 2), Outcome::Unknown("late".into()));
    assert_eq!(instead(0, late), [BACKWARDS]);
}

#[test]
fn reads_that_were_never_true() {
    let read = |revision, pairs: Vec<Pair>, count| {
        done(1, read_op(A, 1), Reply::Read { revision, pairs, count })
    };
    assert_eq!(with(vec![read(4, vec![pair(A, 2, 2, 2, 1)], 1)]), [WRONG_READ]);
    assert_eq!(with(vec![read(3, vec![], 0)]), [WRONG_READ]);
    assert_eq!(with(vec![read(3, vec![pair(A, 2, 2, 2, 1)], 2)]), [WRONG_READ]);
    assert_eq!(with(vec![read(3, vec![pair(A, 2, 2, 2, 7)], 1)]), [WRONG_READ]);
    let missed = done(1, delete_op(B), Reply::Deleted { revision: 3, count: 0, prev: None });
    assert_eq!(with(vec![missed]), [WRONG_READ]);
}

#[test]
fn guards() {
    let wrong = done(4, guard_op(B, 2, 5), Reply::Guarded { revision: 5 });
    assert_eq!(instead(3, wrong), [WRONG_GUARD]);
    let held = Reply::Refuted { revision: 4, found: Some(pair(B, 3, 3, 3, 1)) };
    assert_eq!(with(vec![done(4, guard_op(B, 3, 9), held)]), [WRONG_GUARD]);
    let denied = Reply::Refuted { revision: 5, found: Some(pair(B, 5, 3, 5, 2)) };
    assert!(instead(3, done(4, guard_op(B, 3, 5), denied)).contains(&REFUSED_DONE));
}

#[test]
fn previous_values() {
    let wrong = Reply::Deleted { revision: 4, count: 1, prev: Some(pair(A, 9, 2, 2, 1)) };
    assert_eq!(instead(2, done(3, delete_op(A), wrong)), [WRONG_PREVIOUS]);
    let none = Reply::Deleted { revision: 4, count: 1, prev: None };
    assert_eq!(instead(2, done(3, delete_op(A), none)), [WRONG_PREVIOUS]);
    let some = Reply::Put { revision: 2, prev: Some(pair(A, 9, 2, 2, 1)) };
    assert_eq!(instead(0, done(1, put_op(A, 2), some)), [WRONG_PREVIOUS]);
}

#[test]
fn changes_need_one_who_asked_and_one_only() {
    for at in 0..4 {
        let mut records = truth();
        records.remove(at);
        assert_eq!(kinds(&records), [NOBODY], "{at}");
    }
    let refused = record(1, put_op(A, 2), Outcome::Refused("no".into()));
    assert_eq!(instead(0, refused), [REFUSED_DONE]);
    let other_key = record(1, put_op(B, 2), Outcome::Unknown("late".into()));
    assert!(instead(0, other_key).contains(&NOBODY));
    // Half of a transaction.
    let half = record(4, put_op(B, 5), Outcome::Unknown("late".into()));
    assert!(instead(3, half).contains(&ONCE));

    let mut twice = history();
    twice.push(put(pair(A, 2, 6, 6, 1))).unwrap();
    let mut faults = Faults::default();
    records(&twice, &truth(), &mut faults);
    assert_eq!(faults.kinds().collect::<Vec<_>>(), [(ONCE, 1)]);
}

#[test]
fn answers_to_something_else() {
    let strange = done(1, put_op(A, 7), Reply::Guarded { revision: 5 });
    assert_eq!(with(vec![strange]), [BROKEN]);
    let broken = record(1, read_op(A, 1), Outcome::Broken("no header".into()));
    assert_eq!(with(vec![broken]), [BROKEN]);
}

fn watched(scope: Scope, with_previous: bool, from: i64, to: i64) -> Watched {
    let history = history();
    let events = history
        .between(from, to)
        .iter()
        .filter(|change| scope.holds(change.key))
        .map(|change| {
            let before = history.at(change.key, change.revision - 1).filter(|_| with_previous);
            Told::new(change, before)
        })
        .collect();
    let name = "a watch".into();
    Watched { name, scope, with_previous, from, to, events, resumes: 0, faults: vec![] }
}

fn is_right(watched: &Watched) -> bool {
    let mut faults = Faults::default();
    watch(&history(), watched, &mut faults);
    faults.is_empty()
}

#[test]
fn watches_tell_everything_once_and_in_order() {
    let one = Scope::One(Key::plain(B));
    for scope in [Scope::Everything, Scope::Prefix, one] {
        for with_previous in [false, true] {
            for from in 1..=5 {
                let right = watched(scope, with_previous, from, 5);
                assert!(is_right(&right));
                for at in 0..right.events.len() {
                    let mut less = right.clone();
                    less.events.remove(at);
                    assert!(!is_right(&less));
                    let mut more = right.clone();
                    more.events.insert(at, right.events[at]);
                    assert!(!is_right(&more));
                    let mut swapped = right.clone();
                    swapped.events.rotate_left(at);
                    assert_eq!(is_right(&swapped), at == 0);
                    let mut changed = right.clone();
                    changed.events[at].digest ^= 1;
                    assert!(!is_right(&changed));
                }
            }
        }
    }
    let mut noted = watched(Scope::Prefix, false, 2, 5);
    noted.faults.push("cancelled".into());
    assert!(!is_right(&noted));
    let early = watched(Scope::Prefix, false, 2, 5);
    assert!(!is_right(&Watched { from: 3, ..early.clone() }));
    assert!(!is_right(&Watched { with_previous: true, ..early }));
}
