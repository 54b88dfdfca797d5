//! A member's whole state on its way to another, between two Drystones.

pub(crate) mod dir;
pub(crate) mod frame;
pub(crate) mod receive;
pub(crate) mod send;
