//! One replica of a raft group, as a state machine without I/O, clock or randomness of its own.
//!
//! # What it is
//! Drystone's hold on consensus. The algorithm is that of the `raft` crate; this crate feeds
//! it, keeps the log in memory for it, and stands between it and everything that it does not
//! guard against itself. None of its types show: messages, entries and states here are plain
//! data in etcd's terms, numbered as in raftpb.
//!
//! # What it is not
//! It reads no disk, opens no socket and knows no time: a member drives it (`drystone-member`
//! in production and in simulation alike). It does not know what commands mean, and does not
//! encode messages for the wire. Joint consensus is not offered, since no etcd can take part
//! in it.
//!
//! # The model
//! Things happen to a [`Replica`]: a [tick](Replica::tick), a [message](Replica::step), a
//! [proposal](Replica::propose), news that something [is durable](Replica::log_persisted) or
//! [was applied](Replica::applied_to). Then [`Replica::ready`] says what to do: what to write,
//! what to send now, what to send once the writing is durable, what to apply. Several of these
//! [`Ready`]s may be under way at once, so that the next gathers while the disk syncs this one.
//!
//! # Example
//! A group of one, on a disk that is always done at once:
//! ```
//! use drystone_raft::{Config, Recovered, Replica, Role};
//! use drystone_types::{ConfState, MemberId};
//! use rand::{SeedableRng, rngs::SmallRng};
//!
//! let me = MemberId(1);
//! let recovered = Recovered {
//!     conf_state: ConfState { voters: vec![me], learners: vec![] },
//!     ..Recovered::default()
//! };
//! let rng = Box::new(SmallRng::seed_from_u64(7));
//! let mut replica = Replica::new(Config::new(me), recovered, rng)?;
//! replica.campaign()?;
//!
//! let mut log = Vec::new();
//! let mut applied = Vec::new();
//! let mut proposed = false;
//! while let Some(ready) = replica.ready() {
//!     log.extend(ready.entries);
//!     replica.log_persisted(ready.number);
//!     for entry in ready.committed {
//!         replica.applied_to(entry.index);
//!         applied.push(entry.data);
//!     }
//!     if replica.role() == Role::Leader && !proposed {
//!         replica.propose("hello".into())?;
//!         proposed = true;
//!     }
//! }
//! // The leader's own empty entry, then the command.
//! assert_eq!(applied, ["", "hello"]);
//! assert_eq!(log.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//! * Equal settings, recovered state, generator and inputs give equal outputs.
//! * No message whatever makes a replica panic; one that no correct peer sends changes nothing.
//! * A message that promises something about the log or a vote leaves only in
//!   [`Ready::messages_after_persist`].
//! * A committed entry is handed out once, in order, and only after it is durable here.
//! * A read is confirmed by answers to requests made after it began, in the term it began in.
//! * A peer's next entry is always above its matched one.
//! * Queues, messages and memory beyond the log are bounded by [`Config`].

mod conf_change;
mod config;
mod convert;
mod error;
mod log;
mod logger;
mod message;
mod reads;
mod replica;

pub use conf_change::{ConfChange, ConfChangeKind, MEMBERS_MAX};
pub use config::Config;
pub use error::{
    ApplyConfChangeError, ConfChangeError, ConfigError, LeadError, MembershipError, MessageError,
    ProposeError, ReadError, RecoverError, SnapshotError, StepError,
};
pub use message::{Message, MessageKind, READ_CONTEXT_BYTES_MAX, SnapshotMeta};
pub use replica::{
    PeerState, PeerStatus, ReadState, Ready, Recovered, Replica, Role, SoftState, Status,
};
