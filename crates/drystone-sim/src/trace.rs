//! What happened, step by step: a hash of all of it, and the lines when somebody wants to read.

use crate::clock::Micros;
use std::fmt;

/// Lines that a kept trace holds, at most; the oldest go.
const LINES_MAX: usize = 2_000_000;

/// A rolling hash (FNV-1a, 64 bits) over every line, which is never built when nobody reads it.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
    events: u64,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: keep.then(Vec::new), events: 0 }
    }

    /// Adds a line.
    pub(crate) fn say(&mut self, at: Micros, text: fmt::Arguments<'_>) {
        self.events += 1;
        self.feed(&at.to_le_bytes());
        // Formatting straight into the hash needs no memory.
        let _ = fmt::Write::write_fmt(&mut Feed(self), text);
        if let Some(lines) = &mut self.lines
            && lines.len() < LINES_MAX
        {
            lines.push(format!("{:>12.6} {text}", at as f64 / 1e6));
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}

struct Feed<'a>(&'a mut Trace);

impl fmt::Write for Feed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.feed(text.as_bytes());
        Ok(())
    }
}
