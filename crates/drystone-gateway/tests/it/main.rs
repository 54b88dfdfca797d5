//! The gateway in front of services of tonic's, as a client of HTTP sees it.

mod fakes;
mod streams;
mod unary;
