//! What an operator is told about a configuration besides its errors.

use std::fmt;

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteLevel {
    /// Good to know.
    Info,
    /// Something the operator should change.
    Warn,
}

/// A line for the log, made before there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub level: NoteLevel,
    /// The message.
    pub message: String,
    /// A field of the line, by etcd's name, and its value.
    pub field: Option<(&'static str, String)>,
}

impl Note {
    pub(super) fn info(message: impl Into<String>) -> Self {
        Self { level: NoteLevel::Info, message: message.into(), field: None }
    }

    pub(super) fn warn(message: impl Into<String>) -> Self {
        Self { level: NoteLevel::Warn, message: message.into(), field: None }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.field = Some((name, value.into()));
        self
    }

    /// Writes the note to the log.
    pub fn log(&self) {
        /// A field's name is part of a line's fixed form, so each has an arm of its own.
        macro_rules! line {
            ($level:ident) => {
                match &self.field {
                    None => tracing::$level!("{}", self.message),
                    Some((name, value)) => match *name {
                        "path" => tracing::$level!(path = value, "{}", self.message),
                        "host" => tracing::$level!(host = value, "{}", self.message),
                        "key" => tracing::$level!(key = value, "{}", self.message),
                        "data-dir" => tracing::$level!("data-dir" = value, "{}", self.message),
                        "variable-name" => {
                            tracing::$level!("variable-name" = value, "{}", self.message)
                        }
                        "environment-variable" => {
                            tracing::$level!("environment-variable" = value, "{}", self.message)
                        }
                        _ => tracing::$level!(error = value, "{}", self.message),
                    },
                }
            };
        }
        match self.level {
            NoteLevel::Info => line!(info),
            NoteLevel::Warn => line!(warn),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            None => write!(f, "{}", self.message),
            Some((name, value)) => write!(f, "{} ({name}: {value})", self.message),
        }
    }
}
