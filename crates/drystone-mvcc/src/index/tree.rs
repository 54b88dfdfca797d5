//! The persistent B+tree under the index.

use super::{entry::Entry, keys::Keys};
use drystone_probe::mark;
use drystone_types::{KeyRange, RangeEnd};
use std::ops::ControlFlow;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// How many nodes were looked at, for tests that hold a read to its cost.
#[cfg(test)]
pub(crate) mod visits {
    use std::cell::Cell;

    thread_local!(static NODES: Cell<usize> = const { Cell::new(0) });

    pub(super) fn count() {
        NODES.set(NODES.get() + 1);
    }

    /// The nodes that `read` looks at, on this thread.
    pub(crate) fn of<T>(read: impl FnOnce() -> T) -> (T, usize) {
        let before = NODES.get();
        let answer = read();
        (answer, NODES.get() - before)
    }
}

/// The most entries of a leaf.
const LEAF_ENTRIES_MAX: usize = 32;
/// The most children of an inner node.
const CHILDREN_MAX: usize = 32;
/// The most key bytes of a node that has more than [`SPLIT_MIN`] keys: what a write copies.
const KEY_BYTES_MAX: usize = 16 << 10;
/// Nodes with fewer keys than this are not split for their bytes.
const SPLIT_MIN: usize = 4;

/// An interval of keys: from `start` to before `end`, or to the last key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) start: &'a [u8],
    pub(crate) end: Option<&'a [u8]>,
}

impl<'a> Span<'a> {
    /// Every key there is.
    pub(crate) const ALL: Span<'static> = Span { start: b"", end: None };

    /// The interval of a range that is not a single key.
    ///
    /// The empty key is in no range: no request can write it, and the record that a restore
    /// with a raised revision leaves is stored under it.
    pub(crate) fn of(range: &'a KeyRange) -> Self {
        let start = if range.start.is_empty() { b"\0" } else { range.start.as_ref() };
        match &range.end {
            RangeEnd::Before(end) => Self { start, end: Some(end) },
            RangeEnd::Single | RangeEnd::Unbounded => Self { start, end: None },
        }
    }

    fn is_empty(&self) -> bool {
        self.end.is_some_and(|end| end <= self.start)
    }
}

/// A map from keys to entries that can be cloned in constant time and counts live keys.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: Arc<Node>,
    live: usize,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Leaf),
    Inner(Inner),
}

#[derive(Debug, Default)]
struct Leaf {
    keys: Keys,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Inner {
    /// `separators[i]` is above every key of `children[i]` and not above those of the next.
    separators: Keys,
    children: Vec<Arc<Node>>,
    /// Live keys under each child.
    live: Vec<usize>,
}

/// The right part of a node that was split, and what separates it from the left.
struct Split {
    separator: Vec<u8>,
    right: Node,
}

type Visit<'a, 'f> = dyn FnMut(&'a [u8], &'a Entry) -> ControlFlow<()> + 'f;

impl Default for Tree {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Leaf::default())), live: 0 }
    }
}

impl Tree {
    /// Live keys in the whole tree, that of the empty name included.
    #[cfg(test)]
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.get_pair(key).map(|(_, entry)| entry)
    }

    /// The entry of `key`, with the key as the tree holds it.
    pub(crate) fn get_pair(&self, key: &[u8]) -> Option<(&[u8], &Entry)> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let at = leaf.keys.search(key).ok()?;
                    return Some((leaf.keys.key(at), &leaf.entries[at]));
                }
                Node::Inner(inner) => node = &inner.children[inner.separators.not_above(key)],
            }
        }
    }

    /// Sets the entry of `key` to what `change` makes of the present one.
    pub(crate) fn set(&mut self, key: &[u8], change: impl FnOnce(Option<Entry>) -> Entry) {
        let (delta, split) = Arc::make_mut(&mut self.root).set(key, change);
        self.live = add(self.live, delta);
        if let Some(Split { separator, right }) = split {
            let mut separators = Keys::default();
            separators.insert(0, &separator);
            let left = std::mem::replace(&mut self.root, Arc::new(Node::Leaf(Leaf::default())));
            let live = vec![left.live(), right.live()];
            let children = vec![left, Arc::new(right)];
            self.root = Arc::new(Node::Inner(Inner { separators, children, live }));
        }
    }

    /// Removes `key`; true when it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        let delta = Arc::make_mut(&mut self.root).remove(key);
        self.live = add(self.live, delta);
        while let Node::Inner(inner) = &*self.root
            && inner.children.len() == 1
        {
            self.root = inner.children[0].clone();
        }
        if self.root.len() == 0 {
            self.root = Arc::new(Node::Leaf(Leaf::default()));
        }
        true
    }

    /// Calls `visit` for every entry of `span` in ascending order of keys until it breaks; with
    /// `live_only`, for live ones only, passing over the subtrees that have none.
    pub(crate) fn visit<'a>(
        &'a self,
        span: Span<'_>,
        live_only: bool,
        visit: &mut Visit<'a, '_>,
    ) -> ControlFlow<()> {
        if span.is_empty() || (live_only && self.live == 0) {
            return ControlFlow::Continue(());
        }
        self.root.visit(span, live_only, visit)
    }

    /// Live keys in `span`.
    pub(crate) fn count(&self, span: Span<'_>) -> usize {
        if span.is_empty() {
            return 0;
        }
        let below_end = span.end.map_or(self.live, |end| self.rank(end));
        below_end - self.rank(span.start)
    }

    /// Live keys below `key`.
    fn rank(&self, key: &[u8]) -> usize {
        let (mut node, mut rank) = (&*self.root, 0);
        loop {
            #[cfg(test)]
            visits::count();
            match node {
                Node::Leaf(leaf) => {
                    let at = leaf.keys.search(key).unwrap_or_else(|at| at);
                    return rank + leaf.entries[..at].iter().filter(|e| e.is_live()).count();
                }
                Node::Inner(inner) => {
                    let at = inner.separators.not_above(key);
                    rank += inner.live[..at].iter().sum::<usize>();
                    node = &inner.children[at];
                }
            }
        }
    }
}

