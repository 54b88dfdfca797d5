//! One run from beginning to end.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use drystone_client::Endpoint;

use crate::Error;
use crate::args::{Bench, Common};
use crate::keys::Keys;
use crate::process::{self, ServerUse};
use crate::report::Report;
use crate::wire::Wire;
use crate::work::{self, Bed};

/// Runs one benchmark on the current runtime.
///
/// # Errors
/// Endpoints that cannot be reached, steps before or after the load that fail. Requests that
/// fail under load are counted in the report.
pub async fn run(bench: &Bench) -> Result<Report, Error> {
    let bed = bed(&bench.common).await?;
    if bench.work.reads() && !bench.common.no_fill {
        work::fill(&bed).await?;
    }
    let before = cpu(&bench.common)?;
    let outcome = work::run(&bench.work, &bed).await?;
    let after = cpu(&bench.common)?;
    if bench.common.clean {
        work::clean(&bed).await?;
    }
    let spent = |at: usize| after[at] - before[at];
    let pids = &bench.common.server_pids;
    let all: f64 = (1..after.len()).map(spent).sum();
    let server = |(at, &pid): (usize, &u32)| {
        let (rss_bytes, rss_peak_bytes) = process::memory(pid);
        let ops_per_cpu_second = outcome.load.done as f64 / all.max(0.01);
        ServerUse { pid, cpu_seconds: spent(at + 1), ops_per_cpu_second, rss_bytes, rss_peak_bytes }
    };
    Ok(Report {
        bench: bench.work.name().to_owned(),
        clients: bench.common.clients,
        connections: bench.common.connections,
        generator_cpu_seconds: spent(0),
        servers: pids.iter().enumerate().map(server).collect(),
        error_texts: outcome.recorder.errors(),
        load: outcome.load,
        puts: outcome.puts,
        walks: outcome.walks,
        conflicts: outcome.conflicts,
        events_missing: outcome.events_missing,
    })
}

/// Opens the connections, spread over the endpoints.
async fn bed(common: &Common) -> Result<Arc<Bed>, Error> {
    let parsed: Result<Vec<Endpoint>, _> =
        common.endpoints.iter().map(|endpoint| Endpoint::parse(endpoint)).collect();
    let endpoints = parsed.map_err(drystone_client::Error::from)?;
    if endpoints.is_empty() {
        return Err(drystone_client::Error::NoEndpoints.into());
    }
    let wires: Vec<Wire> = endpoints
        .iter()
        .cycle()
        .take(common.connections as usize)
        .map(|endpoint| Wire::new(endpoint, common.request_timeout))
        .collect();
    for wire in &wires {
        wire.connect().await?;
    }
    Ok(Arc::new(Bed { common: common.clone(), keys: Keys::new(common), wires }))
}

/// Processor times of this process and of the servers.
fn cpu(common: &Common) -> Result<Vec<f64>, Error> {
    let own = std::process::id();
    let pids = [own].into_iter().chain(common.server_pids.iter().copied());
    pids.map(|pid| process::cpu_seconds(pid).ok_or(Error::NoProcess { pid })).collect()
}

/// Parses a command line (the first word is the program's name), runs it on a runtime of its
/// own and prints the report: what `main` does.
pub fn run_process(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let bench = match Bench::try_parse_from(args) {
        Ok(bench) => bench,
        Err(error) => {
            // Help and version go to standard output, the rest to standard error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let runtime = match bench.common.threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        threads => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(usize::from(threads))
            .enable_all()
            .build(),
    };
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(&bench)).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let (text, code) = match result {
        Ok(report) => {
            let text = if bench.common.json { json(&report) } else { report.to_string() };
            let failed = report.load.done == 0 && report.load.errors > 0;
            (text, ExitCode::from(u8::from(failed)))
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "Error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn json(report: &Report) -> String {
    let mut text = serde_json::to_string(report).expect("a report is numbers and strings");
    text.push('\n');
    text
}
