//! Responses whose key-value pairs and events are bytes that were encoded earlier.
//!
//! A store that keeps `mvccpb.KeyValue` encoded would have to decode each pair only for the
//! response to encode it again. The messages here have the fields of their namesakes in
//! [`etcdserverpb`], with every `KeyValue` and `Event` replaced by
//! [`Bytes`]. Protobuf frames a message and a byte string alike, so both kinds encode to the
//! same bytes, and cloning such a response copies no key and no value.
//!
//! What is put into such a field must be a valid encoding of the message it stands for: nothing
//! here looks at it, and a client would stumble over it. Decoding works too and yields slices
//! of the input. `TryFrom` leads to the plain message by way of the wire, for those who want to
//! look inside; it fails where the plain message would not decode.
//!
//! With the feature `grpc`, [`kv_server`] and [`watch_server`] serve `etcdserverpb.KV` and
//! `etcdserverpb.Watch` with these responses. A server uses them in place of
//! `etcdserverpb::kv_server` and `etcdserverpb::watch_server`; clients see no difference.
//!
//! ```
//! use drystone_api::{etcdserverpb, mvccpb, raw};
//! use prost::Message;
//!
//! let pair = mvccpb::KeyValue { key: "stone".into(), version: 1, ..Default::default() };
//! let stored = bytes::Bytes::from(pair.encode_to_vec());
//!
//! let quick = raw::RangeResponse { kvs: vec![stored], count: 1, ..Default::default() };
//! let plain =
//!     etcdserverpb::RangeResponse { kvs: vec![pair], count: 1, ..Default::default() };
//! assert_eq!(quick.encode_to_vec(), plain.encode_to_vec());
//! ```

#[cfg(test)]
mod tests;

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::etcdserverpb::{self, ResponseHeader};
use crate::mvccpb;

/// An [`mvccpb::Event`] over encoded pairs.
///
/// Encode it to get what [`WatchResponse::events`] takes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Event {
    /// A number of [`mvccpb::event::EventType`].
    #[prost(enumeration = "crate::mvccpb::event::EventType", tag = "1")]
    pub r#type: i32,
    /// The encoded pair after the event; for a deletion one with only key and revision.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub kv: Option<Bytes>,
    /// The encoded pair before the event.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub prev_kv: Option<Bytes>,
}

/// [`RangeResponse`](crate::etcdserverpb::RangeResponse) over encoded pairs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RangeResponse {
    /// Where and when the answer was made.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Encoded `mvccpb.KeyValue`s.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub kvs: Vec<Bytes>,
    /// Whether the limit cut the answer.
    #[prost(bool, tag = "3")]
    pub more: bool,
    /// Keys in the range, regardless of the limit.
    #[prost(int64, tag = "4")]
    pub count: i64,
}

/// [`RangeStreamResponse`](crate::etcdserverpb::RangeStreamResponse) over encoded pairs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RangeStreamResponse {
    /// One piece; header, `more` and `count` are set on the last one only.
    #[prost(message, optional, tag = "1")]
    pub range_response: Option<RangeResponse>,
}

/// [`PutResponse`](crate::etcdserverpb::PutResponse) over an encoded pair.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PutResponse {
    /// Where and when the answer was made.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The encoded `mvccpb.KeyValue` that was replaced, if there was one and it was asked for.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub prev_kv: Option<Bytes>,
}

/// [`DeleteRangeResponse`](crate::etcdserverpb::DeleteRangeResponse) over encoded pairs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeleteRangeResponse {
    /// Where and when the answer was made.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// How many keys were deleted.
    #[prost(int64, tag = "2")]
    pub deleted: i64,
    /// The encoded `mvccpb.KeyValue`s that were deleted, if they were asked for.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub prev_kvs: Vec<Bytes>,
}

/// [`ResponseOp`](crate::etcdserverpb::ResponseOp) over encoded pairs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ResponseOp {
    /// The answer to one operation of a transaction.
    #[prost(oneof = "response_op::Response", tags = "1, 2, 3, 4")]
    pub response: Option<response_op::Response>,
}

/// Nested types of [`ResponseOp`].
pub mod response_op {
    /// The answer to one operation, by kind.
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    pub enum Response {
        /// Answer to a range.
        #[prost(message, tag = "1")]
        ResponseRange(super::RangeResponse),
        /// Answer to a put.
        #[prost(message, tag = "2")]
        ResponsePut(super::PutResponse),
        /// Answer to a deletion.
        #[prost(message, tag = "3")]
        ResponseDeleteRange(super::DeleteRangeResponse),
        /// Answer to a nested transaction.
        #[prost(message, tag = "4")]
        ResponseTxn(super::TxnResponse),
    }
}

/// [`TxnResponse`](crate::etcdserverpb::TxnResponse) over encoded pairs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TxnResponse {
    /// Where and when the answer was made.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Whether all compares held, so that the success branch ran.
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    /// One answer for each operation of the branch that ran, in order.
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}

/// [`WatchResponse`](crate::etcdserverpb::WatchResponse) over encoded events.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WatchResponse {
    /// Where and when the response was made.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The watcher spoken of; -1 for all watchers of the stream.
    #[prost(int64, tag = "2")]
    pub watch_id: i64,
    /// Set on the one response that confirms a create request.
    #[prost(bool, tag = "3")]
    pub created: bool,
    /// Set on the last response of a watcher.
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    /// When the watch asked for compacted history: the first revision still there.
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    /// Why the watcher was cancelled, for people to read.
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// Set when the next response continues this one's revision.
    #[prost(bool, tag = "7")]
    pub fragment: bool,
    /// Encoded `mvccpb.Event`s.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub events: Vec<Bytes>,
}

macro_rules! into_plain {
    ($($raw:ty => $plain:ty),* $(,)?) => {$(
        impl TryFrom<$raw> for $plain {
            type Error = DecodeError;

            fn try_from(raw: $raw) -> Result<Self, DecodeError> {
                Self::decode(Bytes::from(raw.encode_to_vec()))
            }
        }
    )*};
}

into_plain! {
    Event => mvccpb::Event,
    RangeResponse => etcdserverpb::RangeResponse,
    RangeStreamResponse => etcdserverpb::RangeStreamResponse,
    PutResponse => etcdserverpb::PutResponse,
    DeleteRangeResponse => etcdserverpb::DeleteRangeResponse,
    TxnResponse => etcdserverpb::TxnResponse,
    WatchResponse => etcdserverpb::WatchResponse,
}

#[cfg(feature = "grpc")]
#[allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    reason = "generated code: `xtask/src/codegen.rs` is what is reviewed"
)]
mod services {
    include!("generated/raw.etcdserverpb.rs");
}
#[cfg(feature = "grpc")]
pub use services::{kv_server, watch_server};
