//! A read in key order, page by page.

use super::{Row, View, without_value};
use crate::error::OpError;
use crate::outcome::Page;
use crate::request::{RangeQuery, SortTarget};
use bytes::Bytes;

/// How many pairs are fetched at once, and so how many a page may fetch in vain.
const GROUP_PAIRS: usize = 16;

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
        let pairs = rows.iter().map(|row| without_value(row, lease)).collect();
        // What was fetched for its numbers need not stay until the page is done.
        rows.iter_mut().for_each(|row| row.pair = None);
        Ok(pairs)
    }
}

fn key(row: &Row<'_>) -> Bytes {
    Bytes::copy_from_slice(row.key)
}
