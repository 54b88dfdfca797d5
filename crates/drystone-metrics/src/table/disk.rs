//! Log, store and snapshots.

use super::of;
use crate::family::{Family, NONE, Section, doubling, gauge, histogram};

const NO_BBOLT: &str = "a batch is taken in one step here: there are no pages to balance or spill";

pub(super) const FAMILIES: [Family; 19] = of(
    Section::Disk,
    [
        histogram(
            "etcd_disk_wal_fsync_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time of a sync of the log.",
        ),
        histogram(
            "etcd_disk_wal_write_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time of a write to the log, without its sync.",
        ),
        gauge("etcd_disk_wal_write_bytes_total", NONE, "Bytes written to the log."),
        histogram(
            "etcd_disk_backend_commit_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time until the store has taken a batch.",
        )
        .nearest("the log makes it durable; see drystone_store_flush_duration_seconds too"),
        histogram(
            "etcd_debugging_disk_backend_commit_rebalance_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "A phase of bbolt's commit.",
        )
        .idle(NO_BBOLT),
        histogram(
            "etcd_debugging_disk_backend_commit_spill_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "A phase of bbolt's commit.",
        )
        .idle(NO_BBOLT),
        histogram(
            "etcd_debugging_disk_backend_commit_write_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "A phase of bbolt's commit.",
        )
        .idle(NO_BBOLT),
        histogram(
            "etcd_disk_backend_defrag_duration_seconds",
            NONE,
            doubling(0.1, 13),
            "Time of a defragmentation.",
        )
        .idle("the store gives space back by itself; Defragment has nothing to do"),
        histogram(
            "etcd_disk_backend_snapshot_duration_seconds",
            NONE,
            doubling(0.01, 17),
            "Time of copying the store for a member or a backup.",
        )
        .nearest("a checkpoint, which shares the store's files where the file system can"),
        gauge("etcd_disk_defrag_inflight", NONE, "1 while the store is being defragmented.")
            .idle("the store gives space back by itself; Defragment has nothing to do"),
        gauge(
            "etcd_mvcc_db_total_size_in_bytes",
            NONE,
            "Bytes that the store takes, as Status tells them.",
        ),
        gauge(
            "etcd_mvcc_db_total_size_in_use_in_bytes",
            NONE,
            "Bytes of it that are live, as Status tells them.",
        ),
        gauge("etcd_mvcc_db_open_read_transactions", NONE, "Frozen states of the store in use."),
        histogram(
            "etcd_snap_fsync_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time of the sync of a .snap file.",
        )
        .idle("there are no .snap files: the store says itself what it holds"),
        histogram(
            "etcd_snap_db_save_total_duration_seconds",
            NONE,
            doubling(0.1, 10),
            "Time of receiving a snapshot, synced.",
        ),
        histogram(
            "etcd_snap_db_fsync_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time of the syncs of a received snapshot.",
        )
        .idle("each file is synced as it ends; the time is part of the whole"),
        histogram(
            "etcd_debugging_snap_save_total_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time of the flush that lets the log be cut.",
        )
        .nearest("the flush of the store takes the place of a .snap file"),
        histogram(
            "etcd_debugging_snap_save_marshalling_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time of encoding a .snap file.",
        )
        .idle("there are no .snap files"),
        gauge(
            "etcd_debugging_mvcc_db_compaction_last",
            NONE,
            "When the last compaction was carried out, in seconds since 1970; 0 before the first.",
        ),
    ],
);
