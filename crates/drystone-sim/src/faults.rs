//! The planted faults: what each breaks, and what has to notice.
//!
//! A simulator that does not find a fault that is really there says nothing by finding none. So
//! the code of the members can be broken on purpose (`drystone_probe::planted!`), in ways in
//! which stores of this kind were broken before or easily could be, and every fault must be
//! found. `tests/it/tables.rs` holds this table against the sources.

/// A fault that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlantedFault {
    /// The name in the sources: the crate, then what goes wrong.
    pub name: &'static str,
    /// What the broken code does.
    pub what: &'static str,
    /// The number of etcd's issue that it resembles, if there is one.
    pub like: Option<u32>,
    /// Which judges should find it, and from what.
    pub judges: &'static str,
}

const fn fault(
    name: &'static str,
    like: Option<u32>,
    what: &'static str,
    judges: &'static str,
) -> PlantedFault {
    PlantedFault { name, what, like, judges }
}

/// Every planted fault, by name.
pub const FAULTS: &[PlantedFault] = &[
    fault(
        "backend.flush_reports_unflushed",
        None,
        "A flush of the store reports what is visible and makes nothing durable.",
        "raft: the log is cut beyond what the store flushed; life: a member cannot start \
         after a power cut",
    ),
    fault(
        "backend.snapshot_without_leases",
        None,
        "A snapshot of the store leaves its leases out.",
        "store: leases of the receiver are not the model's",
    ),
    fault(
        "lease.checkpoint_grows_the_ttl",
        None,
        "A checkpoint adds what is left of a lease to its granted time.",
        "witness: a keep-alive or a time-to-live answers another granted time",
    ),
    fault(
        "lease.grant_not_recorded",
        None,
        "A grant is kept in memory and not in the store.",
        "store: leases after a restart are not the model's",
    ),
    fault(
        "lease.overwrite_keeps_the_old_lease",
        None,
        "A key that gets another lease stays with the old one too, and ends with it.",
        "store: the end of the old lease deletes keys that the model keeps",
    ),
    fault(
        "lease.promoted_without_time",
        None,
        "A new leader gives every lease one election timeout and not its time.",
        "witness: a lease ended before its time",
    ),
    fault(
        "lease.renewal_keeps_the_checkpoint",
        None,
        "A renewal does not ask for the logged remainder to be taken back, so that the next \
         leader starts with it.",
        "witness: a lease ended before its time",
    ),
    fault(
        "lease.revoke_leaves_a_key",
        None,
        "The end of a lease forgets the last of its keys.",
        "store: a pair lives on that the model deleted",
    ),
    fault(
        "lease.revoke_not_recorded",
        None,
        "The end of a lease is kept in memory and not in the store.",
        "store: leases after a restart are not the model's",
    ),
    fault(
        "lease.time_kept_over_demotion",
        None,
        "A member that ceases to lead goes on timing leases, and trusts those times when it \
         leads again.",
        "witness: a lease ended before its time, renewed with the leader between",
    ),
    fault(
        "machine.alarm_not_recorded",
        None,
        "An alarm is kept in memory and not in the store.",
        "store: alarms after a restart are not the model's",
    ),
    fault(
        "machine.index_after_data",
        None,
        "The applied index is written after the data, in a write of its own: a crash between \
         makes an entry apply twice.",
        "store: revision and pairs after a restart are not the model's",
    ),
    fault(
        "machine.index_before_data",
        Some(13766),
        "The applied index is written before the data, in a write of its own: a crash between \
         loses the data.",
        "store: revision and pairs after a restart are not the model's",
    ),
    fault(
        "machine.lease_judged_by_clock",
        Some(14571),
        "The leader refuses a put when the lease has run out by its own clock, which no other \
         member knows.",
        "store: the answer and the pairs are not the model's; hashes: members differ",
    ),
    fault(
        "machine.leases_missing_after_reopening",
        None,
        "A restart or an installed snapshot begins without leases.",
        "store: leases after a restart are not the model's",
    ),
    fault(
        "machine.permission_asked_of_one_branch",
        None,
        "Of a transaction only the branch that is taken when it succeeds is asked about.",
        "store: what is applied is not the model's",
    ),
    fault(
        "machine.removed_forgotten_after_reopening",
        None,
        "A restarted member does not know any more who was removed.",
        "store: members are not those of the log",
    ),
    fault(
        "machine.removed_id_taken_back",
        None,
        "A member may be added under the id of one that was removed.",
        "store: the addition is answered otherwise than the log says",
    ),
    fault(
        "machine.revoke_in_many_revisions",
        None,
        "The end of a lease deletes each of its keys in a revision of its own.",
        "store: revisions are not the model's",
    ),
    fault(
        "machine.rights_missing_after_reopening",
        None,
        "A restart or an installed snapshot begins without users, roles and permissions.",
        "store: users, roles and permissions after a restart are not the model's",
    ),
    fault(
        "member.campaigns_while_stalled",
        None,
        "A member whose log or apply side stands still stands for election all the same.",
        "stall: it asks for votes",
    ),
    fault(
        "member.flushed_is_applied",
        None,
        "What was applied is taken for flushed, and the log is cut as far.",
        "raft: the log is cut beyond what the store flushed; life: a member cannot start \
         after a power cut",
    ),
    fault(
        "member.install_before_log",
        None,
        "A snapshot is installed before the log names it.",
        "life: a member does not start, its store being ahead of its log",
    ),
    fault(
        "member.lease_ended_unconfirmed",
        Some(15247),
        "A leader ends leases by its clock without asking whether it still leads.",
        "expiry: nobody has confirmed the leader since it decided",
    ),
    fault(
        "member.persisted_before_sync",
        Some(14370),
        "Entries count as durable on their own member before the log is synced, so that a \
         lone member answers too early.",
        "raft: a majority does not hold what is applied; witness: an answered write is lost",
    ),
    fault(
        "member.proposal_duplicated",
        None,
        "A follower passes each proposal on twice, in case the first is lost.",
        "witness: one request is in the log twice",
    ),
    fault(
        "member.read_before_applied",
        None,
        "A confirmed read is served before its index is applied.",
        "witness: a read misses a write that was answered before",
    ),
    fault(
        "member.read_before_first_commit",
        None,
        "A new leader serves reads at its commit index before it has committed anything in \
         its term.",
        "witness: a read misses a write that was answered before",
    ),
    fault(
        "member.read_context_reused",
        Some(20418),
        "Rounds of reads share one context: a late answer to an earlier round confirms a \
         later one.",
        "witness: a read misses a write that was answered before",
    ),
    fault(
        "member.read_without_quorum",
        None,
        "A leader serves reads at its commit index without asking anyone.",
        "witness: a deposed leader's read misses a write that was answered before",
    ),
    fault(
        "member.refused_change_carried_out",
        None,
        "A change of membership that the machine refused is carried out by raft.",
        "raft: it counts others than those who belong to the cluster",
    ),
    fault(
        "member.send_before_sync",
        None,
        "Messages that promise what is on disk leave before the sync.",
        "raft: a vote is told, or entries are acknowledged, before they are durable",
    ),
    fault(
        "member.snapshot_sent_once",
        Some(18055),
        "The second snapshot for the same member is never made.",
        "liveness: a member that fell behind twice does not catch up",
    ),
    fault(
        "member.stalled_leader_stays",
        Some(15247),
        "A leader whose log or apply side stands still goes on leading.",
        "stall: it still leads after two election timeouts",
    ),
    fault(
        "member.vote_not_synced",
        None,
        "A vote or a term that comes without entries is not synced before it is told.",
        "raft: a durable vote is gone after a crash; two votes or two leaders in a term",
    ),
    fault(
        "mvcc.compaction_mark_lost",
        None,
        "A compaction is not recorded when it is asked for, and forgotten by a crash before \
         its end.",
        "store: the compacted revision after a restart is not the model's",
    ),
    fault(
        "mvcc.compaction_removes_what_is_visible",
        None,
        "Compaction removes the version that reads at the compacted revision see, if a newer \
         one exists.",
        "witness: a read of an old revision misses a key; hashes: members differ",
    ),
    fault(
        "mvcc.compare_of_missing_key_fails",
        None,
        "A comparison with a key that does not exist never holds.",
        "store: a transaction takes another branch than the model",
    ),
    fault(
        "mvcc.count_stops_at_limit",
        None,
        "The count of a read stops at its limit.",
        "store and witness: the count is not the model's",
    ),
    fault(
        "mvcc.delete_keeps_lease",
        None,
        "A deleted key stays with its lease, whose end deletes it again when it is back.",
        "store: the end of a lease deletes keys that the model keeps",
    ),
    fault(
        "mvcc.delete_takes_the_end",
        None,
        "A delete takes the end of its range along.",
        "store: the answer and the pairs are not the model's",
    ),
    fault(
        "mvcc.events_in_key_order",
        None,
        "Live events of one revision come in the order of keys, not of the changes.",
        "watch: events are not in the order of the log",
    ),
    fault(
        "mvcc.history_skips_a_revision",
        None,
        "Where a piece of history ends, the next one begins a revision too late.",
        "watch: an event is missing",
    ),
    fault(
        "mvcc.ignore_lease_drops_lease",
        None,
        "A put that is to keep the key's lease takes it away.",
        "store: pairs are not the model's",
    ),
    fault(
        "mvcc.limit_before_sort",
        None,
        "A sorted read is cut before it is sorted.",
        "store and witness: the answer is not the model's",
    ),
    fault(
        "mvcc.prev_kv_too_old",
        None,
        "The pair before an event is that of one revision too early.",
        "watch: prev_kv is not what the log says",
    ),
    fault(
        "mvcc.revision_falls_at_restart",
        Some(17780),
        "A restart takes the revision of the newest pair and passes over tombstones.",
        "store: the revision after a restart is not the model's",
    ),
    fault(
        "mvcc.sweep_goes_one_too_far",
        None,
        "The removal of compacted records takes those of the next revision along.",
        "hashes: members differ; life: a member finds a record missing",
    ),
    fault(
        "mvcc.tombstone_at_compaction_lost",
        Some(18089),
        "Compaction at a delete removes its tombstone, so that a watch from there misses the \
         delete (as in 19179).",
        "watch: the delete at the compacted revision is missing",
    ),
    fault(
        "mvcc.txn_decided_on_published_state",
        None,
        "A transaction is decided on what readers see, which lacks the entries before it in \
         its batch.",
        "store: a transaction takes another branch than the model; hashes: members differ",
    ),
    fault(
        "mvcc.txn_half_applied",
        Some(18667),
        "A transaction that reads a compacted or a future revision fails when it is half done \
         (as in 21432).",
        "store: pairs are not the model's",
    ),
    fault(
        "mvcc.txn_judged_by_sweep",
        Some(21432),
        "A read inside a transaction is refused by what the member has removed so far, not by \
         what is compacted.",
        "store: the answer and the pairs are not the model's; hashes: members differ",
    ),
    fault(
        "mvcc.version_survives_delete",
        None,
        "A key that comes back after a delete goes on with its old version and its old \
         creation.",
        "store: pairs are not the model's",
    ),
    fault(
        "raft.entries_acknowledged_unsynced",
        None,
        "A follower acknowledges entries before they are on its disk.",
        "raft: entries are acknowledged before they are durable",
    ),
    fault(
        "raft.learner_votes",
        None,
        "Raft counts a learner as a voter.",
        "raft: it counts others than those who belong to the cluster",
    ),
    fault(
        "raft.read_nonce_repeated",
        Some(20418),
        "The replica names all reads alike: a late answer to one confirms another.",
        "an assertion of the replica in debug builds; witness: a read misses a write that was \
         answered before",
    ),
    fault(
        "raft.removed_member_counts",
        None,
        "Raft goes on counting a member that was removed.",
        "raft: it counts others than those who belong to the cluster",
    ),
    fault(
        "raft.vote_given_unsynced",
        None,
        "A member votes before its vote is on its disk.",
        "raft: a vote is told before it is durable; two votes in a term",
    ),
    fault(
        "wal.segment_dropped_too_far",
        None,
        "When segments are dropped, one that is still needed goes with them.",
        "life: a member does not start, its log being damaged",
    ),
    fault(
        "wal.sync_skipped_in_new_segment",
        None,
        "The first batch in a new segment is not synced.",
        "raft: what was durable is gone after a crash",
    ),
    fault(
        "wal.torn_tail_cut_early",
        None,
        "With a torn record the last whole entry before it is cut off.",
        "raft: what was durable is gone after a crash; life: the store is ahead of the log",
    ),
    fault(
        "watch.compaction_skips_history",
        None,
        "A watcher that compaction passed goes on at the compacted revision instead of being \
         cancelled.",
        "watch: events are missing and nothing was cancelled",
    ),
    fault(
        "watch.event_twice_after_overflow",
        Some(17247),
        "Whether a queue had room is asked after the events are in it: they come again from \
         history.",
        "watch: an event comes twice",
    ),
    fault(
        "watch.filter_ignored_in_history",
        None,
        "Filters do not hold for events from history.",
        "watch: an event comes that the filter leaves out",
    ),
    fault(
        "watch.future_watcher_gets_old_events",
        Some(20221),
        "A watcher that starts in the future hears what happens before its start.",
        "watch: an event comes from before the start",
    ),
    fault(
        "watch.future_watcher_gets_progress",
        Some(20221),
        "A watcher that starts in the future hears of progress before its start.",
        "watch: progress is told before the start",
    ),
    fault(
        "watch.goes_back_when_restored",
        Some(15271),
        "When a snapshot replaces the store, watchers go on from their start instead of where \
         they stood.",
        "watch: events come twice and out of order",
    ),
    fault(
        "watch.last_fragment_loses_an_event",
        None,
        "The last fragment of a response lacks its last event.",
        "watch: an event is missing",
    ),
    fault(
        "watch.progress_ahead_of_events",
        Some(15220),
        "A progress request is answered while watchers of the stream still catch up.",
        "watch: an event comes after progress that had passed it",
    ),
    fault(
        "watch.progress_overtaken",
        Some(15220),
        "Events join a response that waits before a progress response.",
        "watch: progress comes after newer events",
    ),
    fault(
        "watch.restored_watchers_stay_synced",
        Some(15271),
        "When a snapshot replaces the store, watchers miss what happened between.",
        "watch: an event is missing",
    ),
    fault(
        "watch.stalled_watcher_loses_events",
        Some(17529),
        "An event that finds its stream's queue full is dropped.",
        "watch: an event is missing",
    ),
    fault(
        "watch.start_off_by_one",
        None,
        "A watch begins one revision after its start.",
        "watch: the first event is missing",
    ),
    fault(
        "watch.starved_watcher_skips_history",
        Some(17529),
        "A piece of history that finds the stream's queue full is dropped.",
        "watch: an event is missing",
    ),
    fault(
        "watch.unsynced_watcher_hears_live",
        Some(17247),
        "A watcher that still catches up hears live events too.",
        "watch: events come out of order and twice",
    ),
];
