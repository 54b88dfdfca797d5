//! The log, in etcd's form: one JSON object a line on stderr, or text for people.

use crate::config::{Config, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Sends what the crates report to stderr or stdout, from the configured level on. A second
/// call in one process changes nothing.
pub fn start(config: &Config) {
    install(&config.log_level, config.log_format, config.log_to_stdout);
}

/// Sends it as JSON to stderr: for a configuration that cannot be used.
pub(crate) fn start_plain() {
    install("info", LogFormat::Json, false);
}

fn install(level: &str, format: LogFormat, to_stdout: bool) {
    let level = match level {
        "panic" | "fatal" => "error",
        level => level,
    };
    // The libraries below speak up only when something is wrong.
    let filter = EnvFilter::new(format!(
        "warn,drystone={level},drystone_server={level},drystone_peer={level},drystone_tls={level},drystone_member={level},drystone_machine={level},drystone_rocks={level},drystone_watch={level},drystone_raft={}",
        if level == "debug" { "debug" } else { "warn" }
    ));
    let writer = if to_stdout {
        BoxMakeWriter::new(std::io::stdout)
    } else {
        BoxMakeWriter::new(std::io::stderr)
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let installed = match format {
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        LogFormat::Console => subscriber.with_ansi(false).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("a log is installed already");
    }
}
