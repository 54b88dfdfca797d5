//! The log of one piece of code, for tests.

use super::*;
use std::io::Write;
use std::sync::Arc;

/// The lines that `body` logs at info or above.
pub(crate) fn logged(format: LogFormat, body: impl FnOnce()) -> Vec<String> {
    logged_from(format, "info", body)
}

/// An output that keeps what it is given, once the gate is open.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) bytes: Arc<parking_lot::Mutex<Vec<u8>>>,
    pub(crate) gate: Arc<parking_lot::Mutex<()>>,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _open = self.gate.lock();
        self.bytes.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Kept {
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8(self.bytes.lock().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

/// The lines that `body` logs at the level of this name or above.
pub(crate) fn logged_from(format: LogFormat, least: &str, body: impl FnOnce()) -> Vec<String> {
    let least = Level::named(least);
    let kept = Kept::default();
    let queue =
        Queue::start("logger", vec![Output::Stream(Box::new(kept.clone()))], format).unwrap();
    let layer = Lines::new(queue.clone(), format, least).with_filter(filter(least));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), body);
    queue.flush(Duration::from_secs(30));
    kept.lines()
}

/// A log beside the server's own, and what it writes.
pub(crate) fn side_log() -> (SideLog, Kept) {
    let kept = Kept::default();
    let output = Output::Stream(Box::new(kept.clone()));
    (SideLog::over("side", output).unwrap(), kept)
}
