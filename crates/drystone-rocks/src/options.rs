//! How RocksDB is set up.

use crate::Config;
use drystone_backend::{BackendError, Table};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, Env, LogLevel, Options,
};
use std::fs;
use std::io;
use std::path::Path;

/// RocksDB insists on having this column family; nothing is kept in it.
pub(crate) const UNUSED: &str = "default";

/// Memory tables a column family may have, the one being filled among them. From four on RocksDB
/// slows writers down before it stops them.
const MEMORY_TABLES: usize = 4;

/// Options that the binding has no setters for, as an options file in RocksDB's format.
///
/// `max_bgerror_resume_count=0`: after a failed flush nobody knows what the disk holds, so the
/// engine must not carry on by itself. `avoid_flush_during_shutdown=true`: a close that flushes
/// would be slow, and wrong for a poisoned store.
const BASE: &str = "\
[Version]
  rocksdb_version=10.4.2
  options_file_version=1.1

[DBOptions]
  max_bgerror_resume_count=0
  avoid_flush_during_shutdown=true

[CFOptions \"default\"]

[TableOptions/BlockBasedTable \"default\"]
";

fn base(dir: &Path, cache: &Cache) -> Result<Options, BackendError> {
    let place = dir.join("base-options");
    let write = || -> io::Result<()> {
        fs::create_dir_all(&place)?;
        // Renamed into place: another opening of the same directory, which is about to be
        // refused, may read it at this moment.
        let name = format!("new-{}-{:?}", std::process::id(), std::thread::current().id());
        let new = place.join(name);
        fs::write(&new, BASE)?;
        fs::rename(&new, place.join("OPTIONS-000001"))
    };
    write()
        .map_err(|error| BackendError::io("open", format_args!("{}: {error}", place.display())))?;
    let env = Env::new().map_err(|error| crate::error::from_engine("open", dir, &error))?;
    let (options, _) = Options::load_latest(&place, env, false, cache.clone())
        .map_err(|error| crate::error::from_engine("open", &place, &error))?;
    Ok(options)
}

/// Options of the whole database. Writes a small file below `dir`, which exists.
pub(crate) fn database(
    dir: &Path,
    config: &Config,
    cache: &Cache,
) -> Result<Options, BackendError> {
    let mut options = base(dir, cache)?;
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_atomic_flush(true);
    options.set_paranoid_checks(true);
    options.set_db_write_buffer_size(write_buffer_bytes(config));
    options.set_max_background_jobs(i32::from(config.background_threads.max(2)));
    options.set_max_open_files(i32::from(config.open_files_max));
    options.set_bytes_per_sync(u64::from(config.writeback_bytes));
    options.set_max_manifest_file_size(32 << 20);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(config.engine_log_bytes_max);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    Ok(options)
}

fn write_buffer_bytes(config: &Config) -> usize {
    config.write_buffer_bytes.max(1 << 20)
}

/// The column families with their options.
pub(crate) fn column_families(config: &Config, cache: &Cache) -> Vec<ColumnFamilyDescriptor> {
    let unused = ColumnFamilyDescriptor::new(UNUSED, column_family(config, cache, 4 << 10));
    let tables = Table::ALL.into_iter().map(|table| {
        let options = match table {
            Table::Key => key_column_family(config, cache),
            _ => column_family(config, cache, 4 << 10),
        };
        ColumnFamilyDescriptor::new(table.name(), options)
    });
    std::iter::once(unused).chain(tables).collect()
}

fn column_family(config: &Config, cache: &Cache, block_bytes: usize) -> Options {
    let memory_table_bytes = write_buffer_bytes(config) / MEMORY_TABLES;
    let mut options = Options::default();
    options.set_write_buffer_size(memory_table_bytes);
    options.set_max_write_buffer_number(i32::try_from(MEMORY_TABLES).unwrap_or(i32::MAX));
    // What a nearly empty table takes; there are eleven.
    options.set_arena_block_size((memory_table_bytes / 16).clamp(16 << 10, 1 << 20));
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_block_based_table_factory(&table_format(cache, block_bytes));
    options
}

/// Revisions arrive in ascending order and are read by exact key, or in order from some
/// revision on. Files hardly overlap, so compaction mostly moves them down unread, until the
/// sweep after a compaction of revisions leaves deletes behind.
fn key_column_family(config: &Config, cache: &Cache) -> Options {
    let mut options = column_family(config, cache, 16 << 10);
    // A read asks for what the key index knows to exist: filters are of use above the last level
    // only, and the last level's would be nine tenths of their memory.
    options.set_optimize_filters_for_hits(true);
    options.set_target_file_size_base(32 << 20);
    // A file in which half of some stretch are deletes is compacted before its turn, so that
    // swept revisions give their space back and scans do not wade through them.
    options.add_compact_on_deletion_collector_factory(8192, 4096, 0.5);
    options
}

fn table_format(cache: &Cache, block_bytes: usize) -> BlockBasedOptions {
    let mut format = BlockBasedOptions::default();
    format.set_block_cache(cache);
    format.set_block_size(block_bytes);
    format.set_format_version(6);
    format.set_bloom_filter(10.0, false);
    // Indexes and filters count against the cache, so that memory stays bounded as files grow.
    format.set_cache_index_and_filter_blocks(true);
    format.set_pin_l0_filter_and_index_blocks_in_cache(true);
    format
}
