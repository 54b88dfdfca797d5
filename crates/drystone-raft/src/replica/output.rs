//! What a member has to do next.

use super::{InFlight, Replica, Role};
use crate::convert::{entries_out, hard_state_out, message_out, snapshot_out};
use crate::log::entry_bytes;
use crate::message::{Message, MessageKind, SnapshotMeta};
use crate::reads::strip;
use bytes::Bytes;
use drystone_probe::{mark, planted};
use drystone_types::{Applied, Entry, HardState, LogIndex, MemberId};
use raft::StateRole;

/// An answer to [`Replica::read_index`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadState {
    /// The context of the call.
    pub context: Bytes,
    /// Reads that began before the call may be served once this index is applied.
    pub index: LogIndex,
}

/// Who leads, and what this replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftState {
    /// The leader, if one is known.
    pub leader: Option<MemberId>,
    /// This replica's role.
    pub role: Role,
}

/// One batch of work, in the order in which it is to be done:
///
/// 1. `messages` go out at once, before or beside everything else.
/// 2. `snapshot`, `entries` and `hard_state` are written to the log as one batch, whole or not
///    at all: the snapshot replaces the log, entries replace what the log has from the first
///    of them on. When `must_sync` is set they are synced; when it is not they may be lost.
///    Batches are written in the order of their numbers. Later ones may be taken and begun
///    before earlier ones are done.
/// 3. When all that is durable: [`Replica::log_persisted`] with `number`, and then
///    `messages_after_persist` go out. Every number may be reported, or only the newest.
/// 4. A `snapshot` is taken over by the store; entries of earlier batches that still wait to be
///    applied may be skipped then. Then `committed` entries are applied, in order.
///    They are durable here and in a majority, and follow on from those of the `Ready`
///    before. Neither waits for step 3 of this same batch. Progress is reported with
///    [`Replica::apply_conf_change`] and [`Replica::applied_to`].
/// 5. `read_states` are served when their index is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its place in the sequence of this replica's batches, from 1.
    pub number: u64,
    /// The new hard state, when it changed.
    pub hard_state: Option<HardState>,
    /// Entries to append to the log, overruling what stands in their place.
    pub entries: Vec<Entry>,
    /// Whether the write must be durable before it is reported.
    pub must_sync: bool,
    /// A snapshot to start the log and the store from.
    pub snapshot: Option<SnapshotMeta>,
    /// Messages that promise nothing about this replica's disk.
    pub messages: Vec<Message>,
    /// Messages that hold only once this batch and all before it are durable.
    pub messages_after_persist: Vec<Message>,
    /// Entries to apply.
    pub committed: Vec<Entry>,
    /// The new leader or role, when either changed.
    pub soft_state: Option<SoftState>,
    /// Reads that were confirmed.
    pub read_states: Vec<ReadState>,
    /// Contexts of this member's reads that will not be confirmed: ask again.
    pub reads_dropped: Vec<Bytes>,
    /// Peers that need a snapshot before anything else can be sent to them. Repeated as long
    /// as they do. Answer with [`Replica::offer_snapshot`].
    pub snapshots_wanted: Vec<MemberId>,
}

impl Ready {
    /// True when there is anything to write to the log.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.hard_state.is_some() || !self.entries.is_empty() || self.snapshot.is_some()
    }
}

impl Replica {
    /// The next batch of work; `None` when there is none. Messages for one peer are merged as
    /// far as they can be, and come in the order in which they arose.
    pub fn ready(&mut self) -> Option<Ready> {
        if !self.has_ready() {
            return None;
        }
        let mut core = self.raw.ready();
        let number = core.number();
        let hard_state = core.hs().map(hard_state_out);
        let soft_state = core.ss().map(|state| SoftState {
            leader: (state.leader_id != 0).then_some(MemberId(state.leader_id)),
            role: Role::of(state.raft_state),
        });
        let entries = entries_out(core.take_entries());
        let committed = entries_out(core.take_committed_entries());
        let snapshot = (!core.snapshot().is_empty()).then(|| snapshot_out(core.snapshot().clone()));
        let mut messages = core.take_messages();
        messages.append(&mut core.take_persisted_messages());
        let read_states = core.take_read_states();
        let must_sync = core.must_sync();

        // The core reads back through the log what it hands out here.
        if let Some(snapshot) = &snapshot {
            mark!("raft.log_restarted_by_snapshot");
            let start = Applied { index: snapshot.index, term: snapshot.term };
            self.raw.mut_store().restore(start);
            self.conf_applied = self.conf_applied.max(start.index.0);
        }
        self.raw.mut_store().append(entries.clone());
        self.raw.advance_append_async(core);
        self.last_number = number;
        self.track(number, must_sync, hard_state, !entries.is_empty() || snapshot.is_some());

        let (messages, messages_after_persist) = self.route(messages);
        let read_states = read_states.into_iter().filter_map(|state| {
            let context = self.reads.finish(&state.request_ctx)?;
            Some(ReadState { context, index: LogIndex(state.index) })
        });
        let read_states = read_states.collect();
        let reads_dropped = self.reads.take_dropped();
        let wanted = self.raw.mut_store().take_wanted();
        self.settle();
        Some(Ready {
            number,
            hard_state,
            entries,
            must_sync,
            snapshot,
            messages,
            messages_after_persist,
            committed,
            soft_state,
            read_states,
            reads_dropped,
            snapshots_wanted: wanted.into_iter().map(MemberId).collect(),
        })
    }

