//! Everything that is set for a run, drawn anew for each seed.
//!
//! Runs with the same settings find the same bugs. So each seed draws all of them (swarm testing:
//! Groce et al., ISSTA 2012): sizes of every buffer, counts, rates of every fault, also whether a
//! kind of fault happens at all.

use crate::random::{Draw, Purpose, stream};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// The settings of a run. Times are in microseconds unless the name says otherwise. What a kept
/// plan does not say is as in [`Knobs::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the setting of its name, in the crate that has it")]
pub struct Knobs {
    // The cluster.
    pub members: u8,
    /// Changes of membership, and questions about it, that operators ask for.
    pub changes: u32,
    /// Alarms that operators raise, and most of them clear.
    pub alarms: u32,
    /// Changes of users, roles and permissions at any time; with any, permissions are asked for
    /// early in the run.
    pub rights: u32,
    /// Whether the servers check that a change leaves a quorum, as they do unless told not to.
    pub strict_reconfig: bool,
    pub learners_max: usize,
    pub tick_ms: u64,
    pub election_ticks: usize,
    pub flush_entries: u64,
    pub catchup_entries: u64,
    pub snapshot_hold_ticks: usize,
    pub log_bytes_max: u64,
    pub reads_max: usize,
    pub read_retry_ticks: usize,
    pub message_bytes_max: u64,
    pub inflight_messages_max: usize,
    pub uncommitted_bytes_max: u64,
    pub committed_bytes_max_per_ready: u64,
    pub unapplied_bytes_more: u64,
    pub inbox_max: usize,
    pub round_inputs_max: usize,
    // The log and the store.
    pub segment_bytes: u32,
    pub recycle_segments_max: usize,
    pub wal_buffer_bytes_max: usize,
    pub unflushed_batches_max: usize,
    pub value_cache_bytes: usize,
    pub compaction_batch_revisions: usize,
    pub compaction_sleep_ms: u64,
    // Leases.
    pub ttl_seconds_min: i64,
    pub expiry_retry_ms: u64,
    pub checkpoint_interval_ms: u64,
    pub expiries_max: usize,
    pub spread_leases_min: usize,
    // Watches.
    pub feed_bytes_max: usize,
    pub piece_bytes: usize,
    pub pieces_max: usize,
    pub queue_responses_max: usize,
    pub queue_bytes_max: usize,
    pub queues_bytes_max: usize,
    pub response_revisions_max: usize,
    pub response_bytes_max: usize,
    pub fragment_bytes: usize,
    pub catch_up_watchers_max: usize,
    pub catch_up_revisions: usize,
    pub progress_interval_ms: u64,
    // Time that things take.
    pub sync_us: (u64, u64),
    pub apply_us: (u64, u64),
    pub thread_us: (u64, u64),
    pub flush_us: (u64, u64),
    pub link_us: (u64, u64),
    pub client_us: (u64, u64),
    pub read_us: (u64, u64),
    /// Reads in a hundred that hold on to what they read for a while, as long ones do.
    pub long_reads_percent: u32,
    /// Batches in a hundred between whose application and whose news something else runs.
    pub late_news_percent: u32,
    /// Sectors of 4 KiB, not 512 bytes.
    pub large_sectors: bool,
    // What links do when no fault is on.
    pub loss_percent: u32,
    pub duplicate_percent: u32,
    pub drift_ppm_max: i64,
    // Clients.
    pub clients: u8,
    pub operations: u32,
    pub duration_ms: u64,
    pub keys: u16,
    pub leases: u8,
    pub request_timeout_ms: u64,
    pub faults: u32,
}

