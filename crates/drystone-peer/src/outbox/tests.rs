use super::*;
use std::task::Waker;

impl Weigh for Vec<u8> {
    fn weight(&self) -> usize {
        self.len()
    }
}

fn outbox(items_max: usize, bytes_max: usize) -> Outbox<Vec<u8>> {
    Outbox::new(Bounds { items_max, bytes_max })
}

fn take(outbox: &Outbox<Vec<u8>>, ticket: Ticket, bytes: usize) -> Poll<Option<Vec<Vec<u8>>>> {
    let mut out = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    outbox.poll_take(&mut cx, ticket, bytes, &mut out).map(|live| live.then_some(out))
}

#[test]
fn nothing_is_taken_while_nobody_reads() {
    let outbox = outbox(2, 10);
    assert!(matches!(outbox.push(vec![1]), Err(Refused::Detached(item)) if item == [1]));
    let (ticket, lost) = outbox.attach();
    assert_eq!(lost, 0);
    outbox.push(vec![1]).unwrap();
    assert_eq!(outbox.detach(ticket), Some(1));
    assert_eq!(outbox.detach(ticket), None);
    assert!(!outbox.is_attached());
}

#[test]
fn order_is_kept_and_both_bounds_hold() {
    let outbox = outbox(3, 10);
    let (ticket, _) = outbox.attach();
    assert!(take(&outbox, ticket, 100).is_pending());
    outbox.push(vec![0; 50]).expect("an empty queue takes any size");
    assert!(matches!(outbox.push(vec![1]), Err(Refused::Full)));
    assert_eq!(take(&outbox, ticket, 1), Poll::Ready(Some(vec![vec![0; 50]])));
    for i in 1..=3 {
        outbox.push(vec![i]).unwrap();
    }
    assert!(matches!(outbox.push(vec![4]), Err(Refused::Full)), "three items");
    assert_eq!(take(&outbox, ticket, 2), Poll::Ready(Some(vec![vec![1], vec![2]])));
    assert_eq!(take(&outbox, ticket, 2), Poll::Ready(Some(vec![vec![3]])));
    outbox.push(vec![0; 9]).unwrap();
    assert!(matches!(outbox.push(vec![0; 2]), Err(Refused::Full)), "eleven bytes");
}

#[test]
fn a_new_reader_ends_the_old_one() {
    let outbox = outbox(3, 10);
    let (old, _) = outbox.attach();
    outbox.push(vec![1]).unwrap();
    let (new, lost) = outbox.attach();
    assert_eq!(lost, 1);
    assert_eq!(take(&outbox, old, 9), Poll::Ready(None));
    assert_eq!(outbox.detach(old), None, "the old reader takes nothing with it");
    outbox.push(vec![2]).unwrap();
    assert_eq!(take(&outbox, new, 9), Poll::Ready(Some(vec![vec![2]])));
    outbox.close();
    assert_eq!(take(&outbox, new, 9), Poll::Ready(None));
    assert!(matches!(outbox.push(vec![3]), Err(Refused::Detached(_))));
}
