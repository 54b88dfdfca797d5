//! The access log: one line a call, for whoever must know later who did what.
//!
//! Of a key the part up to its last slash is told, and of everything else that a request holds
//! nothing: no value, no password, no token.

use super::answer::Answered;
use super::content::{first_key, prefix};
use super::record::Record;
use crate::config::Config;
use crate::logging::{OpenError, SideLog};
use crate::metrics::CODES;
use crate::slow::go_duration;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a user's name that are told.
const USER_BYTES_MAX: usize = 128;

/// Writes lines of calls. Nobody waits for it.
#[derive(Debug)]
pub(crate) struct AccessLog {
    log: SideLog,
    /// One of so many calls has a line.
    one_in: u64,
    calls: AtomicU64,
}

impl AccessLog {
    /// The access log that the flags ask for.
    ///
    /// # Errors
    /// Its output cannot be opened.
    pub(crate) fn open(config: &Config) -> Result<Option<Self>, OpenError> {
        let Some(output) = &config.access_log else { return Ok(None) };
        let log = SideLog::open("access-log", output, config.log_rotation.as_ref())?;
        Ok(Some(Self::over(log, config.access_log_one_in)))
    }

    pub(super) fn over(log: SideLog, one_in: u64) -> Self {
        Self { log, one_in: one_in.max(1), calls: AtomicU64::new(0) }
    }

    /// Tells of a call that ended, if it is one of those that are told of.
    pub(super) fn tell(&self, record: &Record, answered: &Answered, code: usize) {
        if !self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in) {
            return;
        }
        let method = record.series.method;
        let mut fields = SideLog::fields();
        fields.text("method", &format!("/{}/{}", method.service, method.name));
        let key = |message: &[u8]| {
            let key = first_key(method.service, method.name, message)?;
            Some(String::from_utf8_lossy(prefix(key)).into_owned())
        };
        if let Some(prefix) = record.with_message(key) {
            fields.text("key-prefix", &prefix);
        }
        if let Some(user) = record.user() {
            fields.text("user", &beginning(user));
        }
        if let Some(peer) = record.peer {
            fields.text("peer", &peer.to_string());
        }
        fields.number("request-bytes", record.received_bytes());
        fields.number("response-bytes", answered.bytes);
        if let Some(revision) = answered.revision(method.name == "RangeStream") {
            fields.number("revision", revision);
        }
        fields.text("code", CODES[code]);
        fields.text("took", &go_duration(record.began.elapsed()));
        self.log.put("access", &fields);
    }

    /// Waits until all lines are written, but not for long. Blocks.
    pub(crate) fn flush(&self) {
        self.log.flush();
    }
}

/// As much of a user's name as is told.
fn beginning(user: &str) -> Cow<'_, str> {
    String::from_utf8_lossy(&user.as_bytes()[..user.len().min(USER_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_also_inside_a_character() {
        assert_eq!(beginning("root"), "root");
        let before = "a".repeat(USER_BYTES_MAX - 1);
        let long = format!("{before}é{}", "b".repeat(100_000));
        assert_eq!(beginning(&long), format!("{before}\u{fffd}"));
    }
}
