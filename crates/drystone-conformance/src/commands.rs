//! The command-line table: `etcdctl` commands, run in order against each server, their
//! transcripts compared.
//!
//! The cases are text, one story a file in `testdata/commands/`; [`Story::parse`] documents the
//! format.

mod runner;
mod script;

pub use runner::{CommandError, Runner};
pub use script::{Case, ScriptError, Step, Story};

macro_rules! stories {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../testdata/commands/", $name, ".txt")))),*]
    };
}

/// Every story of the table.
///
/// # Errors
/// When a file of the table is not written as [`Story::parse`] says; a test holds them to it.
pub fn stories() -> Result<Vec<Story>, ScriptError> {
    stories!(
        "put",
        "get",
        "get-output",
        "get-sort",
        "del",
        "txn",
        "txn-refused",
        "watch",
        "lease",
        "compaction",
        "space",
        "cluster",
        "errors",
        "auth",
    )
    .into_iter()
    .map(|(name, text)| Story::parse(name, text))
    .collect()
}

#[cfg(test)]
mod tests;
