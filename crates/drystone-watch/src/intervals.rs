//! Half-open intervals of keys, found by a key inside.
//!
//! A treap ordered by (start, end) whose nodes know the highest end below them (Cormen et al.,
//! "Introduction to Algorithms", 14.3; Seidel and Aragon, "Randomized search trees"). One node
//! holds all watchers of one interval, since many clients watch the same prefix.

use crate::index::{insert_member, remove_member};
use crate::random::Random;
use crate::slab::{Slab, Slot};
use bytes::Bytes;
use std::cmp::Ordering;

type Link = Option<Slot>;
/// `None` is beyond every key.
type End<'a> = Option<&'a Bytes>;

#[derive(Debug)]
pub(crate) struct Intervals {
    nodes: Slab<Node>,
    root: Link,
    /// Heights must not be for clients to choose, so priorities come from a seed.
    random: Random,
}

#[derive(Debug)]
struct Node {
    start: Bytes,
    end: Option<Bytes>,
    /// The highest end in this subtree.
    end_max: Option<Bytes>,
    priority: u64,
    left: Link,
    right: Link,
    members: Vec<Slot>,
}

impl Intervals {
    pub(crate) fn new(random: Random) -> Self {
        Self { nodes: Slab::default(), root: None, random }
    }

    pub(crate) fn insert(&mut self, start: &Bytes, end: End<'_>, member: Slot) {
        self.root = Some(self.insert_below(self.root, start, end, member));
    }

    pub(crate) fn remove(&mut self, start: &Bytes, end: End<'_>, member: Slot) {
        self.root = self.remove_below(self.root, start, end, member);
    }

    /// Visits the members of every interval that holds `key`.
    pub(crate) fn visit(&self, key: &[u8], visit: &mut impl FnMut(Slot)) {
        self.visit_below(self.root, key, visit);
    }

    fn visit_below(&self, link: Link, key: &[u8], visit: &mut impl FnMut(Slot)) {
        let Some(slot) = link else { return };
        let node = &self.nodes[slot];
        if !ends_after(node.end_max.as_ref(), key) {
            return;
        }
        self.visit_below(node.left, key, visit);
        if node.start.as_ref() > key {
            return;
        }
        if ends_after(node.end.as_ref(), key) {
            node.members.iter().copied().for_each(&mut *visit);
        }
        self.visit_below(node.right, key, visit);
    }

    fn insert_below(&mut self, link: Link, start: &Bytes, end: End<'_>, member: Slot) -> Slot {
        let Some(slot) = link else {
            let end = end.cloned();
            return self.nodes.insert(Node {
                start: start.clone(),
                end_max: end.clone(),
                end,
                priority: self.random.next(),
                left: None,
                right: None,
                members: vec![member],
            });
        };
        match self.nodes[slot].order(start, end) {
            Ordering::Equal => {
                insert_member(&mut self.nodes[slot].members, member);
                slot
            }
            Ordering::Less => {
                let left = self.insert_below(self.nodes[slot].left, start, end, member);
                self.nodes[slot].left = Some(left);
                if self.nodes[left].priority > self.nodes[slot].priority {
                    self.nodes[slot].left = self.nodes[left].right;
                    self.nodes[left].right = Some(slot);
                    self.refresh(slot);
                    self.refresh(left);
                    return left;
                }
                self.refresh(slot);
                slot
            }
            Ordering::Greater => {
                let right = self.insert_below(self.nodes[slot].right, start, end, member);
                self.nodes[slot].right = Some(right);
                if self.nodes[right].priority > self.nodes[slot].priority {
                    self.nodes[slot].right = self.nodes[right].left;
                    self.nodes[right].left = Some(slot);
                    self.refresh(slot);
                    self.refresh(right);
                    return right;
                }
                self.refresh(slot);
                slot
            }
        }
    }

    fn remove_below(&mut self, link: Link, start: &Bytes, end: End<'_>, member: Slot) -> Link {
        let slot = link?;
        match self.nodes[slot].order(start, end) {
            Ordering::Equal => {
                let node = &mut self.nodes[slot];
                remove_member(&mut node.members, member);
                if !node.members.is_empty() {
                    return link;
                }
                let (left, right) = (node.left, node.right);
                self.nodes.remove(slot);
                return self.join(left, right);
            }
            Ordering::Less => {
                let left = self.remove_below(self.nodes[slot].left, start, end, member);
                self.nodes[slot].left = left;
            }
            Ordering::Greater => {
                let right = self.remove_below(self.nodes[slot].right, start, end, member);
                self.nodes[slot].right = right;
            }
        }
        self.refresh(slot);
        link
    }

    /// One tree of two, all of `left` before all of `right`.
    fn join(&mut self, left: Link, right: Link) -> Link {
        let (Some(a), Some(b)) = (left, right) else { return left.or(right) };
        if self.nodes[a].priority > self.nodes[b].priority {
            self.nodes[a].right = self.join(self.nodes[a].right, right);
            self.refresh(a);
            left
        } else {
            self.nodes[b].left = self.join(left, self.nodes[b].left);
            self.refresh(b);
            right
        }
    }

    fn refresh(&mut self, slot: Slot) {
        let node = &self.nodes[slot];
        let mut highest = node.end.as_ref();
        for child in [node.left, node.right].into_iter().flatten() {
            let end = self.nodes[child].end_max.as_ref();
            if order_ends(end, highest) == Ordering::Greater {
                highest = end;
            }
        }
        if highest != node.end_max.as_ref() {
            let highest = highest.cloned();
            self.nodes[slot].end_max = highest;
        }
    }
}

impl Node {
    /// Where (start, end) goes, seen from this node.
    fn order(&self, start: &Bytes, end: End<'_>) -> Ordering {
        start.cmp(&self.start).then_with(|| order_ends(end, self.end.as_ref()))
    }
}

fn ends_after(end: End<'_>, key: &[u8]) -> bool {
    end.is_none_or(|end| key < end.as_ref())
}

fn order_ends(a: End<'_>, b: End<'_>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => a.cmp(b),
    }
}

#[cfg(test)]
impl Intervals {
    /// Order, heap order and highest ends hold in every node.
    pub(crate) fn check(&self) {
        let mut nodes = 0;
        self.check_below(self.root, &mut nodes);
        assert_eq!(nodes, self.nodes.len());
    }

    fn check_below(&self, link: Link, nodes: &mut usize) -> Option<Option<Bytes>> {
        let node = &self.nodes[link?];
        *nodes += 1;
        let mut highest = node.end.clone();
        for (child, side) in [(node.left, Ordering::Less), (node.right, Ordering::Greater)] {
            if let Some(end) = self.check_below(child, nodes) {
                let child = &self.nodes[child.expect("it was checked")];
                assert_eq!(node.order(&child.start, child.end.as_ref()), side);
                assert!(child.priority <= node.priority);
                if order_ends(end.as_ref(), highest.as_ref()) == Ordering::Greater {
                    highest = end;
                }
            }
        }
        assert!(!node.members.is_empty());
        assert_eq!(highest, node.end_max);
        Some(highest)
    }
}
