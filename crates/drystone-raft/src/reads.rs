//! Read-index requests under way, each under a name that is never used twice.
//!
//! The core keys a read by its context. A late answer to an earlier heartbeat with the same
//! context would confirm a later read, and every older one with it: a stale read (etcd issue
//! 20418). So whoever handles a read appends a fresh number to its context and takes it off
//! again on the way back; contexts may repeat, names do not.

use bytes::{BufMut, Bytes, BytesMut};
use drystone_probe::{mark, planted};
use drystone_types::MemberId;
use std::collections::{BTreeMap, VecDeque};

const NONCE_BYTES: usize = 8;

/// A read that waits for this leader's first commit in its term.
pub(crate) struct HeldRead {
    /// The member to answer; `None` for this one.
    pub(crate) from: Option<MemberId>,
    /// The context with its nonce.
    pub(crate) name: Bytes,
}

/// The reads of one replica.
pub(crate) struct Reads {
    /// Where the nonces of this incarnation began, so that their order survives wrapping.
    base: u64,
    issued: u64,
    max: usize,
    /// Term, and whether this replica leads: reads do not outlive either.
    epoch: (u64, bool),
    /// This member's own reads that have no answer, by their order.
    waiting: BTreeMap<u64, Bytes>,
    held: VecDeque<HeldRead>,
    dropped: Vec<Bytes>,
    #[cfg(test)]
    pub(crate) repeat_nonces: bool,
}

impl Reads {
    pub(crate) fn new(base: u64, max: usize) -> Self {
        Self {
            base,
            issued: 0,
            max,
            epoch: (0, false),
            waiting: BTreeMap::new(),
            held: VecDeque::new(),
            dropped: Vec::new(),
            #[cfg(test)]
            repeat_nonces: false,
        }
    }

    /// Says where the replica stands. Reads begun elsewhere are lost.
    pub(crate) fn enter(&mut self, term: u64, leads: bool) {
        if self.epoch != (term, leads) {
            self.epoch = (term, leads);
            if !self.waiting.is_empty() {
                mark!("raft.reads_dropped_with_term");
            }
            self.dropped.extend(std::mem::take(&mut self.waiting).into_values());
            self.held.clear();
        }
    }

    /// A name for a read of another member.
    pub(crate) fn name(&mut self, context: &[u8]) -> Bytes {
        let nonce = self.next();
        self.named(context, nonce)
    }

    /// A name for a read of this member. When as many wait as may, the oldest is given up: its
    /// request or its answer was probably lost.
    pub(crate) fn begin(&mut self, context: Bytes) -> Bytes {
        while self.waiting.len() >= self.max
            && let Some((_, oldest)) = self.waiting.pop_first()
        {
            self.dropped.push(oldest);
        }
        let nonce = self.next();
        let name = self.named(&context, nonce);
        self.waiting.insert(nonce, context);
        name
    }

    fn next(&mut self) -> u64 {
        #[cfg(test)]
        if self.repeat_nonces {
            return 0;
        }
        if planted!("raft.read_nonce_repeated") {
            return 0;
        }
        self.issued += 1;
        self.issued
    }

    fn named(&self, context: &[u8], nonce: u64) -> Bytes {
        let mut name = BytesMut::with_capacity(context.len() + NONCE_BYTES);
        name.put_slice(context);
        name.put_u64(self.base.wrapping_add(nonce));
        name.freeze()
    }

    /// The context of this member's read of that name, if it still waits.
    pub(crate) fn finish(&mut self, name: &[u8]) -> Option<Bytes> {
        let at = name.len().checked_sub(NONCE_BYTES)?;
        let nonce = u64::from_be_bytes(name[at..].try_into().ok()?).wrapping_sub(self.base);
        let context = self.waiting.remove(&nonce)?;
        debug_assert_eq!(context, name[..at]);
        Some(context)
    }

    /// Holds a read back until the leader's first commit. A full queue loses it: its member
    /// asks again.
    pub(crate) fn hold(&mut self, read: HeldRead) {
        if self.held.len() < self.max {
            mark!("raft.read_held_until_commit");
            self.held.push_back(read);
        }
    }

    /// The reads held back, in order.
    pub(crate) fn take_held(&mut self) -> VecDeque<HeldRead> {
        std::mem::take(&mut self.held)
    }

    pub(crate) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    pub(crate) fn is_full(&self, pending: usize) -> bool {
        pending >= self.max
    }

    /// Contexts of this member's reads that will not be answered.
    pub(crate) fn take_dropped(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.dropped)
    }

    pub(crate) fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// A name without its nonce.
pub(crate) fn strip(mut name: Bytes) -> Bytes {
    name.truncate(name.len().saturating_sub(NONCE_BYTES));
    name
}
