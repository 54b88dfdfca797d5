//! The log side of a member: appends in, durable numbers and released messages out.

use crate::node::Append;
use bytes::Bytes;
use drystone_api::raftpb;
use drystone_probe::{mark, planted};
use drystone_raft::{Message, SnapshotMeta};
use drystone_types::{ConfState, LogIndex, MemberId};
use drystone_wal::{Error, Marker, SnapshotMark, Wal};
use prost::Message as _;

/// What became durable.
#[derive(Debug, Default)]
pub struct Persisted {
    /// The highest append number that is durable now, if any was written.
    pub number: Option<u64>,
    /// Messages that waited for it, in order.
    pub send: Vec<Message>,
}

/// Writes appends to the log, all that wait in one write and one sync.
///
/// After an error the log takes nothing more, and the member must end: what reached the disk
/// is unknown.
#[derive(Debug)]
pub struct LogWriter {
    wal: Wal,
    waiting: Persisted,
    must_sync: bool,
}

impl LogWriter {
    /// A writer over an opened log.
    #[must_use]
    pub fn new(wal: Wal) -> Self {
        Self { wal, waiting: Persisted::default(), must_sync: false }
    }

    /// Takes on one append. Appends come in the order of their numbers.
    ///
    /// # Errors
    /// [`Error`] of the log.
    pub fn append(&mut self, append: Append) -> Result<(), Error> {
        if let Some(snapshot) = &append.snapshot {
            mark!("member.snapshot_marked");
            let mark = snapshot_mark(snapshot);
            match self.wal.mark_snapshot(&mark) {
                Err(Error::BufferFull { .. }) => {
                    self.wal.sync()?;
                    self.wal.mark_snapshot(&mark)?;
                }
                other => other?,
            }
        }
        let late = planted!("member.send_before_sync") || planted!("member.persisted_before_sync");
        if late && self.must_sync {
            self.wal.sync()?;
            self.must_sync = false;
        }
        match self.wal.append(&append.entries, append.hard_state) {
            Err(Error::BufferFull { .. }) => {
                mark!("member.append_in_parts");
                self.wal.sync()?;
                self.wal.append_and_sync(&append.entries, append.hard_state)?;
            }
            other => other?,
        }
        let forgets = append.entries.is_empty() && planted!("member.vote_not_synced");
        self.must_sync |= (append.must_sync && !forgets) || append.snapshot.is_some();
        self.waiting.number = Some(append.number);
        self.waiting.send.extend(append.then_send);
        Ok(())
    }

    /// Makes everything taken on durable, as far as anything needs it, and says what may
    /// happen now.
    ///
    /// # Errors
    /// [`Error`] of the log.
    pub fn sync(&mut self) -> Result<Persisted, Error> {
        if self.must_sync {
            // Both are made good with the next append, one sync too late.
            if planted!("member.send_before_sync") {
                let send = std::mem::take(&mut self.waiting.send);
                return Ok(Persisted { number: None, send });
            }
            if planted!("member.persisted_before_sync") {
                let number = self.waiting.number.take();
                return Ok(Persisted { number, send: Vec::new() });
            }
            self.wal.sync()?;
            self.must_sync = false;
        }
        if !self.waiting.send.is_empty() {
            mark!("member.messages_waited_for_sync");
        }
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Lets go of entries up to and including `upto`.
    ///
    /// # Errors
    /// [`Error`] of the log.
    pub fn compact(&mut self, upto: LogIndex) -> Result<(), Error> {
        match self.wal.compact(upto) {
            Err(Error::BufferFull { .. }) => {
                self.wal.sync()?;
                self.wal.compact(upto)
            }
            other => other,
        }
    }

    /// Lays out a little of the next segment while nothing else is to be done. Returns whether
    /// there is more to lay out.
    ///
    /// # Errors
    /// [`Error`] of the log; not final.
    pub fn tend(&mut self, budget_bytes: u64) -> Result<bool, Error> {
        self.wal.tend(budget_bytes)
    }

    /// Notes in the log that everything in it is durable, so that damage to the last batch can
    /// be told from a torn write. Call when the log has been idle for a while.
    ///
    /// # Errors
    /// [`Error`] of the log.
    pub fn attest(&mut self) -> Result<(), Error> {
        self.wal.attest()
    }

    /// Syncs what waits and closes the log.
    ///
    /// # Errors
    /// [`Error`] of the log.
    pub fn close(self) -> Result<(), Error> {
        self.wal.close()
    }
}

fn snapshot_mark(meta: &SnapshotMeta) -> SnapshotMark {
    SnapshotMark {
        at: Marker { index: meta.index, term: meta.term },
        conf: encode_conf(&meta.conf_state),
    }
}

/// The membership as raftpb's `ConfState`, the form in which the log carries it.
#[must_use]
pub fn encode_conf(conf: &ConfState) -> Bytes {
    let numbers = |ids: &[MemberId]| ids.iter().map(|id| id.0).collect();
    let message = raftpb::ConfState {
        voters: numbers(&conf.voters),
        learners: numbers(&conf.learners),
        ..raftpb::ConfState::default()
    };
    message.encode_to_vec().into()
}