impl Knobs {
    /// The settings of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        Self::drawn(seed).plausible()
    }

    /// Keeps times in proportion: without faults a cluster must be able to elect and to confirm
    /// a read before its own timeouts end the attempt.
    fn plausible(mut self) -> Self {
        let election_us = self.election_ms() * 1_000;
        let shorten = |span: (u64, u64), most: u64| (span.0.min(most), span.1.min(most));
        self.link_us = shorten(self.link_us, election_us / 10);
        self.sync_us = shorten(self.sync_us, election_us / 5);
        self.thread_us = shorten(self.thread_us, election_us / 50);
        let round_us = 4 * self.link_us.1 + 8 * self.thread_us.1 + 2 * self.sync_us.1;
        let ticks = round_us / (self.tick_ms * 1_000) + 2;
        self.read_retry_ticks = self.read_retry_ticks.max(usize::try_from(ticks).unwrap_or(10));
        self
    }

    fn drawn(seed: u64) -> Self {
        let rng = &mut stream(seed, Purpose::Knobs);
        let span = |rng: &mut rand::rngs::StdRng, low: u64, high: u64| {
            let from = rng.magnitude(low, high);
            (from, from + rng.magnitude(1, high))
        };
        let tick_ms = rng.pick(&[10, 50, 100, 100, 100, 200]);
        let message_bytes_max = rng.magnitude(64, 1 << 20);
        let members = rng.pick(&[1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 5]);
        let changes = rng.pick(&[0, 0, 0, 3, 8, 20]);
        Self {
            members,
            changes,
            alarms: rng.pick(&[0, 0, 0, 0, 2, 6]),
            strict_reconfig: rng.percent(85),
            learners_max: rng.pick(&[1, 1, 2]),
            tick_ms,
            election_ticks: rng.random_range(5..=12),
            flush_entries: rng.magnitude(2, 200),
            catchup_entries: rng.magnitude(1, 60) - 1,
            snapshot_hold_ticks: rng.random_range(0..=60),
            log_bytes_max: rng.pick(&[4 << 10, 64 << 10, 512 << 20]),
            reads_max: rng.pick(&[2, 8, 65_536]),
            read_retry_ticks: rng.random_range(1..=10),
            message_bytes_max,
            inflight_messages_max: usize::try_from(rng.magnitude(1, 128)).unwrap_or(1),
            uncommitted_bytes_max: message_bytes_max.max(rng.magnitude(1 << 10, 128 << 20)),
            unapplied_bytes_more: rng.magnitude(1, 128 << 20),
            committed_bytes_max_per_ready: rng.magnitude(64, 16 << 20),
            inbox_max: rng.pick(&[64, 256, 4_096]),
            round_inputs_max: rng.pick(&[1, 4, 4_096]),
            segment_bytes: rng.pick(&[512, 1 << 10, 4 << 10, 16 << 10, 64 << 10]),
            recycle_segments_max: rng.random_range(0..=3),
            wal_buffer_bytes_max: rng.pick(&[256, 4 << 10, 64 << 10]),
            unflushed_batches_max: rng.pick(&[1, 4, 64, 4_096]),
            value_cache_bytes: rng.pick(&[0, 1 << 10, 1 << 20]),
            compaction_batch_revisions: rng.pick(&[1, 3, 10, 1_000]),
            compaction_sleep_ms: rng.random_range(1..=200),
            ttl_seconds_min: drystone_judge::TTL_SECONDS_MIN,
            expiry_retry_ms: rng.random_range(500..=3_000),
            checkpoint_interval_ms: rng.random_range(500..=5_000),
            spread_leases_min: rng.pick(&[1, 3, 1_000]),
            expiries_max: rng.pick(&[1, 2, 500]),
            feed_bytes_max: rng.pick(&[200, 2 << 10, 64 << 20]),
            piece_bytes: rng.pick(&[1, 200, 1 << 20]),
            pieces_max: rng.random_range(1..=4),
            queue_responses_max: rng.pick(&[1, 2, 8, 1_024]),
            queue_bytes_max: rng.pick(&[100, 1 << 10, 8 << 20]),
            queues_bytes_max: rng.pick(&[1 << 10, 256 << 20]),
            response_revisions_max: rng.pick(&[1, 3, 1_000]),
            response_bytes_max: rng.pick(&[100, 1 << 10, 8 << 20]),
            fragment_bytes: rng.pick(&[80, 300, 2 << 20]),
            catch_up_watchers_max: rng.pick(&[1, 2, 4_096]),
            catch_up_revisions: rng.pick(&[1, 5, 4_000]),
            progress_interval_ms: rng.pick(&[100, 400, 2_000, 600_000]),
            sync_us: span(rng, 100, 20_000),
            apply_us: span(rng, 10, 5_000),
            thread_us: span(rng, 1, 500),
            flush_us: span(rng, 100, 200_000),
            link_us: span(rng, 50, 20_000),
            client_us: span(rng, 50, 5_000),
            long_reads_percent: rng.pick(&[0, 0, 5, 30]),
            late_news_percent: rng.pick(&[0, 10, 60]),
            large_sectors: rng.percent(30),
            read_us: span(rng, 1, 50_000),
            loss_percent: rng.pick(&[0, 0, 0, 1, 5, 15]),
            duplicate_percent: rng.pick(&[0, 0, 1, 10, 30]),
            drift_ppm_max: rng.pick(&[0, 1_000, 50_000]),
            clients: rng.random_range(3..=10),
            operations: rng.random_range(320..=520),
            duration_ms: rng.random_range(8_000..=25_000),
            keys: u16::try_from(rng.magnitude(2, 60)).unwrap_or(2),
            leases: rng.random_range(1..=6),
            request_timeout_ms: rng.pick(&[500, 2_000, 5_000]),
            faults: rng.random_range(5..=20),
            rights: rng.pick(&[0, 0, 0, 2, 10, 30]),
        }
    }

    /// One election timeout, by a perfect clock.
    #[must_use]
    pub fn election_ms(&self) -> u64 {
        self.tick_ms * self.election_ticks as u64
    }
}

