use super::*;
use crate::codec::Numbers;
use crate::index::Version;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What a naive map remembers of a key: the revision of its newest version, and if it is live.
type Twin = BTreeMap<Vec<u8>, (i64, bool)>;

fn entry(before: Option<Entry>, main: i64, live: bool) -> Entry {
    if live {
        let version = Version { main, sub: 0, tombstone: false };
        Entry::put(before, version, Numbers { mod_revision: main, ..Numbers::default() }, 0)
    } else {
        Entry::delete(before, main, 0)
    }
}

fn collect(tree: &Tree, span: Span<'_>, live_only: bool) -> Vec<(Vec<u8>, i64)> {
    let mut found = Vec::new();
    let _ = tree.visit(span, live_only, &mut |key, entry| {
        found.push((key.to_vec(), entry.newest().main));
        ControlFlow::Continue(())
    });
    found
}

fn check(tree: &Tree, twin: &Twin) {
    let all: Vec<_> = twin.iter().map(|(key, (main, _))| (key.clone(), *main)).collect();
    assert_eq!(collect(tree, Span::ALL, false), all);
    let live: Vec<_> =
        twin.iter().filter(|(_, (_, live))| *live).map(|(k, (m, _))| (k.clone(), *m)).collect();
    assert_eq!(collect(tree, Span::ALL, true), live);
    assert_eq!(tree.live(), live.len());
    check_node(&tree.root, None, None);
}

/// Checks order, separators, counts and sizes of a subtree; returns its depth and live keys.
fn check_node(node: &Node, low: Option<&[u8]>, high: Option<&[u8]>) -> (usize, usize) {
    let inside = |key: &[u8]| low.is_none_or(|low| key >= low) && high.is_none_or(|h| key < h);
    match node {
        Node::Leaf(leaf) => {
            assert_eq!(leaf.keys.len(), leaf.entries.len());
            assert!(leaf.entries.len() <= LEAF_ENTRIES_MAX);
            assert!((0..leaf.keys.len()).all(|at| inside(leaf.keys.key(at))));
            (1, node.live())
        }
        Node::Inner(inner) => {
            assert_eq!(inner.separators.len() + 1, inner.children.len());
            assert_eq!(inner.live.len(), inner.children.len());
            assert!(inner.children.len() <= CHILDREN_MAX);
            let mut depths = Vec::new();
            for (at, child) in inner.children.iter().enumerate() {
                let low = if at == 0 { low } else { Some(inner.separators.key(at - 1)) };
                let last = at + 1 == inner.children.len();
                let high = if last { high } else { Some(inner.separators.key(at)) };
                assert!(child.len() > 0);
                let (depth, live) = check_node(child, low, high);
                assert_eq!(live, inner.live[at]);
                depths.push(depth);
            }
            assert!(depths.iter().all(|depth| *depth == depths[0]));
            (depths[0] + 1, inner.live.iter().sum())
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16),
    Delete(u16),
    Remove(u16),
    /// Remember the present tree and check it again at the end.
    Hold,
    Count(u16, Option<u16>),
}

/// Keys of various lengths with shared prefixes; some so long that nodes split for their bytes.
fn key(number: u16) -> Vec<u8> {
    let mut key = format!("/registry/{:03}/{number}", number % 7).into_bytes();
    if number.is_multiple_of(50) {
        key.resize(6000, b'x');
    }
    key
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = || 0..600u16;
    let step = prop_oneof![
        20 => number().prop_map(Step::Put),
        6 => number().prop_map(Step::Delete),
        14 => number().prop_map(Step::Remove),
        1 => Just(Step::Hold),
        3 => (number(), proptest::option::of(number())).prop_map(|(a, b)| Step::Count(a, b)),
    ];
    proptest::collection::vec(step, 0..1500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_tree_is_an_ordered_map_that_counts(steps in steps()) {
        let (mut tree, mut twin) = (Tree::default(), Twin::new());
        let mut held = Vec::new();
        for (main, step) in (1..).zip(steps) {
            match step {
                Step::Put(number) => {
                    tree.set(&key(number), |before| entry(before, main, true));
                    twin.insert(key(number), (main, true));
                }
                Step::Delete(number) => {
                    tree.set(&key(number), |before| entry(before, main, false));
                    twin.insert(key(number), (main, false));
                }
                Step::Remove(number) => {
                    prop_assert_eq!(tree.remove(&key(number)), twin.remove(&key(number)).is_some());
                }
                Step::Hold => held.push((tree.clone(), twin.clone())),
                Step::Count(from, to) => {
                    let (start, end) = (key(from), to.map(key));
                    let span = Span { start: &start, end: end.as_deref() };
                    let inside: Vec<_> = twin
                        .iter()
                        .filter(|(k, _)| **k >= start && end.as_ref().is_none_or(|e| *k < e))
                        .map(|(k, (main, live))| (k.clone(), *main, *live))
                        .collect();
                    let live = inside.iter().filter(|(_, _, live)| *live).count();
                    prop_assert_eq!(tree.count(span), live);
                    let found = collect(&tree, span, false);
                    prop_assert!(found.into_iter().eq(inside.into_iter().map(|(k, m, _)| (k, m))));
                    let known = twin.get(&start).map(|(main, _)| *main);
                    prop_assert_eq!(tree.get(&start).map(|entry| entry.newest().main), known);
                }
            }
        }
        check(&tree, &twin);
        for (tree, twin) in &held {
            check(tree, twin);
        }
    }
}

#[test]
fn a_tree_that_is_emptied_can_be_filled_again() {
    let mut tree = Tree::default();
    for round in 0..2 {
        for number in 0..2000u16 {
            tree.set(&key(number), |before| entry(before, 1, true));
        }
        assert_eq!(tree.live(), 2000, "round {round}");
        for number in 0..2000u16 {
            assert!(tree.remove(&key(number)));
        }
        check(&tree, &Twin::new());
    }
}

#[test]
fn visiting_stops_when_told() {
    let mut tree = Tree::default();
    for number in 0..1000u16 {
        tree.set(&number.to_be_bytes(), |before| entry(before, 1, true));
    }
    let mut seen = 0;
    let flow = tree.visit(Span::ALL, true, &mut |_, _| {
        seen += 1;
        if seen == 70 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((flow, seen), (ControlFlow::Break(()), 70));
}

fn heap_bytes(node: &Node) -> usize {
    // Two counters of the `Arc`, and the node.
    let own = 2 * size_of::<usize>() + size_of::<Node>();
    own + match node {
        Node::Leaf(leaf) => {
            let entries: usize = leaf.entries.iter().map(Entry::heap_bytes).sum();
            leaf.keys.heap_bytes() + leaf.entries.capacity() * size_of::<Entry>() + entries
        }
        Node::Inner(inner) => {
            let children: usize = inner.children.iter().map(|child| heap_bytes(child)).sum();
            let slots = inner.children.capacity() + inner.live.capacity();
            inner.separators.heap_bytes() + slots * size_of::<usize>() + children
        }
    }
}

#[test]
fn a_key_of_one_version_costs_less_than_150_bytes_beside_itself() {
    const KEYS: usize = 50_000;
    for stride in [1usize, 7919] {
        let (mut tree, mut key_bytes) = (Tree::default(), 0);
        for number in 0..KEYS {
            let key = format!("/registry/pods/{:010}", number * stride % KEYS);
            key_bytes += key.len();
            tree.set(key.as_bytes(), |before| entry(before, 1, true));
        }
        let overhead = (heap_bytes(&tree.root) - key_bytes) / KEYS;
        assert!(overhead < 120, "{overhead} bytes a key");
    }
}
