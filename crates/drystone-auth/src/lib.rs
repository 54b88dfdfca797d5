//! Who may do what: etcd's role-based access control.

mod access;

pub use access::{Identity, Need};
