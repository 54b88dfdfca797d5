//! A leader ends a lease only after others have confirmed, since it decided so, that it leads.

use crate::clock::Micros;
use crate::host::Process;
use crate::judges::members::Roll;
use drystone_api::etcdserverpb::InternalRaftRequest;
use drystone_judge::Verdict;
use drystone_member::{Decision, Effects, LeaderCommand};
use drystone_raft::{Message, MessageKind};
use drystone_types::{LeaseId, MemberId, Term};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

const JUDGE: &str = "expiry";

/// What a member decided in one term, with those who have since confirmed that it leads.
type Decided = BTreeMap<(Term, LeaseId), BTreeSet<MemberId>>;

/// The judge.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    pub(crate) verdict: Verdict,
    members: Vec<Decided>,
}

impl Expiry {
    /// There is a machine more.
    pub(crate) fn joined(&mut self) {
        self.members.push(Decided::new());
    }

    /// A member started: it has decided nothing.
    pub(crate) fn started(&mut self, m: usize) {
        self.members[m].clear();
    }

    /// A member's node is told what was decided by its clock.
    pub(crate) fn decided(&mut self, m: usize, command: &LeaderCommand) {
        if let Decision::Revoke(lease) = command.decision {
            self.members[m].entry((command.term, lease)).or_default();
        }
    }

    /// A member's node hears of another.
    pub(crate) fn heard(&mut self, m: usize, message: &Message) {
        // Only the answers to heartbeats that confirm leadership have a context.
        if message.kind != MessageKind::HeartbeatResponse || message.context.is_empty() {
            return;
        }
        for ((term, _), heard) in &mut self.members[m] {
            if *term == message.term {
                heard.insert(message.from);
            }
        }
    }

    /// A member's node had a round: ends of leases that it has put into its own log.
    pub(crate) fn round<R>(
        &mut self,
        now: Micros,
        m: usize,
        (process, roll): (&Process, &Roll),
        effects: &Effects<R>,
    ) {
        let leadership = process.node.leadership();
        // Whoever votes alone, or did before the newest change, asks nobody.
        let by = roll.before(process.told_applied + 1);
        let alone =
            process.node.is_alone() || by.iter().any(|members| members.voters().count() <= 1);
        let decided = &mut self.members[m];
        decided.retain(|(term, _), _| *term == leadership.term);
        if decided.is_empty() || !leadership.is_leader || alone {
            return;
        }
        let entries = effects.append.iter().flat_map(|append| &append.entries);
        for entry in entries.filter(|entry| entry.term == leadership.term) {
            let request = InternalRaftRequest::decode(entry.data.clone()).unwrap_or_default();
            // What nobody waits for was decided by a leader.
            if request.header.is_some_and(|header| header.id != 0) {
                continue;
            }
            let Some(revoke) = request.lease_revoke else { continue };
            let heard = decided.remove(&(entry.term, LeaseId(revoke.id)));
            if heard.is_some_and(|heard| heard.is_empty()) {
                self.verdict.add(
                    JUDGE,
                    "a lease ends after a quorum has confirmed the leader",
                    format_args!("at {now} us m{m} ends lease {} in {}", revoke.id, entry.index),
                );
            }
        }
    }
}
