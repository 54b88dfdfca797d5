//! The client against servers that misbehave on purpose.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod fake;
mod lease;
mod srv;
mod watch;
