//! What the crate promises to those outside of it.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod facts;
#[cfg(feature = "grpc")]
mod services;
