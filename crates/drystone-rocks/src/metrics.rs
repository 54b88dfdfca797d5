//! What the engine counts.

/// Figures for dashboards and alarms. All are estimates of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Bytes of batches that wait in memory: being filled, being flushed, or held by views.
    pub memory_table_bytes: u64,
    /// Bytes of files, those that only views still need among them.
    pub file_bytes: u64,
    /// Bytes that would be left if everything were compacted.
    pub live_bytes: u64,
    /// Bytes of blocks, indexes and filters in the cache.
    pub block_cache_bytes: u64,
    /// Bytes that compaction has to rewrite until it has caught up.
    pub compaction_backlog_bytes: u64,
    /// Compactions that run.
    pub compactions_running: u64,
    /// Flushes that run.
    pub flushes_running: u64,
    /// How fast writers are let through while the engine slows them down; 0 when it does not.
    pub slowed_to_bytes_per_second: u64,
    /// True while writers are stopped.
    pub writes_stopped: bool,
    /// Failures in the background. Above zero the store is poisoned, or will be by the next call.
    pub background_errors: u64,
    /// Views that are held.
    pub views: u64,
}
