//! Linearizable reads that wait together for one confirmation of leadership.
//!
//! A read index round costs a heartbeat to every follower. All reads that arrive while a
//! round is under way wait for the next one and share it, so the cost is per round trip and
//! not per read. A round that stays unanswered is given up and started anew under a fresh
//! context: a context is never used twice, since a late answer to an old one would confirm
//! a read it never covered.

use bytes::Bytes;
use drystone_probe::{mark, planted};
use drystone_types::LogIndex;

/// One round: its context and the reads that wait for it.
#[derive(Debug)]
struct Round<R> {
    context: u64,
    reads: Vec<R>,
    ticks_waited: usize,
}

/// The reads of one member, waiting or under way.
#[derive(Debug)]
pub(crate) struct Reads<R> {
    waiting: Vec<R>,
    round: Option<Round<R>>,
    next_context: u64,
    reads_max: usize,
    retry_ticks: usize,
}

impl<R> Reads<R> {
    /// `first_context` must differ between two runs of one member; `reads_max` bounds how
    /// many reads may wait, `retry_ticks` how long a round may take before it is repeated.
    pub(crate) fn new(first_context: u64, reads_max: usize, retry_ticks: usize) -> Self {
        Self {
            waiting: Vec::new(),
            round: None,
            next_context: first_context,
            reads_max,
            retry_ticks,
        }
    }

    /// Reads that wait, whether a round is under way for them or not.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.round.as_ref().map_or(0, |round| round.reads.len())
    }

    /// True when as many reads wait as may.
    pub(crate) fn is_full(&self) -> bool {
        let full = self.len() >= self.reads_max;
        if full {
            mark!("member.read_refused");
        }
        full
    }

    /// Lets `read` wait; the caller has asked [`Reads::is_full`], or has a bound of its own.
    pub(crate) fn add(&mut self, read: R) {
        self.waiting.push(read);
    }

    /// Starts a round when reads wait and none is under way: the context to ask raft with.
    pub(crate) fn start(&mut self) -> Option<Bytes> {
        if self.round.is_some() || self.waiting.is_empty() {
            return None;
        }
        let reads = std::mem::take(&mut self.waiting);
        if reads.len() > 1 {
            mark!("member.read_round_shared");
        }
        let context = self.fresh_context();
        self.round = Some(Round { context, reads, ticks_waited: 0 });
        Some(encode(context))
    }

    /// Raft confirmed `context`: the reads that may go on once `index` is applied.
    pub(crate) fn confirmed(
        &mut self,
        context: &[u8],
        index: LogIndex,
    ) -> Option<(LogIndex, Vec<R>)> {
        let ours = self.round.as_ref().is_some_and(|round| encode(round.context) == context);
        if !ours {
            mark!("member.read_answered_late");
            return None;
        }
        self.round.take().map(|round| (index, round.reads))
    }

    /// Counts one tick; a round that waited too long is repeated under a fresh context.
    pub(crate) fn tick(&mut self) -> Option<Bytes> {
        let round = self.round.as_mut()?;
        round.ticks_waited += 1;
        if round.ticks_waited < self.retry_ticks {
            return None;
        }
        mark!("member.read_round_retried");
        self.restart()
    }

    /// Repeats the round under way at once, under a fresh context: there is a leader to ask now.
    pub(crate) fn restart(&mut self) -> Option<Bytes> {
        let context = self.next_context;
        let round = self.round.as_mut()?;
        round.ticks_waited = 0;
        round.context = context;
        self.next_context = after(context);
        Some(encode(context))
    }

    /// Raft will not confirm `context`: the round is repeated at the next tick.
    pub(crate) fn dropped(&mut self, context: &[u8]) {
        let retry_ticks = self.retry_ticks;
        if let Some(round) = &mut self.round
            && encode(round.context) == context
        {
            mark!("member.read_round_dropped");
            round.ticks_waited = retry_ticks;
        }
    }

    /// Gives back every read: the leader changed, or the member stops.
    pub(crate) fn abort(&mut self) -> Vec<R> {
        let mut reads = self.round.take().map_or_else(Vec::new, |round| round.reads);
        reads.append(&mut self.waiting);
        reads
    }

    fn fresh_context(&mut self) -> u64 {
        let context = self.next_context;
        self.next_context = after(context);
        context
    }
}

fn after(context: u64) -> u64 {
    if planted!("member.read_context_reused") { context } else { context.wrapping_add(1) }
}

fn encode(context: u64) -> Bytes {
    Bytes::copy_from_slice(&context.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_share_rounds_and_contexts_are_never_reused() {
        let mut reads = Reads::new(7, 10, 2);
        assert_eq!(reads.start(), None);
        reads.add('a');
        let first = reads.start().unwrap();
        reads.add('b');
        assert_eq!(reads.start(), None, "one round at a time");

        assert_eq!(reads.tick(), None);
        let second = reads.tick().unwrap();
        assert_ne!(first, second);
        assert_eq!(reads.confirmed(&first, LogIndex(3)), None, "a late answer confirms nothing");
        assert_eq!(reads.confirmed(&second, LogIndex(4)), Some((LogIndex(4), vec!['a'])));

        let third = reads.start().unwrap();
        assert!(third != first && third != second);
        assert_eq!(reads.confirmed(&third, LogIndex(5)), Some((LogIndex(5), vec!['b'])));
    }

    #[test]
    fn waiting_reads_are_bounded_and_can_be_given_back() {
        let mut reads = Reads::new(0, 2, 2);
        reads.add(1);
        reads.start().unwrap();
        assert!(!reads.is_full());
        reads.add(2);
        assert!(reads.is_full());
        assert_eq!(reads.abort(), [1, 2]);
        assert!(!reads.is_full());
        reads.add(4);
        assert!(reads.start().is_some());
    }
}