/// Three members that are set as the server sets them, on quick disks and calm links.
impl Default for Knobs {
    fn default() -> Self {
        Self {
            members: 3,
            changes: 0,
            alarms: 0,
            rights: 0,
            strict_reconfig: true,
            learners_max: 1,
            tick_ms: 100,
            election_ticks: 10,
            flush_entries: 10_000,
            catchup_entries: 5_000,
            snapshot_hold_ticks: 100,
            log_bytes_max: 512 << 20,
            reads_max: 65_536,
            long_reads_percent: 0,
            late_news_percent: 0,
            read_retry_ticks: 5,
            message_bytes_max: 1 << 20,
            inflight_messages_max: 128,
            uncommitted_bytes_max: 128 << 20,
            unapplied_bytes_more: 128 << 20,
            committed_bytes_max_per_ready: 16 << 20,
            inbox_max: 4_096,
            round_inputs_max: 4_096,
            large_sectors: false,
            segment_bytes: 64 << 10,
            recycle_segments_max: 2,
            wal_buffer_bytes_max: 64 << 10,
            unflushed_batches_max: 4_096,
            value_cache_bytes: 1 << 20,
            compaction_batch_revisions: 1_000,
            compaction_sleep_ms: 10,
            ttl_seconds_min: drystone_judge::TTL_SECONDS_MIN,
            spread_leases_min: 1_000,
            expiry_retry_ms: 3_000,
            checkpoint_interval_ms: 5_000,
            expiries_max: 500,
            feed_bytes_max: 64 << 20,
            piece_bytes: 1 << 20,
            pieces_max: 4,
            queue_responses_max: 1_024,
            queue_bytes_max: 8 << 20,
            queues_bytes_max: 256 << 20,
            response_revisions_max: 1_000,
            response_bytes_max: 8 << 20,
            fragment_bytes: 2 << 20,
            catch_up_watchers_max: 4_096,
            catch_up_revisions: 4_000,
            progress_interval_ms: 600_000,
            sync_us: (500, 2_000),
            apply_us: (10, 100),
            thread_us: (1, 50),
            flush_us: (1_000, 10_000),
            link_us: (100, 1_000),
            client_us: (100, 1_000),
            read_us: (1, 100),
            loss_percent: 0,
            duplicate_percent: 0,
            drift_ppm_max: 0,
            clients: 4,
            operations: 400,
            duration_ms: 15_000,
            keys: 16,
            leases: 4,
            request_timeout_ms: 2_000,
            faults: 10,
        }
    }
}
