//! A read in key order, page by page.

use super::{Row, View, without_value};
use crate::error::{Error, OpError};
use crate::outcome::Page;
use crate::request::{RangeQuery, SortTarget};
use bytes::Bytes;
use drystone_types::Revision;
use std::ops::ControlFlow;

/// How many pairs are fetched at once, and so how many a page may fetch in vain.
pub(super) const GROUP_PAIRS: usize = 16;

impl View<'_> {
    /// The first pairs of a range, bounded in number and bytes.
    pub(crate) fn page(
        &self,
        query: &RangeQuery,
        pairs_max: usize,
        bytes_max: usize,
    ) -> Result<Page, OpError> {
        let at = self.resolve(query.revision)?;
        let pairs_max = pairs_max.max(1);
        let mut rows = self.rows(&query.range, at, pairs_max.saturating_add(1));
        let beyond = rows.get(pairs_max).map(key);
        rows.truncate(pairs_max);

        let mut kvs = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        while kvs.len() < rows.len() {
            let end = rows.len().min(kvs.len() + GROUP_PAIRS);
            for pair in self.group(&mut rows[kvs.len()..end], query, at)? {
                bytes += pair.len();
                kvs.push(pair);
                if bytes >= bytes_max {
                    let next = rows.get(kvs.len()).map(key).or(beyond);
                    return Ok(Page { kvs, next });
                }
            }
        }
        Ok(Page { kvs, next: beyond })
    }

    fn group(
        &self,
        rows: &mut [Row<'_>],
        query: &RangeQuery,
        at: i64,
    ) -> Result<Vec<Bytes>, OpError> {
        if !query.keys_only {
            return Ok(self.values.get_many(rows.iter().map(|row| row.at), false)?);
        }
        self.complete(rows, query, false, at)?;
        let lease = query.sort_target == SortTarget::Value;
        Ok(rows.iter().map(|row| without_value(row, lease)).collect())
    }
}

impl View<'_> {
    /// The sum of `cost` over the lengths of the first stored pairs of a range.
    pub(crate) fn measure(
        &self,
        query: &RangeQuery,
        pairs_max: usize,
        cost: fn(usize) -> usize,
    ) -> Result<usize, OpError> {
        let at = self.resolve(query.revision)?;
        let (mut total, mut pairs) = (0_usize, 0);
        let mut unknown = Vec::with_capacity(GROUP_PAIRS);
        let mut failure = None;
        self.each(&query.range, at == self.revision, &mut |_, entry| {
            let Some(version) = entry.live_at(at) else { return ControlFlow::Continue(()) };
            if pairs == pairs_max {
                return ControlFlow::Break(());
            }
            pairs += 1;
            match entry.length().filter(|_| entry.newest() == version) {
                Some(length) => total = total.saturating_add(cost(length)),
                None => unknown.push(version.revision()),
            }
            if unknown.len() < GROUP_PAIRS {
                return ControlFlow::Continue(());
            }
            match self.costs(&mut unknown, cost) {
                Ok(more) => total = total.saturating_add(more),
                Err(error) => {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        match failure {
            Some(error) => Err(error.into()),
            None => Ok(total.saturating_add(self.costs(&mut unknown, cost)?)),
        }
    }

    /// Reads pairs for their lengths alone.
    fn costs(&self, unknown: &mut Vec<Revision>, cost: fn(usize) -> usize) -> Result<usize, Error> {
        let pairs = self.values.get_many(unknown.drain(..), false)?;
        Ok(pairs.iter().map(|pair| cost(pair.len())).sum())
    }
}

fn key(row: &Row<'_>) -> Bytes {
    Bytes::copy_from_slice(row.key)
}
