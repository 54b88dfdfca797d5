//! The tables, run against the binary that cargo built and the etcd of this machine.

mod alone;
mod clients;
mod force;
mod gateway;
mod metrics;
mod secure;
mod siege;
mod tables;
mod turnover;
mod turns;
