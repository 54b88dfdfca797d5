//! The core's log lines as `tracing` events.

use slog::{Drain, KV, Key, Level, Logger, Never, OwnedKVList, Record, Serializer};
use std::fmt;

/// What the core names entries and whole messages by. They hold keys, values, hashes of
/// passwords and the words of tokens, none of which belongs into a log.
const WITH_ENTRIES: [&str; 2] = ["ents", "msg"];

/// A logger that hands the core's lines to `tracing`, two levels more quietly: what the core
/// calls information is this crate's debug, and its lines about each message are trace. It shows
/// no entry.
pub(crate) fn logger() -> Logger {
    Logger::root(TracingDrain, slog::o!())
}

struct TracingDrain;

impl Drain for TracingDrain {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let line = Line { record, values };
        match record.level() {
            Level::Critical | Level::Error => tracing::warn!("{line}"),
            Level::Warning | Level::Info => tracing::debug!("{line}"),
            Level::Debug | Level::Trace => tracing::trace!("{line}"),
        }
        Ok(())
    }
}

/// Formats only when somebody listens.
struct Line<'a> {
    record: &'a Record<'a>,
    values: &'a OwnedKVList,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.record.msg())?;
        let mut pairs = Pairs(f);
        self.record.kv().serialize(self.record, &mut pairs).map_err(|_| fmt::Error)?;
        self.values.serialize(self.record, &mut pairs).map_err(|_| fmt::Error)
    }
}

struct Pairs<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Serializer for Pairs<'_, '_> {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        if WITH_ENTRIES.contains(&key) {
            return Ok(());
        }
        write!(self.0, " {key}={value}").map_err(slog::Error::Fmt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(record: &Record<'_>) -> String {
        Line { record, values: &slog::o!("raft_id" => 1).into() }.to_string()
    }

    #[test]
    fn no_entry_is_shown() {
        let line = shown(&Record::new(
            &slog::record_static!(Level::Trace, ""),
            &format_args!("appended"),
            slog::b!("ents" => "secret", "msg" => "secret", "term" => 7),
        ));
        assert_eq!(line, "appended term=7 raft_id=1");
    }
}
