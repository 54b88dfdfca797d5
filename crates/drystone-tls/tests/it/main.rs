//! Handshakes over pipes, with certificates made for each test.

mod auto;
mod dialling;
mod letting_in;
mod rig;
mod rotation;
