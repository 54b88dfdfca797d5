//! Reading one state of a store: what snapshots and running transactions share.

use crate::cache::Cache;
use crate::codec::{self, Fields, Numbers};
use crate::deltas::{self, Delta, DeltaLog};
use crate::error::{Error, OpError};
use crate::index::{Entry, Span, Tree};
use crate::outcome::RangeResult;
use crate::request::{Compare, CompareResult, CompareTarget, RangeQuery, SortOrder, SortTarget};
use bytes::Bytes;
use drystone_backend::{Backend, Table};
use drystone_probe::{mark, planted};
use drystone_types::{KeyRange, Revision};
use gather::{Bounds, Seen};
use std::cmp::Ordering;
use std::ops::ControlFlow;

mod gather;
mod page;
#[cfg(test)]
mod tests;

/// How many values are asked of the store below at once.
const FETCH_KEYS_MAX: usize = 1024;

/// Where encoded pairs are found, newest place first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    /// Pairs that no backend has yet, by ascending revision.
    pub(crate) staged: &'a [(Revision, Bytes)],
    pub(crate) cache: &'a Cache,
    pub(crate) backend: &'a dyn Backend,
}

impl Values<'_> {
    fn staged_at(&self, revision: Revision) -> Option<Bytes> {
        let at = self.staged.binary_search_by_key(&revision, |(revision, _)| *revision).ok()?;
        Some(self.staged[at].1.clone())
    }

    /// The pair of `revision`, if the store still has it.
    pub(crate) fn find(&self, revision: Revision) -> Result<Option<Bytes>, Error> {
        if let Some(pair) = self.staged_at(revision).or_else(|| self.cache.get(revision)) {
            return Ok(Some(pair));
        }
        Ok(self.backend.get(Table::Key, &revision.to_key(false))?)
    }

    /// The pair of `revision`, which the index says is there.
    pub(crate) fn get(&self, revision: Revision) -> Result<Bytes, Error> {
        self.find(revision)?.ok_or_else(|| missing(revision))
    }

    /// The pairs of `revisions`. With `newest`, those that had to be fetched are cached.
    pub(crate) fn get_many(
        &self,
        revisions: impl ExactSizeIterator<Item = Revision>,
        newest: bool,
    ) -> Result<Vec<Bytes>, Error> {
        let mut pairs = Vec::with_capacity(revisions.len());
        let mut absent = Vec::new();
        for revision in revisions {
            let pair = self.staged_at(revision).or_else(|| self.cache.get(revision));
            if pair.is_none() {
                absent.push((pairs.len(), revision));
            }
            pairs.push(pair.unwrap_or_default());
        }
        for absent in absent.chunks(FETCH_KEYS_MAX) {
            let keys: Vec<Bytes> = absent.iter().map(|(_, r)| r.to_key(false).into()).collect();
            let found = self.backend.get_many(Table::Key, &keys)?;
            for ((at, revision), pair) in absent.iter().zip(found) {
                let pair = pair.ok_or_else(|| missing(*revision))?;
                if newest {
                    self.cache.insert(*revision, pair.clone());
                }
                pairs[*at] = pair;
            }
        }
        Ok(pairs)
    }
}

fn missing(revision: Revision) -> Error {
    Error::corrupt(Table::Key, &revision.to_key(false), "the index knows it, the store does not")
}

/// One state of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) tree: &'a Tree,
    /// The current revision, no version of the tree is newer.
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    pub(crate) values: Values<'a>,
    pub(crate) deltas: &'a DeltaLog,
    /// Births and deaths that are not in the log yet.
    pub(crate) staged_deltas: &'a [Delta],
}

/// A pair of a range on its way into the answer.
struct Row<'a> {
    key: &'a [u8],
    at: Revision,
    /// All numbers, if they are known; the index knows those of newest versions only.
    numbers: Option<Numbers>,
    pair: Option<Bytes>,
}

impl<'a> Row<'a> {
    fn numbers(&self) -> Numbers {
        self.numbers.unwrap_or_default()
    }

    fn value(&self) -> Result<&[u8], Error> {
        let pair = self.pair.as_ref().ok_or_else(|| missing(self.at))?;
        Ok(&pair[fields(self.at, pair)?.value])
    }

    fn new(key: &'a [u8], entry: &Entry, main: i64) -> Option<Self> {
        let version = entry.live_at(main)?;
        let numbers = (entry.newest() == version).then(|| entry.numbers());
        Some(Self { key, at: version.revision(), numbers, pair: None })
    }
}

/// Where the parts of the stored pair of `revision` lie.
pub(crate) fn fields(revision: Revision, pair: &[u8]) -> Result<Fields, Error> {
    Fields::read(pair)
        .map_err(|_| Error::corrupt(Table::Key, &revision.to_key(false), "not an encoded pair"))
}

