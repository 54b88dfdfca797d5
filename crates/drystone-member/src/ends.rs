//! Leases that the log ends behind what is applied.

use crate::lead::{Decision, LeaderCommand};
use drystone_api::etcdserverpb::InternalRaftRequest;
use drystone_probe::mark;
use drystone_raft::Replica;
use drystone_types::{Entry, EntryKind, LeaseId, LogIndex};
use prost::Message as _;
use std::collections::BTreeMap;

/// What a leader has seen of the end of its log. Each entry is looked at once.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// The newest entry that was looked at.
    seen: LogIndex,
    /// Everything up to here was forgotten.
    forgotten: LogIndex,
    /// Where each lease was ended last.
    ended: BTreeMap<LeaseId, LogIndex>,
}

impl Ends {
    /// What of `command` the log leaves ground for; `None` when that is nothing. The leader's
    /// log is all that can come before its own proposal.
    ///
    /// A lease that the log ends behind what was applied at the decision is gone, and what has
    /// its id then is another one. A second revoke would end that one at once, with its keys. A
    /// remainder of the old lease would have the next leader end it early: deadlines of this
    /// leader do not heed remainders, a successor starts from them. The zero that a renewal has
    /// logged needs no such care: it gives a lease its whole granted time, which a new one has
    /// anyway.
    pub(crate) fn uphold(&mut self, replica: &Replica, command: LeaderCommand) -> Option<Decision> {
        let LeaderCommand { decision, decided_at, .. } = command;
        let entries = replica.entries_after(self.seen.max(decided_at))?;
        self.look(&entries);
        self.forget(decided_at);
        match decision {
            Decision::Revoke(id) if self.ended.contains_key(&id) => {
                mark!("member.expired_lease_ended_meanwhile");
                None
            }
            Decision::Revoke(id) => Some(Decision::Revoke(id)),
            Decision::Checkpoint(mut due) => {
                due.retain(|(id, _)| !self.ended.contains_key(id));
                (!due.is_empty()).then_some(Decision::Checkpoint(due))
            }
        }
    }

    /// Looks at entries that follow on what was seen.
    fn look(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.seen = entry.index;
            if entry.kind != EntryKind::Normal || entry.data.is_empty() {
                continue;
            }
            // What cannot be decoded ends the member when it is applied, not here.
            let request = InternalRaftRequest::decode(entry.data.clone());
            if let Some(revoke) = request.ok().and_then(|request| request.lease_revoke) {
                self.ended.insert(LeaseId(revoke.id), entry.index);
            }
        }
    }

    /// Forgets what lies up to `applied`: whoever decides from there on knows of it.
    fn forget(&mut self, applied: LogIndex) {
        if applied > self.forgotten {
            self.forgotten = applied;
            self.ended.retain(|_, at| *at > applied);
        }
    }
}