    /// Remembers what is being made durable.
    fn track(
        &mut self,
        number: u64,
        must_sync: bool,
        hard_state: Option<HardState>,
        grows_log: bool,
    ) {
        let mut promises = false;
        if let Some(state) = hard_state {
            let last = self.last_hard_state;
            promises = (state.term, state.vote) != (last.term, last.vote);
            self.last_hard_state = state;
        }
        if must_sync {
            self.in_flight.push_back(InFlight { number, promises, grows_log });
        } else if self.in_flight.is_empty() {
            self.raw.on_persist_ready(number);
        }
    }

    /// Splits messages into those for now and those for when the disk has caught up.
    ///
    /// A leader replicates while it writes (Raft thesis, 10.2.1), but only once its own vote is
    /// durable: a lone voter that forgot its term would lead the same term twice. Others hold
    /// back what promises something about their log or vote. Heartbeats are answered at once,
    /// as etcd does: they promise nothing about the log, and a slow disk must not cost a leader
    /// its quorum.
    fn route(&mut self, messages: Vec<raft::eraftpb::Message>) -> (Vec<Message>, Vec<Message>) {
        let messages = messages.into_iter().map(|message| {
            let mut message = message_out(message);
            if message.kind == MessageKind::ReadIndexResponse {
                for entry in &mut message.entries {
                    entry.data = strip(std::mem::take(&mut entry.data));
                }
            }
            message
        });
        let promises = self.in_flight.iter().any(|ready| ready.promises);
        let leads = self.raw.raft.state == StateRole::Leader;
        let free = self.in_flight.is_empty() || leads && !promises;
        let (now, later): (Vec<_>, Vec<_>) = messages.partition(|message| {
            free || match message.kind {
                MessageKind::Propose | MessageKind::ReadIndex => true,
                MessageKind::HeartbeatResponse => !promises,
                MessageKind::AppendResponse => planted!("raft.entries_acknowledged_unsynced"),
                MessageKind::VoteResponse => planted!("raft.vote_given_unsynced"),
                _ => false,
            }
        });
        let bytes_max = self.config.entry_bytes_max_per_message;
        if !later.is_empty() {
            mark!("raft.messages_held_for_sync");
        }
        (merge(now, bytes_max), merge(later, bytes_max))
    }
}

/// Orders messages by recipient, and merges those that say together what one can say.
fn merge(mut messages: Vec<Message>, bytes_max: u64) -> Vec<Message> {
    messages.sort_by_key(|message| message.to);
    // With the bytes of their entries.
    let mut merged: Vec<(Message, u64)> = Vec::with_capacity(messages.len());
    for message in messages {
        let bytes = message.entries.iter().map(entry_bytes).sum::<u64>();
        let earlier = merged
            .iter_mut()
            .rev()
            .take_while(|(earlier, _)| earlier.to == message.to)
            .find(|(earlier, _)| (earlier.kind, earlier.term) == (message.kind, message.term));
        match earlier {
            Some((earlier, total)) if *total + bytes <= bytes_max && absorbs(earlier, &message) => {
                mark!("raft.messages_merged");
                absorb(earlier, message);
                *total += bytes;
            }
            _ => merged.push((message, bytes)),
        }
    }
    merged.into_iter().map(|(message, _)| message).collect()
}

/// Whether `earlier` can take over what `later` says, which is of the same kind and term.
fn absorbs(earlier: &Message, later: &Message) -> bool {
    match earlier.kind {
        MessageKind::Append => earlier.index.0 + earlier.entries.len() as u64 == later.index.0,
        // The core confirms reads in order: whoever answers the last has answered them all.
        MessageKind::Heartbeat => true,
        MessageKind::AppendResponse => {
            !earlier.reject && !later.reject && earlier.index <= later.index
        }
        _ => false,
    }
}

fn absorb(earlier: &mut Message, later: Message) {
    if earlier.kind == MessageKind::Append {
        earlier.entries.extend(later.entries);
        earlier.commit = earlier.commit.max(later.commit);
    } else {
        *earlier = later;
    }
}

#[cfg(test)]
mod tests;
