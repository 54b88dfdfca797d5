//! Why a call to a peer failed.

use std::time::Duration;

/// Why a call to a peer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no URL to call.
    #[error("the peer has no URL")]
    NoUrl,
    /// No connection.
    #[error("cannot connect to {url}")]
    Dial {
        /// Where to.
        url: String,
        /// Why not.
        source: std::io::Error,
    },
    /// No connection in time.
    #[error("no connection to {url} within {after:?}")]
    DialTimeout {
        /// Where to.
        url: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The far end is silent though it owes an answer or a heartbeat.
    #[error("the peer is silent for {after:?}")]
    ReadTimeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("the connection to the peer broke")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stream that carries what no stream carries.
    #[error("the peer's stream cannot be read")]
    Codec(#[from] crate::codec::CodecError),
    /// The far end belongs to another cluster.
    #[error("cluster ID mismatch")]
    ClusterMismatch,
    /// The two versions do not talk to each other.
    #[error("incompatible version: the peer runs {0:?}")]
    Incompatible(String),
    /// The far end says that this member was removed.
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    /// Any other refusal.
    #[error("the peer answered {status}: {text}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The head of the body, if there was one.
        text: String,
    },
    /// An answer longer than is reasonable.
    #[error("the peer's answer exceeds {bytes_max} bytes")]
    TooLong {
        /// The bound.
        bytes_max: usize,
    },
    /// An answer that is not what was asked for.
    #[error("the peer's answer is not {0}")]
    Malformed(&'static str),
    /// The far end is no Drystone, and a native snapshot means nothing to it.
    #[error("the peer does not take native snapshots")]
    NoNativeSnapshot,
    /// The state to be sent could not be read.
    #[error("cannot read the snapshot")]
    SnapshotSource(#[source] std::io::Error),
    /// The transport stops.
    #[error("the transport is stopping")]
    Stopped,
}

impl CallError {
    pub(crate) fn http(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Http(error.into())
    }
}

/// The whole chain of causes on one line, for logs.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
