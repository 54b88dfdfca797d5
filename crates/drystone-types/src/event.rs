//! Changes of keys as watchers hear of them.

use crate::Revision;
use bytes::Bytes;

/// What happened to a key. The numbers are those of mvccpb's `Event.EventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// The key was written.
    Put = 0,
    /// The key was deleted.
    Delete = 1,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key it happened to.
    pub key: Bytes,
    /// The change's own revision.
    pub revision: Revision,
    /// The key-value pair as an encoded `mvccpb.KeyValue`: the whole pair for a put; key and
    /// `mod_revision` alone for a delete. Encoded once, shared by everyone who sends it.
    pub kv: Bytes,
    /// The revision of the pair that this change replaced; `None` when the key did not exist.
    pub prev: Option<Revision>,
}

/// All changes of one main revision, in the order of their sub revisions. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionEvents {
    /// The main revision they share.
    pub revision: i64,
    /// The changes.
    pub events: Vec<Event>,
}
