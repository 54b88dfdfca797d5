//! Where a command reads from and writes to.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};

/// Standard streams and environment of one run. Tests give their own.
pub struct Io {
    /// Values of `put`, transactions, commands of `watch -i`, passwords.
    pub stdin: Box<dyn BufRead + Send>,
    /// What was asked for.
    pub stdout: Box<dyn Write + Send>,
    /// What went wrong.
    pub stderr: Box<dyn Write + Send>,
    /// Environment variables; those that begin with `ETCDCTL_` matter.
    pub env: BTreeMap<String, String>,
}

impl Io {
    /// The process's own.
    pub fn process() -> Io {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Io {
            stdin: Box::new(BufReader::new(std::io::stdin())),
            stdout: Box::new(std::io::stdout()),
            stderr: Box::new(std::io::stderr()),
            env: std::env::vars_os().filter_map(text).collect(),
        }
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

/// Longest line that is read, in bytes: more than any request that a server takes.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// The next line without its newline; `None` at the end, also after a part of a line.
pub(crate) fn read_line(input: &mut dyn BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok(line.pop_if(|last| *last == b'\n').map(|_| line))
}
