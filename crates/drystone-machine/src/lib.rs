//! The replicated state machine: one committed entry in, its answer and its events out.
//!
//! # What it is
//! [`Machine`] joins the cores. It reads an entry's bytes (etcd's `InternalRaftRequest`, or a
//! change of membership), changes the key-value store, leases, membership and alarms together
//! in one atomic batch that also carries the applied index, and gives back answers and events.
//! Equal logs give equal stores: it has no clock, no randomness and no order but the log's.
//!
//! It is also where permission is asked for the last time: [`needs`] says what a request takes,
//! and the auth state that the log made decides for whom the entry's header names. Permission
//! comes before everything else. etcd looks at alarms first and tells anybody that the cluster
//! is full or corrupt; here a request that is not permitted learns nothing, and no alarm ever
//! stands in for the question.
//!
//! # What it is not
//! It does not know raft, disks or sockets. It does not check a request before it is proposed
//! (limits, duplicate keys): by the time an entry is here, every member must apply it alike.
//!
//! # Example
//! ```
//! use drystone_api::etcdserverpb::{InternalRaftRequest, PutRequest, RequestHeader};
//! use drystone_backend::MemBackend;
//! use drystone_machine::{Answer, Machine, MachineConfig};
//! use drystone_types::{Entry, LogIndex, Term};
//! use prost::Message;
//! use std::{sync::Arc, time::Duration};
//!
//! let mut machine = Machine::open(Arc::new(MemBackend::new()), MachineConfig::default()).unwrap();
//! let request = InternalRaftRequest {
//!     header: Some(RequestHeader { id: 7, ..Default::default() }),
//!     put: Some(PutRequest { key: "a".into(), value: "1".into(), ..Default::default() }),
//!     ..Default::default()
//! };
//! let entry = Entry {
//!     term: Term(1),
//!     index: LogIndex(1),
//!     data: request.encode_to_vec().into(),
//!     ..Default::default()
//! };
//! let output = machine.apply(&[entry], Duration::ZERO).unwrap();
//! assert_eq!(output.outcomes[0].request, 7);
//! assert!(matches!(output.outcomes[0].answer, Ok(Answer::Put(_))));
//! assert_eq!(output.events[0].revision, 2);
//! ```
//!
//! # Invariants
//! * An entry is applied once: those at or below the applied mark are passed over.
//! * The store never holds a part of a batch, nor a batch without its mark.
//! * While permissions are asked for, no entry changes or shows anything that its header's user
//!   may not change or see. What members propose on their own account carries
//!   [`Identity::server`].
//! * A request that is refused changes nothing but the mark.

mod alarm;
mod auth_reader;
mod call;
mod change;
pub mod convert;
mod machine;
mod membership;
mod outcome;
pub mod quota;

pub use alarm::{Alarm, Alarms, RaisedBy};
pub use auth_reader::AuthReader;
pub use call::{Attachments, Call, NoAttachments, header, identity, needs};
pub use drystone_auth::{Auth, Denied, Identity, Need};
pub use drystone_lease::{Renewed, TimeToLive};
pub use machine::{Machine, MachineConfig, MachineError, NotPrimary, change_refusal};
pub use membership::{
    Change, ChangeContext, ChangeError, Downgrade, MEMBERS_MAX, Member, Membership, cluster_id,
    member_id,
};
pub use outcome::{Answer, AuthReply, Outcome, Output, TokenChange};
