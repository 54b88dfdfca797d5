//! The key index: which keys exist, in which versions, and how many of them are live.
//!
//! It holds every revision the store holds, and no value. It is a persistent B+tree: a reader
//! keeps the root it was given, and the writer copies only the nodes such a root still shares.

mod entry;
mod keys;
mod tree;

pub(crate) use entry::{Entry, Pruned, Version};
#[cfg(test)]
pub(crate) use tree::visits;
pub(crate) use tree::{Span, Tree};
