//! A server as a process: what its supervisor tells it and hears of it.
//!
//! SIGTERM and SIGINT end it. Once it has stopped it dies by the same signal, so that a shell sees
//! 143 or 130 as with etcd; as the first process of a container, which no signal kills by default,
//! it ends with 0. A service manager that set `NOTIFY_SOCKET` hears when clients are served.

use crate::{Config, Server};
use sd_notify::NotifyState;
use std::convert::Infallible;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Why a server ended that was not in error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The cluster removed this member.
    Removed,
    /// It was told to, by this signal.
    Told(SignalKind),
}

/// The signals that end a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}

/// Runs a server until its end. Does not return when a signal ended it.
pub(crate) fn run(config: Config, runtime: tokio::runtime::Runtime) -> ExitCode {
    let ended = runtime.block_on(run_until_told(config));
    drop(runtime);
    if let Err(error) = &ended {
        tracing::error!(level = "fatal", error = format!("{error:#}"), "failed to start");
    }
    crate::logging::flush();
    match ended {
        Ok(Ended::Removed) => ExitCode::SUCCESS,
        Ok(Ended::Told(signal)) => die_by(signal),
        Err(_) => ExitCode::FAILURE,
    }
}

async fn run_until_told(config: Config) -> anyhow::Result<Ended> {
    if config.lock_memory {
        crate::memory::lock()?;
    }
    let mut signals = Signals::new()?;
    // A start may wait for other members; who gives up on it is not kept waiting.
    let server = tokio::select! {
        server = Server::start(config) => server?,
        signal = signals.next() => return Ok(Ended::Told(signal)),
    };
    let ended = tokio::select! {
        never = told_when_ready(&server) => match never {},
        signal = signals.next() => {
            let name = if signal == SignalKind::terminate() { "terminated" } else { "interrupt" };
            tracing::info!(signal = name, "received signal; shutting down");
            Ended::Told(signal)
        }
        () = server.removed() => {
            tracing::info!("removed from the cluster; shutting down");
            Ended::Removed
        }
    };
    server.stop().await;
    Ok(ended)
}

/// Tells the service manager, if there is one, once clients are served; never returns.
async fn told_when_ready(server: &Server) -> Infallible {
    server.ready().await;
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        tracing::info!("notifying init daemon");
        match sd_notify::notify(&[NotifyState::Ready]) {
            Ok(()) => tracing::info!("successfully notified init daemon"),
            Err(error) => tracing::error!(%error, "failed to notify systemd for readiness"),
        }
    }
    std::future::pending().await
}

/// Ends the process as the signal would have ended it.
fn die_by(signal: SignalKind) -> ExitCode {
    if std::process::id() == 1 {
        return ExitCode::SUCCESS;
    }
    let number = signal.as_raw_value();
    if let Err(error) = signal_hook::low_level::emulate_default_handler(number) {
        eprintln!("drystone: cannot end by signal {number}: {error}");
    }
    ExitCode::FAILURE
}
