//! Settings of a [`Transport`](crate::Transport).

use crate::{ApiVersion, PeerUrl};
use drystone_types::{ClusterId, MemberId};
use std::time::Duration;

/// Settings, as data. [`Config::new`] fills in etcd's values where etcd has one.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member.
    pub member: MemberId,
    /// The cluster it belongs to; a far end of another cluster is refused.
    pub cluster: ClusterId,
    /// Where this member listens, told to far ends that do not know it yet.
    pub peer_urls: Vec<PeerUrl>,
    /// The etcd version to announce: at most the newest minor of the cluster, since an older
    /// etcd refuses one that it does not know.
    pub version: ApiVersion,

    /// Longest wait for a connection, its TLS handshake included.
    pub dial_timeout: Duration,
    /// Longest silence of a far end that owes bytes.
    pub read_timeout: Duration,
    /// Longest time for which a far end may take no byte.
    pub write_timeout: Duration,
    /// Pause before a lost or refused stream is dialled again.
    pub redial_pause: Duration,
    /// A stream that carries nothing for this long sends a link heartbeat. Keep it well below
    /// the far end's `read_timeout`.
    pub heartbeat_pause: Duration,
    /// Pause between two probes of one peer.
    pub probe_pause: Duration,
    /// Longest idle time of a connection that others opened, and for receiving a request's head.
    pub idle_timeout: Duration,
    /// How long [`Transport::stop`](crate::Transport::stop) lets connections end by themselves.
    pub stop_timeout: Duration,

    /// Messages that wait in one stream; what comes on top is dropped.
    pub stream_messages_max: usize,
    /// Bytes of messages that wait in one stream. One message is always admitted.
    pub stream_bytes_max: usize,
    /// Messages that wait for one lane of POSTs, of which a peer has two.
    pub pipeline_messages_max: usize,
    /// Bytes of messages that wait for one lane of POSTs. One message is always admitted.
    pub pipeline_bytes_max: usize,
    /// Longest message, or item of a stream, that is accepted. It must hold the largest entry
    /// with room to spare, or the log cannot pass.
    pub frame_bytes_max: usize,
    /// Far ends that are answered though membership does not list them (yet).
    pub remotes_max: usize,
    /// Connections that others may have open to this member.
    pub connections_max: usize,

    /// Payload of one chunk of a snapshot: the memory a transfer takes is a few times this.
    pub snapshot_chunk_bytes: usize,
    /// Pace of one outgoing snapshot in bytes a second; 0 does not pace.
    pub snapshot_bytes_per_second: u64,
    /// Outgoing snapshots at one time.
    pub snapshot_sends_max: usize,
    /// Incoming snapshots at one time.
    pub snapshot_receives_max: usize,
    /// Files that an incoming snapshot may have.
    pub snapshot_files_max: u32,
    /// Bytes that an incoming snapshot may have; 0 does not limit.
    pub snapshot_bytes_max: u64,
    /// How long a receiver may take to sync a whole snapshot before it answers.
    pub snapshot_settle_timeout: Duration,
}

/// Why a [`Config`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A bound that would let nothing through.
    #[error("{0} must not be zero")]
    Zero(&'static str),
    /// A chunk outside 4 KiB to 1 MiB.
    #[error("snapshot_chunk_bytes is {0}, want 4096 to 1048576")]
    ChunkBytes(usize),
    /// Streams would be cut between two link heartbeats.
    #[error("heartbeat_pause must be shorter than read_timeout")]
    HeartbeatPause,
    /// A member id of zero names nobody.
    #[error("the local member has no id")]
    NoMember,
    /// The transport spawns tasks, so it is made inside a tokio runtime.
    #[error("not inside a tokio runtime")]
    NoRuntime,
}

impl Config {
    /// etcd's timings and bounds; `peer_urls` is empty.
    #[must_use]
    pub fn new(member: MemberId, cluster: ClusterId) -> Self {
        Self {
            member,
            cluster,
            peer_urls: Vec::new(),
            version: ApiVersion::new(3, 7, 0),
            dial_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
            redial_pause: Duration::from_millis(100),
            heartbeat_pause: Duration::from_millis(5000 / 3),
            probe_pause: Duration::from_secs(4),
            idle_timeout: Duration::from_secs(300),
            stop_timeout: Duration::from_secs(1),
            stream_messages_max: 4096,
            stream_bytes_max: 64 << 20,
            pipeline_messages_max: 64,
            pipeline_bytes_max: 16 << 20,
            frame_bytes_max: 64 << 20,
            remotes_max: 64,
            connections_max: 1024,
            snapshot_chunk_bytes: 128 << 10,
            snapshot_bytes_per_second: 0,
            snapshot_sends_max: 16,
            snapshot_receives_max: 1,
            snapshot_files_max: 1 << 16,
            snapshot_bytes_max: 0,
            snapshot_settle_timeout: Duration::from_secs(120),
        }
    }

    /// Checks that every bound lets work through.
    ///
    /// # Errors
    /// Names the first setting that does not.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.member.is_none() {
            return Err(ConfigError::NoMember);
        }
        let bounds = [
            ("stream_messages_max", self.stream_messages_max),
            ("stream_bytes_max", self.stream_bytes_max),
            ("pipeline_messages_max", self.pipeline_messages_max),
            ("pipeline_bytes_max", self.pipeline_bytes_max),
            ("frame_bytes_max", self.frame_bytes_max),
            ("connections_max", self.connections_max),
            ("snapshot_sends_max", self.snapshot_sends_max),
            ("snapshot_receives_max", self.snapshot_receives_max),
        ];
        if let Some((name, _)) = bounds.iter().find(|(_, bound)| *bound == 0) {
            return Err(ConfigError::Zero(name));
        }
        if !(4096..=1 << 20).contains(&self.snapshot_chunk_bytes) {
            return Err(ConfigError::ChunkBytes(self.snapshot_chunk_bytes));
        }
        if self.heartbeat_pause >= self.read_timeout {
            return Err(ConfigError::HeartbeatPause);
        }
        Ok(())
    }
}
