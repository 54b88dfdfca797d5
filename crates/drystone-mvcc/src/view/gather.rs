//! The rows of an answer, without all of a range in memory where a limit is given.

use super::page::GROUP_PAIRS;
use super::{FETCH_KEYS_MAX, Row, View, passes, sort};
use crate::error::{Error, OpError};
use crate::request::{RangeQuery, SortTarget};
use std::ops::ControlFlow;

/// How far a range is read, and how much of it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Pairs that are read, in key order, before anything else.
    pub(super) cut: usize,
    /// Pairs that can matter once they are filtered and sorted.
    pub(super) keep: usize,
    /// Whether rows are sorted, and if descending.
    pub(super) order: Option<bool>,
}

/// Pairs of the range that were looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen {
    /// All that there are.
    All(usize),
    /// These, and there may be more.
    Some(usize),
}

/// The rows of a query, filtered and sorted, and no more than `2 * bounds.keep` of them at any
/// time beside those of one batch.
pub(super) fn rows<'a>(
    view: &View<'a>,
    query: &RangeQuery,
    at: i64,
    bounds: Bounds,
) -> Result<(Vec<Row<'a>>, Seen), OpError> {
    let by_value = bounds.order.is_some() && query.sort_target == SortTarget::Value;
    let batch_max = if by_value { GROUP_PAIRS } else { FETCH_KEYS_MAX };
    let mut gathered = Gathered { view, query, at, bounds, rows: Vec::new(), batch: Vec::new() };
    let (mut seen, mut stopped, mut failure) = (0, false, None);
    view.each(&query.range, at == view.revision, &mut |key, entry| {
        let Some(row) = Row::new(key, entry, at) else { return ControlFlow::Continue(()) };
        gathered.batch.push(row);
        seen += 1;
        stopped = seen >= bounds.cut;
        if !stopped && gathered.batch.len() >= batch_max {
            match gathered.take_in() {
                Ok(enough) => stopped = enough,
                Err(error) => {
                    failure = Some(error);
                    stopped = true;
                }
            }
        }
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(error) = failure {
        return Err(error);
    }
    gathered.take_in()?;
    gathered.sort()?;
    let seen = if stopped { Seen::Some(seen) } else { Seen::All(seen) };
    Ok((gathered.rows, seen))
}

struct Gathered<'v, 'a> {
    view: &'v View<'a>,
    query: &'v RangeQuery,
    at: i64,
    bounds: Bounds,
    rows: Vec<Row<'a>>,
    /// Rows that are neither filtered nor sorted.
    batch: Vec<Row<'a>>,
}

impl Gathered<'_, '_> {
    /// Filters the batch and keeps what can matter; true when no later row can.
    fn take_in(&mut self) -> Result<bool, OpError> {
        let order = self.bounds.order;
        self.view.complete(&mut self.batch, self.query, order.is_some(), self.at)?;
        let filters = self.query.filters();
        let passing = |row: &Row<'_>| !filters || passes(self.query, row.numbers());
        self.rows.extend(self.batch.drain(..).filter(passing));
        let keep = self.bounds.keep;
        if order.is_none() {
            self.rows.truncate(keep);
            return Ok(self.rows.len() >= keep);
        }
        if self.rows.len() / 2 >= keep {
            self.sort()?;
            self.rows.truncate(keep);
        }
        Ok(false)
    }

    /// Sorts what is kept. Rows that sort alike stay in key order: those kept before come first.
    fn sort(&mut self) -> Result<(), Error> {
        match self.bounds.order {
            Some(descend) => sort(&mut self.rows, self.query.sort_target, descend),
            None => Ok(()),
        }
    }
}
