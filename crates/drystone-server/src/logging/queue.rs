//! The way from those who log to the thread that writes: bounded, and nobody waits.

use super::level::Level;
use super::line::{Fields, Head, Line};
use super::output::Output;
use crate::config::LogFormat;
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Lines that may wait.
const LINES_MAX: usize = 8_192;
/// Bytes that may wait. One line more is let in where there is room at all.
const BYTES_MAX: usize = 8 << 20;
/// Lines that are written at once.
const BATCH_LINES_MAX: usize = 512;

#[derive(Debug)]
enum Item {
    Line(Line),
    Flush(Sender<()>),
}

/// What both ends know.
#[derive(Debug, Default)]
struct Counts {
    waiting_bytes: AtomicUsize,
    lost: AtomicU64,
}

/// The end that takes lines in.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    items: Sender<Item>,
    counts: Arc<Counts>,
}

impl Queue {
    /// Starts the thread. It ends with the last copy of the queue.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        thread: &'static str,
        mut outputs: Vec<Output>,
        format: LogFormat,
    ) -> std::io::Result<Self> {
        let (items, receiver) = crossbeam_channel::bounded(LINES_MAX);
        let counts = Arc::new(Counts::default());
        let theirs = counts.clone();
        std::thread::Builder::new()
            .name(thread.to_owned())
            .spawn(move || write_all(&mut outputs, format, &receiver, &theirs))?;
        Ok(Self { items, counts })
    }

    /// Takes a line in, or counts it as lost. Never waits.
    pub(super) fn put(&self, line: Line) {
        let bytes = line.bytes.len();
        let waiting = &self.counts.waiting_bytes;
        let has_room = waiting.fetch_add(bytes, Ordering::Relaxed) < BYTES_MAX;
        if !has_room || self.items.try_send(Item::Line(line)).is_err() {
            waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything before is written, at most so long.
    pub(super) fn flush(&self, longest: Duration) {
        let deadline = Instant::now() + longest;
        let (done, told) = crossbeam_channel::bounded(1);
        if self.items.send_deadline(Item::Flush(done), deadline).is_ok() {
            let _ = told.recv_deadline(deadline);
        }
    }
}

/// The thread's body: all that waits, one write to each output.
fn write_all(outputs: &mut [Output], format: LogFormat, items: &Receiver<Item>, counts: &Counts) {
    let mut lines = Vec::new();
    let mut flushes = Vec::new();
    while let Ok(first) = items.recv() {
        let more = items.try_iter().take(BATCH_LINES_MAX);
        for item in std::iter::once(first).chain(more) {
            match item {
                Item::Line(line) => lines.push(line),
                Item::Flush(done) => flushes.push(done),
            }
        }
        let bytes: usize = lines.iter().map(|line| line.bytes.len()).sum();
        counts.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if !write(outputs, &lines) {
            counts.lost.fetch_add(lines.len() as u64, Ordering::Relaxed);
        }
        lines.clear();
        tell_lost(outputs, format, counts);
        for done in flushes.drain(..) {
            let _ = done.send(());
        }
    }
}

/// Writes lines to every output; false if one of them did not take them.
fn write(outputs: &mut [Output], lines: &[Line]) -> bool {
    let mut all = true;
    for output in outputs {
        all &= lines.is_empty() || output.write(lines).is_ok();
    }
    all
}

/// Says how many lines were lost, as soon as that can be written.
fn tell_lost(outputs: &mut [Output], format: LogFormat, counts: &Counts) {
    let lost = counts.lost.swap(0, Ordering::Relaxed);
    if lost == 0 {
        return;
    }
    let mut fields = Fields::new(format);
    fields.number("lost", lost);
    let place = Some((file!(), line!()));
    let head = Head { time: SystemTime::now(), level: Level::Warn, logger: None, place };
    let message = "lines of the log were lost: an output is too slow or cannot be written";
    if !write(outputs, &[Line::new(format, &head, message, &fields)]) {
        counts.lost.fetch_add(lost, Ordering::Relaxed);
    }
}
