use super::*;
use drystone_types::Term;

fn message(kind: MessageKind, to: u64, index: u64) -> Message {
    let mut out = Message::new(kind, MemberId(1), MemberId(to), Term(2));
    out.index = LogIndex(index);
    out
}

fn append(to: u64, index: u64, count: u64, commit: u64) -> Message {
    let mut out = message(MessageKind::Append, to, index);
    out.log_term = Term(2);
    out.commit = LogIndex(commit);
    out.entries = (index + 1..=index + count)
        .map(|index| Entry { index: LogIndex(index), term: Term(2), ..Entry::default() })
        .collect();
    out
}

#[test]
fn appends_that_follow_on_become_one_up_to_the_bound() {
    let each = entry_bytes(&Entry::default());
    let sent =
        vec![append(3, 9, 1, 4), append(2, 4, 2, 4), append(3, 10, 2, 5), append(2, 6, 1, 5)];
    assert_eq!(merge(sent.clone(), 3 * each), [append(2, 4, 3, 5), append(3, 9, 3, 5)]);
    let short = merge(sent, 2 * each);
    assert_eq!(short.len(), 4);
    assert_eq!(merge(vec![append(2, 4, 1, 4), append(2, 6, 1, 4)], u64::MAX).len(), 2);
}

#[test]
fn the_last_heartbeat_and_the_last_acknowledgement_stand_for_all() {
    let heartbeat = |context: &'static str| Message {
        context: context.into(),
        ..message(MessageKind::Heartbeat, 2, 0)
    };
    let reject = Message { reject: true, ..message(MessageKind::AppendResponse, 2, 7) };
    let sent = vec![
        heartbeat("a"),
        message(MessageKind::AppendResponse, 2, 3),
        heartbeat("b"),
        message(MessageKind::AppendResponse, 2, 5),
        reject.clone(),
        message(MessageKind::AppendResponse, 2, 8),
    ];
    let left = merge(sent, 100);
    assert_eq!(left[0], heartbeat("b"));
    assert_eq!(left[1], message(MessageKind::AppendResponse, 2, 5));
    assert_eq!(left[2], reject);
    assert_eq!(left.len(), 4);
}
