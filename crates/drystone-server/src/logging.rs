//! The log, in etcd's form: one JSON object a line, or text for people, to where
//! `--log-outputs` says.
//!
//! Who logs never waits: a line goes into a bounded queue, which a thread of its own writes out.
//! When the outputs cannot keep up, lines are lost, counted, and the count is logged.

mod level;
mod line;
mod output;
mod queue;
mod rotation;
mod sampler;
mod side;

use crate::config::{Config, LogFormat, LogOutput};
use level::Level;
use line::{Head, Line};
use output::Output;
use queue::Queue;
use sampler::Sampler;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

pub(crate) use line::{Fields, timestamp};
pub use output::OpenError;
pub(crate) use side::SideLog;

/// How long the end of the process waits for the last lines: an output may hang.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The log of this process, once there is one.
static LOG: OnceLock<(Queue, LogFormat)> = OnceLock::new();

/// Sends what the crates report to the configured outputs, from the configured level on, and
/// panics too. A second call in one process changes nothing.
///
/// # Errors
/// An output that cannot be opened, in etcd's words.
pub fn start(config: &Config) -> Result<(), OpenError> {
    if LOG.get().is_some() {
        return Ok(());
    }
    let rotation = config.log_rotation.as_ref();
    let open = |output: &LogOutput| Output::open(output, rotation);
    let outputs = config.log_outputs.iter().map(open).collect::<Result<_, _>>()?;
    install(Level::named(&config.log_level), config.log_format, outputs);
    Ok(())
}

/// Sends it as JSON to stderr: for a configuration that cannot be used.
pub(crate) fn start_plain() {
    install(Level::Info, LogFormat::Json, vec![Output::stderr()]);
}

/// The words of a command line as they may be logged.
pub(crate) fn without_secrets(words: &[String]) -> Vec<String> {
    let mut hides_next = false;
    let show = |word: &String| {
        if std::mem::take(&mut hides_next) {
            return "...".to_owned();
        }
        let (name, value) =
            word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v)));
        if !crate::config::is_secret(name.trim_start_matches('-')) {
            return word.clone();
        }
        hides_next = value.is_none();
        value.map_or_else(|| word.clone(), |_| format!("{name}=..."))
    };
    words.iter().map(show).collect()
}

/// Waits until all that was logged is written, but not for long. To be called before the
/// process ends.
pub fn flush() {
    if let Some((queue, _)) = LOG.get() {
        queue.flush(FLUSH_MAX);
    }
}

fn install(least: Level, format: LogFormat, outputs: Vec<Output>) {
    let Ok(queue) = Queue::start("logger", outputs, format) else {
        eprintln!("cannot start the log's thread; nothing is logged");
        return;
    };
    let lines = Lines::new(queue.clone(), format, least);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(least)));
    if subscriber.try_init().is_err() {
        tracing::debug!("a log is installed already");
        return;
    }
    if LOG.set((queue, format)).is_ok() {
        log_panics();
    }
}

/// The libraries below speak up only when something is wrong: what they say at length may hold
/// what clients sent. That a client does not keep to HTTP/2 is wrong with the client alone, which
/// could fill the log with it: connections that were ended are counted instead.
fn filter(least: Level) -> Targets {
    let own = match least {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error | Level::Panic | Level::Fatal => LevelFilter::ERROR,
    };
    let raft = if least == Level::Debug { own } else { own.min(LevelFilter::WARN) };
    let http2 = own.min(if least == Level::Debug { LevelFilter::WARN } else { LevelFilter::ERROR });
    Targets::new()
        .with_default(own.min(LevelFilter::WARN))
        .with_target("h2", http2)
        .with_target("drystone", own)
        .with_target("drystone_raft", raft)
}

/// Logs a panic and waits for the line, for the process may end with it.
fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some((queue, format)) = LOG.get() {
            let place = panic.location().map(|place| (place.file(), place.line()));
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let mut fields = Fields::new(*format);
            let thread = std::thread::current();
            fields.text("thread", thread.name().unwrap_or_default());
            let head = Head { time: SystemTime::now(), level: Level::Panic, logger: None, place };
            queue.put(Line::new(*format, &head, text.unwrap_or("a panic"), &fields));
            queue.flush(FLUSH_MAX);
        }
        before(panic);
    }));
}

/// Makes lines of events.
#[derive(Debug)]
struct Lines {
    queue: Queue,
    format: LogFormat,
    least: Level,
    sampler: Sampler,
}

impl Lines {
    fn new(queue: Queue, format: LogFormat, least: Level) -> Self {
        Self { queue, format, least, sampler: Sampler::default() }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::new(self.format);
        event.record(&mut fields);
        let metadata = event.metadata();
        let level = fields.level.unwrap_or_else(|| Level::of(*metadata.level()));
        let time = SystemTime::now();
        if level < self.least || !self.sampler.admits(level, &fields.message, time) {
            return;
        }
        // Events of the crate `log` carry where they come from as fields.
        let target = fields.target.take();
        let target = target.as_deref().unwrap_or_else(|| metadata.target());
        let root = target.split("::").next().unwrap_or(target);
        let own = metadata.file().zip(metadata.line());
        let file = fields.file.take();
        let place = file.as_deref().zip(fields.line).or(own);
        let logger = (!root.starts_with("drystone")).then_some(root);
        let head = Head { time, level, logger, place };
        self.queue.put(Line::new(self.format, &head, &fields.message, &fields));
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
