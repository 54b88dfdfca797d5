//! What becomes of a command line: a server, a text to print, or a refusal.

use super::Config;
use super::help::USAGE;
use super::note::Note;
use std::fmt;
use std::io::Write;

/// What a command line asks for.
#[derive(Debug)]
pub enum Parsed {
    /// Run a server.
    Run {
        /// How.
        config: Box<Config>,
        /// What the operator should know, to be logged once logging is up.
        notes: Vec<Note>,
    },
    /// Print this and end well.
    Print(Printout),
}

/// A text that was asked for.
#[derive(Debug)]
pub struct Printout {
    /// What goes to stderr, before the rest: the usage, as Go prints it.
    pub stderr: String,
    /// What goes to stdout.
    pub stdout: String,
}

impl fmt::Display for Printout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.stderr, self.stdout)
    }
}

/// How a refusal is told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Telling {
    /// On stderr with the usage behind it: a flag that cannot be read.
    Usage,
    /// As a line of the log: a configuration that makes no sense.
    Log,
    /// On stderr as it is.
    Plain,
    /// As a fatal line of the log, with the variable that is in the way.
    Shadowed(String),
}

/// A command line, a variable or a file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    /// What is wrong, in etcd's words where it has any.
    pub message: String,
    /// The exit code: 2 for a flag that cannot be read, 1 for a configuration that makes no
    /// sense, as etcd.
    pub code: u8,
    /// What would be right, if the message does not say it.
    pub hint: Option<String>,
    telling: Telling,
    /// What was noted before.
    notes: Vec<Note>,
}

/// etcd warns of this one twice.
const ADVERTISE_UNSET: &str =
    "--advertise-client-urls is required when --listen-client-urls is set explicitly";

impl UsageError {
    fn new(message: String, code: u8, telling: Telling) -> Self {
        Self { message, code, hint: None, telling, notes: Vec::new() }
    }

    pub(super) fn flag(message: String) -> Self {
        Self::new(message, 2, Telling::Usage)
    }

    pub(super) fn config(message: impl Into<String>) -> Self {
        Self::new(message.into(), 1, Telling::Log)
    }

    pub(super) fn plain(message: String) -> Self {
        Self::new(message, 1, Telling::Plain)
    }

    pub(super) fn shadowed(variable: &str) -> Self {
        let message = "conflicting environment variable is shadowed by corresponding \
                       command-line flag (either unset environment variable or disable flag))";
        Self::new(message.to_owned(), 1, Telling::Shadowed(variable.to_owned()))
    }

    pub(super) fn advertise_unset() -> Self {
        Self::config(ADVERTISE_UNSET)
    }

    pub(super) fn with_hint(mut self, hint: String) -> Self {
        self.hint = Some(hint);
        self
    }

    pub(super) fn after(mut self, notes: Vec<Note>) -> Self {
        self.notes = notes;
        self
    }

    /// Whether the refusal is to be told in the log, so that a log must be started first.
    #[must_use]
    pub fn goes_to_the_log(&self) -> bool {
        matches!(self.telling, Telling::Log | Telling::Shadowed(_))
    }

    /// Tells the operator, on stderr or in the log, as etcd does.
    pub fn tell(&self) {
        if self.goes_to_the_log() {
            for note in &self.notes {
                note.log();
            }
        }
        match &self.telling {
            Telling::Usage => tell(std::io::stderr(), &format!("{self}\n{USAGE}\n")),
            Telling::Plain => tell(std::io::stderr(), &format!("{self}\n")),
            Telling::Shadowed(variable) => {
                tracing::error!("environment-variable" = variable, "{}", self.message);
            }
            Telling::Log => {
                tracing::warn!(error = self.message, hint = self.hint, "failed to verify flags");
                if self.message == ADVERTISE_UNSET {
                    let error = &self.message;
                    tracing::warn!(error, "advertise client URLs are not set");
                }
            }
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.telling, &self.hint) {
            (Telling::Shadowed(variable), _) => write!(f, "{} ({variable})", self.message),
            (_, Some(hint)) => write!(f, "{}\n{hint}", self.message),
            (_, None) => write!(f, "{}", self.message),
        }
    }
}

/// Writes a text to whoever asked for it. That he reads no further (`drystone --help | head`)
/// changes nothing about how the program ends.
pub(crate) fn tell(mut to: impl Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}
