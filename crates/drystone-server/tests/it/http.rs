//! What is served over HTTP/1, asked over real sockets.

mod ask;
mod etcd;
mod paths;
mod ports;
mod probes;
mod profiles;
mod socket;
mod web;
