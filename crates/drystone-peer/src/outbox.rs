//! The bounded queue between the member, which never waits, and whoever writes to the network.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

/// What a queue holds must tell its size.
pub(crate) trait Weigh {
    /// Bytes that this item keeps alive, roughly.
    fn weight(&self) -> usize;
}

/// Bounds of one queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) items_max: usize,
    pub(crate) bytes_max: usize,
}

/// Why an item was not taken; it comes back.
#[derive(Debug)]
pub(crate) enum Refused<T> {
    /// Nobody reads the queue.
    Detached(T),
    /// A bound is reached.
    Full,
}

/// One reader's right to a queue. A later one ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// First in, first out, one reader at a time. Locked for the length of a push or a drain only.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    bounds: Bounds,
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    queue: VecDeque<T>,
    bytes: usize,
    reader: Option<Ticket>,
    tickets: u64,
    closed: bool,
    waker: Option<Waker>,
}

impl<T> Inner<T> {
    fn clear(&mut self) -> usize {
        let lost = self.queue.len();
        // A queue that once was long gives its memory back.
        self.queue = VecDeque::new();
        self.bytes = 0;
        lost
    }
}

impl<T: Weigh> Outbox<T> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let inner = Inner {
            queue: VecDeque::new(),
            bytes: 0,
            reader: None,
            tickets: 0,
            closed: false,
            waker: None,
        };
        Self { bounds, inner: Mutex::new(inner) }
    }

    /// Appends, unless nobody reads or a bound is reached. An empty queue takes an item of any
    /// size, so that one large message is late and not impossible.
    pub(crate) fn push(&self, item: T) -> Result<(), Refused<T>> {
        let waker = {
            let mut inner = self.inner.lock();
            if inner.reader.is_none() || inner.closed {
                return Err(Refused::Detached(item));
            }
            let bytes = inner.bytes.saturating_add(item.weight());
            let full = inner.queue.len() >= self.bounds.items_max || bytes > self.bounds.bytes_max;
            if full && !inner.queue.is_empty() {
                return Err(Refused::Full);
            }
            inner.bytes = bytes;
            inner.queue.push_back(item);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Makes the caller the only reader. The former one is told that it ended, and what waited
    /// for it is lost: the number of items comes back.
    pub(crate) fn attach(&self) -> (Ticket, usize) {
        let mut inner = self.inner.lock();
        inner.tickets += 1;
        let ticket = Ticket(inner.tickets);
        inner.reader = Some(ticket);
        let lost = inner.clear();
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
        (ticket, lost)
    }

    /// Gives the right to read back. `None` if it had been lost to another reader, else how
    /// many items are lost with it.
    pub(crate) fn detach(&self, ticket: Ticket) -> Option<usize> {
        let mut inner = self.inner.lock();
        if inner.reader != Some(ticket) {
            return None;
        }
        inner.reader = None;
        inner.waker = None;
        Some(inner.clear())
    }

    /// Refuses every later item and ends the reader.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.clear();
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    /// Whether somebody reads.
    pub(crate) fn is_attached(&self) -> bool {
        let inner = self.inner.lock();
        inner.reader.is_some() && !inner.closed
    }

    /// Moves items to `out` until `bytes` are reached, at least one. Ready with `false` when
    /// the reader has no right any more; pending when there is nothing.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        bytes: usize,
        out: &mut Vec<T>,
    ) -> Poll<bool> {
        let mut inner = self.inner.lock();
        if inner.closed || inner.reader != Some(ticket) {
            return Poll::Ready(false);
        }
        if inner.queue.is_empty() {
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut taken = 0;
        while taken < bytes {
            let Some(item) = inner.queue.pop_front() else { break };
            taken = taken.saturating_add(item.weight().max(1));
            inner.bytes = inner.bytes.saturating_sub(item.weight());
            out.push(item);
        }
        Poll::Ready(true)
    }
}

#[cfg(test)]
mod tests;
