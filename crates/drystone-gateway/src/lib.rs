//! etcd's JSON over HTTP: a request under `/v3/` becomes a gRPC call of a service in the same
//! process, and its answer becomes JSON again.
//!
//! # What it is
//! [`Gateway`] is a [`tower::Service`] for [`http::Request`]s around any service that speaks
//! gRPC. It gives what etcd 3.7 gives (grpc-gateway's second version over Go's `protojson`):
//! the same paths, names, numbers, statuses and texts. What the gRPC service refuses, the
//! gateway refuses, for it goes through the same door with the same metadata.
//!
//! # What it is not
//! No listener, no TLS, no CORS, no check of the `Host` header, no `/v3beta/`: those belong to
//! whoever serves HTTP. It knows no key and no user.
//!
//! # The model
//! A table (`routes`) says which path is which method. `scan` cuts a body into JSON values as it
//! comes in, `decode` makes a message of one with the descriptors of [`drystone_api`], a codec
//! puts it into gRPC's frames, and `encode` writes what comes back. A unary body is read until
//! its first value ends; what follows is dropped, as etcd does. Streams flow both ways at once,
//! a line for each message.
//!
//! # Where it differs from etcd
//! * The first value of a stream of requests is read before the call begins, so that one that
//!   cannot be read is answered 400. etcd 3.7 logs it and leaves the client waiting.
//! * A call is always marked as the gateway's (`grpcgateway-accept`), also when the request has
//!   no `Accept` header, so that a certificate never lends its name to a request that came
//!   through here.
//! * Nesting is bounded by [`JSON_DEPTH_MAX`] and a body by [`Config::message_bytes_max`]; etcd
//!   reads bodies of any size into memory. An answer is bounded by [`ANSWER_BYTES_MAX`].
//!
//! # Example
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use bytes::Bytes;
//! use drystone_gateway::{Config, Gateway};
//! use http_body_util::Full;
//! use tower::{Service, service_fn};
//!
//! // A gRPC service that has no method at all.
//! let grpc = service_fn(|_: http::Request<tonic::body::Body>| async {
//!     Ok::<_, std::convert::Infallible>(tonic::Status::unimplemented("later").into_http::<tonic::body::Body>())
//! });
//! let mut gateway = Gateway::new(grpc, Config { message_bytes_max: 2 << 20 });
//! let request = http::Request::post("/v3/kv/range").body(Full::new(Bytes::from("{}"))).unwrap();
//! let answer = gateway.call(request).await.unwrap();
//! assert_eq!(answer.status(), 501);
//! # }
//! ```
//!
//! # Invariants
//! * Bytes from outside never panic; a property test throws them.
//! * Memory for one request is bounded by [`Config::message_bytes_max`] times
//!   [`BODY_GROWTH`], and for its answer by a few times [`ANSWER_BYTES_MAX`]; a stream holds one
//!   message each way.

mod body;
mod call;
mod codec;
mod decode;
mod encode;
mod metadata;
mod number;
mod routes;
mod scan;
mod service;

pub use body::BODY_GROWTH;
pub use call::ANSWER_BYTES_MAX;
pub use routes::{Binding, bindings};
pub use scan::JSON_DEPTH_MAX;
pub use service::{Config, Gateway};
