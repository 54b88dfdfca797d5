//! Everything that this process logs, in both forms, at the finest levels there are.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, OnceLock};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt as _;

/// Bytes that are looked at together, and how many of them again with the next.
const PIECE: usize = 1 << 20;
const OVERLAP: usize = 1 << 10;

/// The log of the whole process, from the first call on: a file without a name.
pub(crate) struct Log(File);

impl Log {
    /// Calls `look` with all of it, piece by piece; what is short is whole in one of them.
    pub(crate) fn read(&self, mut look: impl FnMut(&[u8])) {
        let mut piece = vec![0; PIECE];
        let mut place = 0;
        loop {
            let read = self.0.read_at(&mut piece, place).unwrap();
            look(&piece[..read]);
            if read <= OVERLAP {
                return;
            }
            place += (read - OVERLAP) as u64;
        }
    }

    /// Which of `needles` are in it, and where.
    pub(crate) fn lines_with(&self, needles: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        self.read(|piece| {
            for line in piece.split(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(line);
                if needles.iter().any(|needle| line.contains(needle)) {
                    found.push(line.into_owned());
                }
            }
        });
        found
    }
}

/// The log. Nothing of it is missing that happens after the first call.
pub(crate) fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let reader = File::open(&path).unwrap();
        let file = Arc::new(file);
        // Libraries below may speak of frames and sockets, of which there are many, when they
        // are told to; a server never tells them.
        let levels = || {
            Targets::new()
                .with_default(LevelFilter::DEBUG)
                .with_targets([("h2", LevelFilter::INFO), ("hyper", LevelFilter::INFO)])
                .with_target("drystone", LevelFilter::TRACE)
        };
        let text = layer().with_ansi(false).with_writer(file.clone()).with_filter(levels());
        let json = layer().json().with_writer(file).with_filter(levels());
        let both = tracing_subscriber::registry().with(text).with(json);
        tracing::subscriber::set_global_default(both).unwrap();
        Log(reader)
    })
}
