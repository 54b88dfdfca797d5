//! Where lines go: standard streams, files, systemd's journal.

use super::line::Line;
use super::rotation::LogFile;
use crate::config::{LogOutput, LogRotation};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where systemd takes entries of its journal.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// An output that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file, named or rotated.
    #[error("couldn't open sink {path:?}: open {}: {}", path.display(), go_text(.error))]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The thread that writes.
    #[error("cannot start the thread of a log")]
    Thread(#[source] io::Error),
    /// The journal's socket.
    #[error("can't find journal (dial unixgram {}: connect: {})", path.display(), go_text(.error))]
    Journal {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// The system's reasons as Go words them.
fn go_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::NotADirectory => "not a directory".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}

/// An open output.
pub(super) enum Output {
    Stream(Box<dyn Write + Send>),
    File(LogFile),
    Journal(Journal),
}

impl Output {
    pub(super) fn stderr() -> Self {
        Self::Stream(Box::new(io::stderr()))
    }

    /// Opens an output.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(
        output: &LogOutput,
        rotation: Option<&LogRotation>,
    ) -> Result<Self, OpenError> {
        match output {
            LogOutput::Stderr => Ok(Self::stderr()),
            LogOutput::Stdout => Ok(Self::Stream(Box::new(io::stdout()))),
            LogOutput::Journal => Journal::open(Path::new(JOURNAL)).map(Self::Journal),
            LogOutput::File(path) => {
                let file = LogFile::open(path, rotation.cloned());
                let fail = |error| OpenError::File { path: path.clone(), error };
                file.map(Self::File).map_err(fail)
            }
        }
    }

    /// Writes lines, all or as far as it goes.
    pub(super) fn write(&mut self, lines: &[Line]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                stream.write_all(&joined(lines))?;
                stream.flush()
            }
            Self::File(file) => file.write(&joined(lines)),
            Self::Journal(journal) => lines.iter().try_for_each(|line| journal.write(line)),
        }
    }
}

fn joined(lines: &[Line]) -> Vec<u8> {
    let parts: Vec<&[u8]> = lines.iter().map(|line| line.bytes.as_slice()).collect();
    parts.concat()
}

/// The socket of systemd's journal.
pub(super) struct Journal {
    socket: UnixDatagram,
    program: String,
}

impl Journal {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let connect = || {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            Ok(socket)
        };
        let fail = |error| OpenError::Journal { path: path.to_path_buf(), error };
        let program = std::env::args_os().next().unwrap_or_default();
        let program = Path::new(&program).file_name().unwrap_or_default();
        let program = program.to_string_lossy().replace('\n', " ");
        Ok(Self { socket: connect().map_err(fail)?, program })
    }

    /// Sends an entry; what the journal does not take goes to stderr, as in etcd.
    pub(super) fn write(&self, line: &Line) -> io::Result<()> {
        let text = line.bytes.strip_suffix(b"\n").unwrap_or(&line.bytes);
        let mut entry = Vec::with_capacity(text.len() + 128);
        write!(entry, "PRIORITY={}\nSYSLOG_IDENTIFIER={}\n", line.level.priority(), self.program)?;
        entry.extend_from_slice(b"PACKAGE=");
        entry.extend_from_slice(&line.bytes[line.package.clone()]);
        // No line has a newline inside, so that the simple form of a field does.
        entry.extend_from_slice(b"\nMESSAGE=");
        entry.extend_from_slice(text);
        entry.push(b'\n');
        match self.socket.send(&entry) {
            Ok(_) => Ok(()),
            Err(_) => io::stderr().write_all(&line.bytes),
        }
    }
}