impl<'a> View<'a> {
    /// The revision that a read of `requested` sees.
    pub(crate) fn resolve(&self, requested: i64) -> Result<i64, OpError> {
        if requested > self.revision {
            mark!("mvcc.read_of_future_revision");
            return Err(OpError::FutureRevision { requested, current: self.revision });
        }
        let at = if requested <= 0 { self.revision } else { requested };
        if at < self.compacted {
            mark!("mvcc.read_of_compacted_revision");
            return Err(OpError::Compacted { compacted: self.compacted });
        }
        Ok(at)
    }

    pub(crate) fn exists(&self, key: &[u8]) -> bool {
        self.tree.get(key).is_some_and(Entry::is_live)
    }

    /// Answers a read.
    pub(crate) fn range(&self, query: &RangeQuery) -> Result<RangeResult, OpError> {
        let at = self.resolve(query.revision)?;
        let mut result = RangeResult { revision: self.revision, ..RangeResult::default() };
        if query.count_only {
            result.count = answer_count(self.count(&query.range, at));
            return Ok(result);
        }
        let limit =
            usize::try_from(query.limit).unwrap_or(if query.limit > 0 { usize::MAX } else { 0 });
        let order = effective_order(query);
        // Sorted by something that was not asked for, a read is still cut before (etcd's order).
        let asked = matches!(query.sort_order, SortOrder::Ascend | SortOrder::Descend);
        let early = planted!("mvcc.limit_before_sort");
        let beyond = if limit > 0 { limit.saturating_add(1) } else { usize::MAX };
        let cut = if (!asked || early) && !query.filters() { beyond } else { usize::MAX };
        let (mut rows, seen) = gather::rows(self, query, at, Bounds { cut, keep: beyond, order })?;
        let count = match seen {
            Seen::All(count) => count,
            Seen::Some(count) if planted!("mvcc.count_stops_at_limit") => count,
            Seen::Some(_) => self.count(&query.range, at),
        };
        result.count = answer_count(count);
        if limit > 0 && rows.len() > limit {
            result.more = true;
            rows.truncate(limit);
        }
        result.kvs = if query.keys_only {
            let lease = query.sort_target == SortTarget::Value;
            rows.iter().map(|row| without_value(row, lease)).collect()
        } else if rows.first().is_some_and(|row| row.pair.is_some()) {
            rows.into_iter().filter_map(|row| row.pair).collect()
        } else {
            self.values.get_many(rows.iter().map(|row| row.at), at == self.revision)?
        };
        Ok(result)
    }

