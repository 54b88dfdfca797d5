//! Why a run did not take place.

use tonic::Status;

/// Why a run ended without a report. Failed requests are no such reason: they are counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An endpoint is no address, or cannot be reached.
    #[error(transparent)]
    Client(#[from] drystone_client::Error),
    /// A step before or after the load failed.
    #[error("{step} failed: {} ({:?})", .status.message(), .status.code())]
    Step {
        /// What was being done.
        step: &'static str,
        /// The server's answer.
        status: Status,
    },
    /// A process named with `--server-pid` does not exist.
    #[error("there is no process {pid}")]
    NoProcess {
        /// The process.
        pid: u32,
    },
}

impl Error {
    pub(crate) fn step(step: &'static str) -> impl FnOnce(Status) -> Error {
        move |status| Error::Step { step, status }
    }
}
