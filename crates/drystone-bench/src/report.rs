//! What came out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::Recorder;
use crate::process::ServerUse;

/// The result of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was done, by its word on the command line.
    pub bench: String,
    /// Requests at once.
    pub clients: u32,
    /// Connections.
    pub connections: u32,
    /// Requests, or events delivered, and their times.
    pub load: Load,
    /// The puts that made the events of a watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub puts: Option<Load>,
    /// Whole walks over all pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walks: Option<Load>,
    /// Guarded updates that found the key changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<u64>,
    /// Events that should have come and did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_missing: Option<u64>,
    /// Processor time of this process, in seconds.
    pub generator_cpu_seconds: f64,
    /// What the servers named on the command line used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerUse>,
    /// Failed requests by what went wrong.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_texts: BTreeMap<String, u64>,
}

/// How many, how fast, how long.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Load {
    /// Those that succeeded.
    pub done: u64,
    /// Those that did not.
    pub errors: u64,
    /// From the first to the last, in seconds.
    pub seconds: f64,
    /// Successes a second.
    pub per_second: f64,
    /// Key-value pairs received, where responses carry them.
    #[serde(skip_serializing_if = "is_zero")]
    pub items: u64,
    /// Bytes of responses, where they carry pairs.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Times of those that succeeded.
    pub latency_us: Latency,
}

/// Times, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Load {
    pub(crate) fn new(recorder: &Recorder, took: Duration) -> Load {
        let done = recorder.done.load(Ordering::Relaxed);
        let seconds = took.as_secs_f64();
        Load {
            done,
            errors: recorder.failed(),
            seconds,
            per_second: if seconds > 0.0 { done as f64 / seconds } else { 0.0 },
            items: recorder.items.load(Ordering::Relaxed),
            bytes: recorder.bytes.load(Ordering::Relaxed),
            latency_us: Latency::new(&recorder.histogram()),
        }
    }
}

impl Latency {
    fn new(histogram: &Histogram<u64>) -> Latency {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Latency {
            mean: histogram.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(histogram.max()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit) = match self.bench.as_str() {
            "watch" => ("events", "events/s"),
            "page" => ("pages", "pages/s"),
            _ => ("requests", "ops/s"),
        };
        writeln!(
            f,
            "{}: {} {what} in {:.3} s, {} errors ({} clients, {} connections)",
            self.bench,
            self.load.done,
            self.load.seconds,
            self.load.errors,
            self.clients,
            self.connections
        )?;
        self.load.write(f, unit)?;
        if let Some(puts) = &self.puts {
            writeln!(f, "puts: {} in {:.3} s, {} errors", puts.done, puts.seconds, puts.errors)?;
            puts.write(f, "puts/s")?;
        }
        if let Some(walks) = &self.walks {
            writeln!(f, "walks: {}", walks.done)?;
            walks.write(f, "walks/s")?;
        }
        if let Some(conflicts) = self.conflicts {
            writeln!(f, "  conflicts   {conflicts}")?;
        }
        if let Some(missing) = self.events_missing.filter(|&missing| missing > 0) {
            writeln!(f, "  missing     {missing} events")?;
        }
        let share = 100.0 * self.generator_cpu_seconds / self.load.seconds.max(1e-9);
        writeln!(f, "  generator   {:.2} s cpu ({share:.0} %)", self.generator_cpu_seconds)?;
        for server in &self.servers {
            writeln!(
                f,
                "  server {}  {:.2} s cpu, {:.0} per cpu second, {:.1} MB memory, at most {:.1} MB",
                server.pid,
                server.cpu_seconds,
                server.ops_per_cpu_second,
                server.rss_bytes as f64 / 1e6,
                server.rss_peak_bytes as f64 / 1e6
            )?;
        }
        for (text, count) in &self.error_texts {
            writeln!(f, "  error       {count} x {text}")?;
        }
        Ok(())
    }
}

impl Load {
    fn write(&self, f: &mut fmt::Formatter<'_>, unit: &str) -> fmt::Result {
        writeln!(f, "  throughput  {:.1} {unit}", self.per_second)?;
        if self.items > 0 {
            let per_second = self.items as f64 / self.seconds.max(1e-9);
            let megabytes = self.bytes as f64 / 1e6 / self.seconds.max(1e-9);
            writeln!(f, "  pairs       {per_second:.0} /s, {megabytes:.1} MB/s")?;
        }
        let ms = |micros: f64| micros / 1e3;
        let l = &self.latency_us;
        writeln!(
            f,
            "  latency ms  p50 {:.3}  p90 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.3}  mean {:.3}",
            ms(l.p50),
            ms(l.p90),
            ms(l.p99),
            ms(l.p999),
            ms(l.max),
            ms(l.mean)
        )
    }
}