    /// The pairs of `range` at `at` in key order, no more than `cut`.
    fn rows(&self, range: &KeyRange, at: i64, cut: usize) -> Vec<Row<'a>> {
        let mut rows = Vec::new();
        self.each(range, at == self.revision, &mut |key, entry| {
            rows.extend(Row::new(key, entry, at));
            if rows.len() >= cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        rows
    }

    /// Calls `visit` for the entries of `range`, with `live_only` for those that live now.
    pub(crate) fn each(
        &self,
        range: &KeyRange,
        live_only: bool,
        visit: &mut dyn FnMut(&'a [u8], &'a Entry) -> ControlFlow<()>,
    ) {
        // Whoever breaks knows that it did.
        let _ = if range.is_single() {
            match self.single(range) {
                Some((key, entry)) if entry.is_live() || !live_only => visit(key, entry),
                _ => ControlFlow::Continue(()),
            }
        } else {
            self.tree.visit(Span::of(range), live_only, visit)
        };
    }

    /// The entry of a range of one key. No request can mean the empty key (see [`Span::of`]).
    fn single(&self, range: &KeyRange) -> Option<(&'a [u8], &'a Entry)> {
        self.tree.get_pair(&range.start).filter(|(key, _)| !key.is_empty())
    }

    /// Live keys of `range` at `at`.
    fn count(&self, range: &KeyRange, at: i64) -> usize {
        if range.is_single() {
            let single = self.single(range);
            return usize::from(single.is_some_and(|(_, entry)| entry.live_at(at).is_some()));
        }
        let span = Span::of(range);
        let now = self.tree.count(span);
        if at == self.revision {
            return now;
        }
        if let Some(grown) = self.deltas.growth(span, at, self.revision) {
            let staged = deltas::growth(self.staged_deltas, span, at, self.revision);
            if let Some(then) = now.checked_add_signed(-(grown + staged)) {
                mark!("mvcc.counted_from_changes");
                return then;
            }
        }
        mark!("mvcc.counted_one_by_one");
        let mut count = 0;
        self.each(range, false, &mut |_, entry| {
            count += usize::from(entry.live_at(at).is_some());
            ControlFlow::Continue(())
        });
        count
    }

    /// Fetches the pairs of `rows` if something asks for more than the index knows.
    fn complete(
        &self,
        rows: &mut [Row<'_>],
        query: &RangeQuery,
        sorts: bool,
        at: i64,
    ) -> Result<(), OpError> {
        let by_value = sorts && query.sort_target == SortTarget::Value;
        let by_number = query.keys_only
            || query.filters()
            || (sorts && !matches!(query.sort_target, SortTarget::Key | SortTarget::Value));
        let unknown = rows.iter().any(|row| row.numbers.is_none());
        if !(by_value || (by_number && unknown)) {
            return Ok(());
        }
        let newest = at == self.revision;
        for rows in rows.chunks_mut(page::GROUP_PAIRS) {
            let pairs = self.values.get_many(rows.iter().map(|row| row.at), newest)?;
            for (row, pair) in rows.iter_mut().zip(pairs) {
                if row.numbers.is_none() {
                    let Fields { create_revision, version, lease, .. } = fields(row.at, &pair)?;
                    let mod_revision = row.at.main;
                    row.numbers = Some(Numbers { create_revision, mod_revision, version, lease });
                }
                // Only who sorts by values needs them now; others are fetched when it is clear
                // which are answered.
                row.pair = by_value.then_some(pair);
            }
        }
        Ok(())
    }

    /// Judges a condition on the current state.
    pub(crate) fn compare(&self, compare: &Compare) -> Result<bool, OpError> {
        let mut any = false;
        let mut holds = true;
        let mut failure = None;
        self.each(&compare.range, true, &mut |_, entry| {
            any = true;
            match self.satisfies(compare, entry) {
                Ok(true) => ControlFlow::Continue(()),
                Ok(false) => {
                    holds = false;
                    ControlFlow::Break(())
                }
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        match failure {
            Some(error) => Err(error.into()),
            None if any => Ok(holds),
            None if matches!(compare.target, CompareTarget::Value(_)) => Ok(false),
            None if planted!("mvcc.compare_of_missing_key_fails") => Ok(false),
            None => Ok(found(compare.result, order_of(&compare.target, Numbers::default()))),
        }
    }

    fn satisfies(&self, compare: &Compare, entry: &Entry) -> Result<bool, Error> {
        let order = match &compare.target {
            CompareTarget::Value(value) => {
                let revision = entry.newest().revision();
                let pair = self.values.get(revision)?;
                pair[fields(revision, &pair)?.value].cmp(value.as_ref())
            }
            target => order_of(target, entry.numbers()),
        };
        Ok(found(compare.result, order))
    }
}

fn answer_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whether the rows are sorted, and if descending.
fn effective_order(query: &RangeQuery) -> Option<bool> {
    match (query.sort_order, query.sort_target) {
        (SortOrder::Descend, _) => Some(true),
        (_, SortTarget::Key | SortTarget::Unknown(_)) => None,
        _ => Some(false),
    }
}

fn passes(query: &RangeQuery, numbers: Numbers) -> bool {
    let inside = |number: i64, min: i64, max: i64| {
        (min == 0 || number >= min) && (max == 0 || number <= max)
    };
    inside(numbers.mod_revision, query.min_mod_revision, query.max_mod_revision)
        && inside(numbers.create_revision, query.min_create_revision, query.max_create_revision)
}

fn sort(rows: &mut [Row<'_>], target: SortTarget, descend: bool) -> Result<(), Error> {
    let by_number = |number: fn(Numbers) -> i64| {
        move |left: &Row<'_>, right: &Row<'_>| {
            let order = number(left.numbers()).cmp(&number(right.numbers()));
            if descend { order.reverse() } else { order }
        }
    };
    match target {
        SortTarget::Key | SortTarget::Unknown(_) => {
            if descend {
                rows.sort_by(|left, right| right.key.cmp(left.key));
            }
        }
        SortTarget::Version => rows.sort_by(by_number(|numbers| numbers.version)),
        SortTarget::Create => rows.sort_by(by_number(|numbers| numbers.create_revision)),
        SortTarget::Mod => rows.sort_by(|left, right| {
            let order = left.at.main.cmp(&right.at.main);
            if descend { order.reverse() } else { order }
        }),
        SortTarget::Value => {
            // Read once before, so that comparing cannot fail.
            rows.iter().try_for_each(|row| row.value().map(drop))?;
            rows.sort_by(|left, right| {
                let order = left.value().unwrap_or_default().cmp(right.value().unwrap_or_default());
                if descend { order.reverse() } else { order }
            });
        }
    }
    Ok(())
}

fn without_value(row: &Row<'_>, lease: bool) -> Bytes {
    let numbers = row.numbers();
    let lease = if lease { numbers.lease } else { 0 };
    codec::encode(row.key, Numbers { lease, ..numbers }, b"")
}

fn order_of(target: &CompareTarget, numbers: Numbers) -> Ordering {
    match target {
        CompareTarget::Version(version) => numbers.version.cmp(version),
        CompareTarget::Create(revision) => numbers.create_revision.cmp(revision),
        CompareTarget::Mod(revision) => numbers.mod_revision.cmp(revision),
        CompareTarget::Lease(lease) => numbers.lease.cmp(&lease.0),
        CompareTarget::Value(_) | CompareTarget::Unknown => Ordering::Equal,
    }
}

fn found(result: CompareResult, order: Ordering) -> bool {
    match result {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
        CompareResult::Unknown => true,
    }
}
