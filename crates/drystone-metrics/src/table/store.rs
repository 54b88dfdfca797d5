//! Keys, watchers and leases.

use super::of;
use crate::family::{Family, NONE, Section, counter, doubling, gauge, histogram};

pub(super) const FAMILIES: [Family; 24] = of(
    Section::Store,
    [
        counter("etcd_mvcc_range_total", NONE, "Reads of keys, those in transactions too."),
        counter("etcd_mvcc_put_total", NONE, "Keys put, those in transactions too."),
        counter("etcd_mvcc_delete_total", NONE, "Deletes, those in transactions too."),
        counter("etcd_mvcc_txn_total", NONE, "Transactions of more than one operation."),
        histogram(
            "etcd_mvcc_hash_duration_seconds",
            NONE,
            doubling(0.01, 15),
            "Time of hashing the whole store.",
        ),
        histogram(
            "etcd_mvcc_hash_rev_duration_seconds",
            NONE,
            doubling(0.01, 15),
            "Time of hashing the keys at a revision.",
        ),
        gauge("etcd_debugging_mvcc_keys_total", NONE, "Keys that are there."),
        gauge("etcd_debugging_mvcc_watch_stream_total", NONE, "Open watch streams."),
        gauge("etcd_debugging_mvcc_watcher_total", NONE, "Watchers on them."),
        gauge(
            "etcd_debugging_mvcc_slow_watcher_total",
            NONE,
            "Watchers that have history to catch up on.",
        ),
        gauge(
            "etcd_debugging_mvcc_pending_events_total",
            NONE,
            "Responses with events that wait for their streams.",
        )
        .nearest("responses between the hub and its streams; bytes in drystone_watch_queued_bytes"),
        gauge(
            "etcd_debugging_mvcc_total_put_size_in_bytes",
            NONE,
            "Bytes of keys and values put since the start.",
        ),
        gauge("etcd_debugging_mvcc_current_revision", NONE, "The newest revision."),
        gauge("etcd_debugging_mvcc_compact_revision", NONE, "The compacted revision."),
        counter("etcd_debugging_mvcc_events_total", NONE, "Events given to watchers' streams."),
        counter(
            "etcd_debugging_mvcc_db_compaction_keys_total",
            NONE,
            "Records that compactions removed.",
        ),
        histogram(
            "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
            NONE,
            doubling(0.5, 14),
            "Time of applying a compaction, in milliseconds.",
        )
        .nearest("the index is not locked for it; what a compaction lets go is swept in steps"),
        histogram(
            "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
            NONE,
            doubling(1.0, 13),
            "Time of one step of a compaction, in milliseconds.",
        ),
        histogram(
            "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
            NONE,
            doubling(100.0, 14),
            "Time of a whole compaction, in milliseconds.",
        ),
        counter("etcd_debugging_lease_granted_total", NONE, "Leases granted."),
        counter("etcd_debugging_lease_revoked_total", NONE, "Leases ended."),
        counter(
            "etcd_debugging_lease_renewed_total",
            NONE,
            "Keep-alives that this member answered as the leader.",
        ),
        histogram(
            "etcd_debugging_lease_ttl_total",
            NONE,
            doubling(1.0, 24),
            "Times to live of granted leases, in seconds.",
        ),
        counter(
            "etcd_network_server_stream_failures_total",
            &["Type", "API"],
            "Streams of watchers and keep-alives that broke, while sending or receiving.",
        ),
    ],
);
