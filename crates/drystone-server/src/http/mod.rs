//! The port that clients connect to: connections taken in, and HTTP spoken on them.
//!
//! One port speaks gRPC over HTTP/2 and plain HTTP. In clear, everything over HTTP/2 is gRPC and
//! everything over HTTP/1 goes to the mux. Where the connection is secure, HTTP/2 carries both,
//! and gRPC is told by its content type.

mod admission;
mod answers;
mod browsers;
mod door;
mod frames;
mod gateway;
mod metered;
mod mux;
mod pace;
mod paths;
mod probes;
mod profiles;
mod session;
mod socket;
mod vars;
mod web;

pub(crate) use admission::{Admission, descriptors, raise_descriptors};
pub use door::Accept;
pub(crate) use door::serve;
pub use profiles::tell_of_allocator;
pub(crate) use session::{Face, Traffic};
