//! Drystone's own.

use super::of;
use crate::family::{Family, NONE, Section, counter, doubling, gauge, histogram};

pub(super) const FAMILIES: [Family; 41] = of(
    Section::Own,
    [
        gauge("drystone_build_info", &["version"], "1 for the version of Drystone."),
        gauge("drystone_raft_term", NONE, "The term this member is in."),
        gauge(
            "drystone_apply_lag_entries",
            NONE,
            "Committed entries that are not applied yet; from 5,000 on proposals are refused.",
        ),
        gauge("drystone_flushed_index", NONE, "The newest entry that the store has made durable."),
        gauge("drystone_inbox_depth", NONE, "Inputs that wait for the member's thread."),
        gauge("drystone_inbox_depth_max", NONE, "Inputs that may wait for it."),
        gauge("drystone_apply_queue_depth", NONE, "Inputs that wait for the apply thread."),
        gauge("drystone_waiters", NONE, "Callers that wait for a command to be applied."),
        counter(
            "drystone_refused_total",
            &["reason"],
            "Requests that were turned away for want of room: the inbox, applying that lags, the \
             quota.",
        ),
        gauge(
            "drystone_request_bytes",
            NONE,
            "Bytes of calls: requests, and answers that are not taken.",
        ),
        gauge("drystone_request_bytes_max", NONE, "Bytes of calls that there may be."),
        gauge("drystone_lists_reading", NONE, "Lists that are being read."),
        gauge("drystone_lists_waiting", NONE, "Lists that wait for a thread to read them."),
        gauge(
            "drystone_live_bytes",
            NONE,
            "Bytes of records and leases: what the quota is held against.",
        ),
        gauge("drystone_value_cache_bytes", NONE, "Bytes of values of current keys in memory."),
        gauge("drystone_value_cache_bytes_max", NONE, "Bytes of them there may be."),
        gauge("drystone_watch_queued_bytes", NONE, "Bytes of events that wait for their streams."),
        gauge(
            "drystone_digest_set_aside",
            NONE,
            "1 when this member wrote something else than the majority and serves nobody any more.",
        ),
        gauge(
            "drystone_digest_differing_revision",
            NONE,
            "The first revision known to differ from the majority's; 0 while there is none.",
        ),
        gauge("drystone_members", &["role"], "Members of the cluster, voters and learners."),
        gauge(
            "drystone_peer_clock_difference_seconds",
            &["To"],
            "The other member's clock less this one's.",
        )
        .open(),
        counter(
            "drystone_peer_dropped_messages_total",
            &["To"],
            "Messages to the other member that a full queue or a lost stream took along.",
        )
        .open(),
        gauge("drystone_snapshot_downloads", NONE, "Snapshots that clients are taking."),
        gauge("drystone_stopping", NONE, "1 while this member is stopping."),
        histogram(
            "drystone_apply_batch_duration_seconds",
            NONE,
            doubling(0.000_1, 20),
            "Time of applying one batch of entries.",
        ),
        counter("drystone_apply_entries_total", NONE, "Entries that were applied since the start."),
        counter("drystone_wal_syncs_total", NONE, "Syncs of the log."),
        histogram(
            "drystone_wal_batch_appends",
            NONE,
            doubling(1.0, 12),
            "Appends that one sync of the log made durable.",
        ),
        histogram(
            "drystone_store_flush_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time of making the store durable.",
        ),
        gauge("drystone_store_memory_table_bytes", NONE, "Bytes that the store has not flushed."),
        gauge("drystone_store_file_bytes", NONE, "Bytes of the store's files."),
        gauge("drystone_store_block_cache_bytes", NONE, "Bytes of blocks in the store's cache."),
        gauge(
            "drystone_store_compaction_backlog_bytes",
            NONE,
            "Bytes that the store has to rewrite until its compaction has caught up.",
        ),
        gauge("drystone_store_compactions_running", NONE, "Compactions of files that run."),
        gauge("drystone_store_flushes_running", NONE, "Flushes that run."),
        gauge(
            "drystone_store_write_rate_bytes_per_second",
            NONE,
            "How fast the store lets writers through while it slows them down; 0 when it does not.",
        ),
        gauge("drystone_store_writes_stopped", NONE, "1 while the store takes no writes."),
        gauge("drystone_store_background_errors", NONE, "Failures of the store in the background."),
        gauge(
            "drystone_certificate_expiry_seconds",
            &["use"],
            "When a certificate in use ends, since 1970.",
        )
        .open(),
        counter(
            "drystone_client_connections_ended_total",
            &["reason"],
            "Connections of clients that this server ended or did not begin: `address` has too \
             many, or they come too fast (`pace`); `opening` failed or was `slow`; a `flood` of \
             frames, `http` that is broken or asks too much, answers that are `stuck`.",
        ),
        counter("drystone_scrape_sampling_seconds_total", NONE, "Time spent on answering scrapes."),
    ],
);
