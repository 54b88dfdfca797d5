//! etcd v3's messages, services and error texts, exactly as they are on the wire.
//!
//! # What it is
//! One module for each protobuf package of etcd 3.7, generated from the repository's `proto/`
//! directory and committed: [`etcdserverpb`] (client API and log payload), [`mvccpb`],
//! [`authpb`], [`membershippb`], [`leasepb`], [`raftpb`], [`walpb`], [`snappb`], [`v3lockpb`],
//! [`v3electionpb`] and [`health`]. Beside them stand [`raw`], for servers that hold key-value
//! pairs already encoded, [`errors`], the catalogue of what a server says when it refuses, and
//! [`limits`].
//!
//! # What it is not
//! It has no behaviour: no checks of requests, no defaults, no connection. And it has no JSON;
//! that belongs to the gateway.
//!
//! # The model
//! Messages are plain structs with public fields; `bytes` fields are [`bytes::Bytes`], so that
//! a decoded request shares the buffer it came in. Enum fields hold the `i32` of the wire and
//! have typed accessors, so that a number unknown to us is kept and passed on. Clients and
//! servers of the services are generated too and wait behind the feature `grpc`; without it
//! nothing here depends on an async runtime.
//!
//! # Example
//! ```
//! use drystone_api::etcdserverpb::{PutRequest, RequestOp, TxnRequest, request_op::Request};
//! use prost::Message;
//!
//! let put = PutRequest { key: "stone".into(), value: "granite".into(), ..Default::default() };
//! let txn = TxnRequest {
//!     success: vec![RequestOp { request: Some(Request::RequestPut(put)) }],
//!     ..Default::default()
//! };
//! let wire = txn.encode_to_vec();
//! assert_eq!(TxnRequest::decode(wire.as_slice())?, txn);
//! # Ok::<(), prost::DecodeError>(())
//! ```
//!
//! # Invariants
//! * Names, numbers and types equal etcd's: a test holds the compiled descriptors against a
//!   table of facts (`testdata/facts.txt`), in both directions.
//! * A message of [`raw`] and its namesake in [`etcdserverpb`] encode to the same bytes.
//! * `Debug` shows no password, no hash of one and no token, of whatever message holds one.
//! * Decoding bytes from anywhere returns an error at worst; it does not panic, and nesting is
//!   bounded (see [`limits::TXN_DEPTH_MAX`]).

/// Declares the module of one generated file.
macro_rules! generated {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        #[allow(
            missing_docs,
            unused_qualifications,
            unreachable_pub,
            clippy::all,
            reason = "generated code: the sources in `proto/` are what is reviewed"
        )]
        pub mod $name {
            include!(concat!("generated/", $file));
        }
    };
}

generated!(
    /// Keys with their values, and what happened to them.
    mvccpb,
    "mvccpb.rs"
);
generated!(
    /// Users, roles and permissions, as requests name them and the store keeps them.
    authpb,
    "authpb.rs"
);
generated!(
    /// Members and the cluster's version, as the log carries them.
    membershippb,
    "membershippb.rs"
);
generated!(
    /// The client API, and the payload of log entries (`InternalRaftRequest`).
    etcdserverpb,
    "etcdserverpb.rs"
);
generated!(
    /// The stored lease and what followers ask the leader about leases.
    leasepb,
    "leasepb.rs"
);
generated!(
    /// Consensus messages, log entries and configuration changes, with etcd's numbers.
    raftpb,
    "raftpb.rs"
);
generated!(
    /// Records of etcd's write-ahead log.
    walpb,
    "walpb.rs"
);
generated!(
    /// The frame of etcd's `.snap` files.
    snappb,
    "snappb.rs"
);
generated!(
    /// The lock service.
    v3lockpb,
    "v3lockpb.rs"
);
generated!(
    /// The election service.
    v3electionpb,
    "v3electionpb.rs"
);
generated!(
    /// The standard health service, `grpc.health.v1`.
    health,
    "grpc.health.v1.rs"
);

pub mod errors;
pub mod limits;
pub mod raw;
mod secrets;

/// The compiled descriptors of everything in `proto/`: a serialized
/// `google.protobuf.FileDescriptorSet` without source information.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor.bin");