impl Node {
    fn live(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.entries.iter().filter(|entry| entry.is_live()).count(),
            Self::Inner(inner) => inner.live.iter().sum(),
        }
    }

    /// Entries or children.
    fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.entries.len(),
            Self::Inner(inner) => inner.children.len(),
        }
    }

    fn key_bytes(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.keys.bytes(),
            Self::Inner(inner) => inner.separators.bytes(),
        }
    }

    fn set(
        &mut self,
        key: &[u8],
        change: impl FnOnce(Option<Entry>) -> Entry,
    ) -> (isize, Option<Split>) {
        match self {
            Self::Leaf(leaf) => leaf.set(key, change),
            Self::Inner(inner) => inner.set(key, change),
        }
    }

    fn remove(&mut self, key: &[u8]) -> isize {
        match self {
            Self::Leaf(leaf) => leaf.remove(key),
            Self::Inner(inner) => inner.remove(key),
        }
    }

    fn visit<'a>(
        &'a self,
        span: Span<'_>,
        live_only: bool,
        visit: &mut Visit<'a, '_>,
    ) -> ControlFlow<()> {
        #[cfg(test)]
        visits::count();
        match self {
            Self::Leaf(leaf) => leaf.visit(span, live_only, visit),
            Self::Inner(inner) => inner.visit(span, live_only, visit),
        }
    }

    /// Takes in `right`, which follows this node and is of its kind.
    fn append(&mut self, separator: &[u8], right: Self) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => {
                left.keys.append(&right.keys);
                left.entries.extend(right.entries);
            }
            (Self::Inner(left), Self::Inner(right)) => {
                left.separators.insert(left.separators.len(), separator);
                left.separators.append(&right.separators);
                left.children.extend(right.children);
                left.live.extend(right.live);
            }
            _ => unreachable!("all leaves lie at one depth"),
        }
    }
}

impl Clone for Leaf {
    /// Leaves room for one more entry: a leaf is copied because it is about to change.
    fn clone(&self) -> Self {
        let mut entries = Vec::with_capacity(self.entries.len() + 1);
        entries.extend_from_slice(&self.entries);
        Self { keys: self.keys.clone(), entries }
    }
}

impl Leaf {
    fn set(
        &mut self,
        key: &[u8],
        change: impl FnOnce(Option<Entry>) -> Entry,
    ) -> (isize, Option<Split>) {
        let at = match self.keys.search(key) {
            Ok(at) => {
                let place = &mut self.entries[at];
                let before = place.is_live();
                // A clone of the entry would keep its history shared and so have it copied.
                let taken = std::mem::replace(place, Entry::delete(None, 0, 0));
                *place = change(Some(taken));
                return (isize::from(place.is_live()) - isize::from(before), None);
            }
            Err(at) => at,
        };
        let entry = change(None);
        let delta = isize::from(entry.is_live());
        self.keys.insert(at, key);
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(4);
        }
        self.entries.insert(at, entry);
        (delta, self.split_if_full(at))
    }

    fn split_if_full(&mut self, inserted: usize) -> Option<Split> {
        let cut = cut(self.entries.len(), LEAF_ENTRIES_MAX, self.keys.bytes(), inserted)?;
        mark!("mvcc.index_leaf_split");
        let keys = self.keys.split_off(cut);
        let entries = self.entries.split_off(cut);
        self.entries.shrink_to_fit();
        let separator = shortest_separator(self.keys.key(cut - 1), keys.key(0));
        Some(Split { separator, right: Node::Leaf(Self { keys, entries }) })
    }

    fn remove(&mut self, key: &[u8]) -> isize {
        let Ok(at) = self.keys.search(key) else { return 0 };
        self.keys.remove(at);
        -isize::from(self.entries.remove(at).is_live())
    }

    fn visit<'a>(
        &'a self,
        span: Span<'_>,
        live_only: bool,
        visit: &mut Visit<'a, '_>,
    ) -> ControlFlow<()> {
        let first = self.keys.search(span.start).unwrap_or_else(|at| at);
        let last = match span.end {
            Some(end) => self.keys.search(end).unwrap_or_else(|at| at),
            None => self.entries.len(),
        };
        for at in first..last {
            let entry = &self.entries[at];
            if !live_only || entry.is_live() {
                visit(self.keys.key(at), entry)?;
            }
        }
        ControlFlow::Continue(())
    }
}

