//! How much a line matters, by etcd's names.

/// Levels, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
    Panic,
    Fatal,
}

impl Level {
    /// The level of this name; what is no name is `info`.
    pub(super) fn named(name: &str) -> Self {
        let all = [Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Panic, Self::Fatal];
        all.into_iter().find(|level| level.name() == name).unwrap_or(Self::Info)
    }

    pub(super) fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG | tracing::Level::TRACE => Self::Debug,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Fatal => "fatal",
        }
    }

    /// The priority that systemd's journal gives it, as etcd maps them.
    pub(super) fn priority(self) -> u8 {
        match self {
            Self::Debug => 7,
            Self::Info => 6,
            Self::Warn => 4,
            Self::Error => 3,
            Self::Panic | Self::Fatal => 2,
        }
    }
}
