//! What an operator may choose.

/// How much a store may use. The defaults suit a member on a small server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Memory for blocks, indexes and filters of files.
    pub block_cache_bytes: usize,
    /// Memory for batches that wait to be flushed, over all tables. A quarter of it in one table
    /// starts a flush; when all of it is taken, writers wait for the disk. Raised to 1 MiB when
    /// below.
    pub write_buffer_bytes: usize,
    /// How many files the engine keeps open.
    pub open_files_max: u16,
    /// How many flushes and compactions may run at once. At least 2, so that a compaction never
    /// holds up a flush.
    pub background_threads: u8,
    /// What a compaction or flush writes before it asks the system to begin writing it back; 0
    /// leaves that to the system. Keeps large files from disturbing the syncs of the log.
    pub writeback_bytes: u32,
    /// Size from which the engine's own log file is replaced; four are kept.
    pub engine_log_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            block_cache_bytes: 64 << 20,
            write_buffer_bytes: 64 << 20,
            open_files_max: 1024,
            background_threads: 2,
            writeback_bytes: 1 << 20,
            engine_log_bytes_max: 4 << 20,
        }
    }
}
