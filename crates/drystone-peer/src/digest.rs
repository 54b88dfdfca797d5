//! Rolling digests, which members of Drystone ask each other for: `/drystone/digest`.

use serde::{Deserialize, Serialize};

/// Marks that one question may ask for.
pub(crate) const REVISIONS_MAX: usize = 256;

/// The sum of a member's digests up to a revision. Only differences mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestMark {
    /// The revision.
    pub revision: i64,
    /// The sum, modulo 2^64.
    pub sum: u64,
}

/// The body of the question.
#[derive(Serialize, Deserialize)]
pub(crate) struct DigestRequest {
    pub(crate) revisions: Vec<i64>,
}

/// The body of the answer.
#[derive(Serialize, Deserialize)]
pub(crate) struct DigestAnswer {
    pub(crate) marks: Vec<DigestMark>,
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("numbers always serialize")
}