impl Inner {
    fn set(
        &mut self,
        key: &[u8],
        change: impl FnOnce(Option<Entry>) -> Entry,
    ) -> (isize, Option<Split>) {
        let at = self.separators.not_above(key);
        let (delta, split) = Arc::make_mut(&mut self.children[at]).set(key, change);
        self.live[at] = add(self.live[at], delta);
        let Some(Split { separator, right }) = split else { return (delta, None) };
        let moved = right.live();
        self.live[at] -= moved;
        self.separators.insert(at, &separator);
        self.children.insert(at + 1, Arc::new(right));
        self.live.insert(at + 1, moved);
        (delta, self.split_if_full(at + 1))
    }

    fn split_if_full(&mut self, inserted: usize) -> Option<Split> {
        let cut = cut(self.children.len(), CHILDREN_MAX, self.separators.bytes(), inserted)?;
        let separators = self.separators.split_off(cut);
        let separator = self.separators.key(cut - 1).to_vec();
        self.separators.remove(cut - 1);
        let children = self.children.split_off(cut);
        let live = self.live.split_off(cut);
        self.children.shrink_to_fit();
        self.live.shrink_to_fit();
        Some(Split { separator, right: Node::Inner(Self { separators, children, live }) })
    }

    fn remove(&mut self, key: &[u8]) -> isize {
        let at = self.separators.not_above(key);
        let child = Arc::make_mut(&mut self.children[at]);
        let delta = child.remove(key);
        let left = child.len();
        self.live[at] = add(self.live[at], delta);
        if left == 0 {
            self.drop_child(at);
        } else if !self.merge(at) && at > 0 {
            self.merge(at - 1);
        }
        delta
    }

    fn drop_child(&mut self, at: usize) {
        if let Some(last) = self.separators.len().checked_sub(1) {
            self.separators.remove(at.min(last));
        }
        self.children.remove(at);
        self.live.remove(at);
    }

    /// Joins children `at` and `at + 1` when that leaves room for growth.
    fn merge(&mut self, at: usize) -> bool {
        let Some(right) = self.children.get(at + 1) else { return false };
        let left = &self.children[at];
        let length_max = match **left {
            Node::Leaf(_) => LEAF_ENTRIES_MAX,
            Node::Inner(_) => CHILDREN_MAX,
        };
        if (left.len() + right.len()) * 4 > length_max * 3
            || (left.key_bytes() + right.key_bytes()) * 4 > KEY_BYTES_MAX * 3
        {
            return false;
        }
        mark!("mvcc.index_nodes_joined");
        let right = Arc::unwrap_or_clone(self.children.remove(at + 1));
        Arc::make_mut(&mut self.children[at]).append(self.separators.key(at), right);
        self.separators.remove(at);
        self.live[at] += self.live.remove(at + 1);
        true
    }

    fn visit<'a>(
        &'a self,
        span: Span<'_>,
        live_only: bool,
        visit: &mut Visit<'a, '_>,
    ) -> ControlFlow<()> {
        let first = self.separators.not_above(span.start);
        for at in first..self.children.len() {
            if at > first
                && let Some(end) = span.end
                && self.separators.key(at - 1) >= end
            {
                break;
            }
            if !live_only || self.live[at] > 0 {
                self.children[at].visit(span, live_only, visit)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Where to cut a node of `length` parts that just took one in at `inserted`, if it is too
/// large. Keys that come in ascending order leave full nodes behind them.
fn cut(length: usize, length_max: usize, key_bytes: usize, inserted: usize) -> Option<usize> {
    let full = length > length_max || (length > SPLIT_MIN && key_bytes > KEY_BYTES_MAX);
    let ascending = inserted + 1 == length;
    full.then(|| if ascending { length - length / 16 - 1 } else { length / 2 })
}

/// The shortest key above `left` and not above `right`.
fn shortest_separator(left: &[u8], right: &[u8]) -> Vec<u8> {
    let shared = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    right[..right.len().min(shared + 1)].to_vec()
}

fn add(count: usize, delta: isize) -> usize {
    count.checked_add_signed(delta).expect("a count is never less than what is taken from it")
}
