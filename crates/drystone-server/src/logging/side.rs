//! A log beside the server's own, with an output, a queue and a thread to itself.

use super::FLUSH_MAX;
use super::level::Level;
use super::line::{Fields, Head, Line};
use super::output::{OpenError, Output};
use super::queue::Queue;
use crate::config::{LogFormat, LogOutput, LogRotation};
use std::time::SystemTime;

/// Takes lines in without waiting, as JSON. The thread ends with it.
#[derive(Debug)]
pub(crate) struct SideLog(Queue);

impl SideLog {
    /// Opens the output.
    ///
    /// # Errors
    /// It cannot be opened, or there is no thread.
    pub(crate) fn open(
        thread: &'static str,
        output: &LogOutput,
        rotation: Option<&LogRotation>,
    ) -> Result<Self, OpenError> {
        Self::over(thread, Output::open(output, rotation)?)
    }

    /// A log over an open output.
    pub(super) fn over(thread: &'static str, output: Output) -> Result<Self, OpenError> {
        Queue::start(thread, vec![output], LogFormat::Json).map(Self).map_err(OpenError::Thread)
    }

    /// Fields of a new line.
    pub(crate) fn fields() -> Fields {
        Fields::new(LogFormat::Json)
    }

    /// Takes a line in, or counts it as lost.
    pub(crate) fn put(&self, message: &str, fields: &Fields) {
        let head = Head { time: SystemTime::now(), level: Level::Info, logger: None, place: None };
        self.0.put(Line::new(LogFormat::Json, &head, message, fields));
    }

    /// Waits until everything before is written, but not for long. Blocks.
    pub(crate) fn flush(&self) {
        self.0.flush(FLUSH_MAX);
    }
}
