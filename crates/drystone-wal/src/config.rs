//! Settings and their bounds.

use crate::Error;
use drystone_types::{ClusterId, MemberId};
use std::fmt;

/// Largest payload of one record that the format allows, in bytes.
pub const RECORD_BYTES_MAX: u32 = 512 << 20;
/// Largest configuration that a snapshot mark may carry, in bytes.
pub const CONF_BYTES_MAX: usize = 1 << 20;
/// Smallest size that a segment can be laid out with, in bytes.
pub const SEGMENT_BYTES_MIN: u32 = 512;
/// Largest size that a segment can be laid out with, in bytes. Offsets inside a segment are
/// 32 bits wide, also where one oversized batch makes a segment longer than this.
pub const SEGMENT_BYTES_MAX: u32 = 1 << 30;

/// Whose log it is. Written into every segment and checked when the log is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member of it.
    pub member: MemberId,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {} of cluster {}", self.member, self.cluster)
    }
}

/// How a log is kept. Any of it may differ from one opening to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Size that a segment is laid out with, and beyond which the next is begun. A batch that
    /// is larger lies in one longer segment.
    pub segment_bytes: u32,
    /// How many files that the log no longer needs are kept, laid out, for later segments.
    /// Zero switches recycling off, and with it the segment that [`crate::Wal::tend`] readies.
    pub recycle_segments_max: usize,
    /// Largest payload of one entry, in bytes; at most [`RECORD_BYTES_MAX`].
    pub record_bytes_max: u32,
    /// How many encoded bytes may wait for a sync. One record alone may exceed it. At most
    /// [`SEGMENT_BYTES_MAX`].
    pub buffer_bytes_max: usize,
    /// Mixed into the checksums of new segments, so that a client that chooses values cannot
    /// make them look like records. A server gives a random number, a simulation its seed.
    pub checksum_seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            recycle_segments_max: 2,
            record_bytes_max: RECORD_BYTES_MAX,
            buffer_bytes_max: 64 << 20,
            checksum_seed: 0,
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |reason| Err(Error::Config { reason });
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return refuse("segment_bytes must be from 512 bytes to 1 GiB");
        }
        if !(1..=RECORD_BYTES_MAX).contains(&self.record_bytes_max) {
            return refuse("record_bytes_max must be from 1 byte to 512 MiB");
        }
        if !(1..=SEGMENT_BYTES_MAX as usize).contains(&self.buffer_bytes_max) {
            return refuse("buffer_bytes_max must be from 1 byte to 1 GiB");
        }
        Ok(())
    }

    /// The seed of the checksums of one segment (the finalizer of splitmix64).
    pub(crate) fn salt(&self, segment: u64) -> u32 {
        let mut x = self.checksum_seed ^ segment.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [.., a, b, c, d] = (x ^ (x >> 31)).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}
