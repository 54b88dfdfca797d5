//! Members of a cluster talking to each other in etcd's own peer protocol.
//!
//! # What it is
//! The network between the raft replicas of one cluster: HTTP/1.1 on the peer listener, with
//! etcd's paths, headers, checks, statuses and framings, so that a member of either kind can
//! talk with one of the other. A [`Transport`] holds the peers of one member. It sends what
//! raft wants sent and never waits; what comes in goes to a [`Handler`], which the server
//! implements. [`Fetch`] asks single members the questions that come before there is a
//! transport. [`codec`] is the bytes alone.
//!
//! # What it is not
//! It is not reliable: a message that finds a full queue or a lost connection is dropped, and
//! raft is told that the peer is unreachable. It knows no membership, elects nobody, stores
//! nothing but snapshots that come in, and brings no TLS: the server hands in a [`Dial`] and a
//! [`Listen`] that speak it.
//!
//! # The model
//! Between two members there are up to six channels. Each member dials two long GETs at the
//! other and *reads* messages from them: `msgapp` carries appends in a short form, `message`
//! everything else. While a stream is down, its messages go out as one `POST /raft` each, on
//! a lane of their own, one for appends and one for the rest. A snapshot is a POST on a
//! connection of its own. A prober measures delay and clocks.
//!
//! Between two Drystones a snapshot is a directory of files: the sender asks
//! `GET /raft/probing` for the header `X-Drystone-Snapshot: 1`, and only a far end that shows
//! it gets one. An etcd is never sent a snapshot that it cannot read; the member hears that
//! it was not delivered.
//!
//! # Example
//! ```
//! use bytes::BytesMut;
//! use drystone_peer::codec::{FrameDecoder, Item, encode_frame};
//! use drystone_raft::{Message, MessageKind};
//! use drystone_types::{MemberId, Term};
//!
//! let vote = Message::new(MessageKind::Vote, MemberId(1), MemberId(2), Term(7));
//! let mut stream = BytesMut::new();
//! encode_frame(&vote, &mut stream);
//! let item = FrameDecoder::new(1 << 20).decode(&mut stream)?;
//! assert_eq!(item, Some(Item::Message(vote)));
//! # Ok::<(), drystone_peer::codec::CodecError>(())
//! ```
//! `examples/two_members.rs` runs two transports against each other.
//!
//! # Invariants
//! * Messages of one channel arrive in the order in which they were sent, or not at all.
//! * Every queue has a bound in messages and one in bytes; [`Transport::send`] never waits.
//! * Bytes from the network never panic, and memory follows what arrived, not what a length
//!   announced.
//! * A snapshot reaches the handler complete, checked and synced, or leaves nothing behind.
//! * After [`Transport::stop`] no task of the transport runs.

mod call;
mod clock;
pub mod codec;
mod config;
mod digest;
mod error;
mod fetch;
mod handler;
mod headers;
mod info;
mod io;
mod outbox;
mod peer;
mod pipeline;
mod prober;
mod server;
mod snapshot;
mod status;
mod stream_in;
mod stream_out;
mod transport;
mod url;
mod version;

pub use config::{Config, ConfigError};
pub use digest::DigestMark;
pub use error::CallError;
pub use fetch::{Fetch, FetchError};
pub use handler::{
    Answers, Handler, HashKvRefused, Inbox, LeaseRefused, PassedOn, Phase, PromoteRefused,
    ReplaceRefused, SnapshotFile, SnapshotSource, Snapshots, StepRefused, Transfer,
};
pub use info::{
    ClusterInfo, HashKv, MemberInfo, Replacement, VersionInfo, members_from_json, members_to_json,
    version_to_json,
};
pub use io::{Dial, Listen, Opened, Opening, Stream, TcpDialer};
pub use status::PeerStatus;
pub use transport::Transport;
pub use url::{PeerUrl, Scheme, UrlError};
pub use version::{ApiVersion, VersionError};
