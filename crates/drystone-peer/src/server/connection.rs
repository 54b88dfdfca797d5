//! Connections that others open.

use super::answer;
use crate::io::{Listen, Opened, WriteDeadline};
use crate::transport::Inner;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Pause after a failed accept, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection may take to become ready, its handshake included (etcd: 10 s).
const OPENING_MAX: Duration = Duration::from_secs(10);

/// Accepts until the transport stops. At the bound, further connections wait in the kernel.
pub(crate) async fn serve(transport: Arc<Inner>, mut listener: impl Listen) {
    let room = Arc::new(Semaphore::new(transport.shared.config.connections_max));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok(opening) => {
                let shared = &transport.shared;
                let (stop, served) = (shared.stop.clone(), Arc::clone(&transport));
                let task = async move {
                    let opened = stop.run_until_cancelled(timeout(OPENING_MAX, opening)).await;
                    match opened {
                        Some(Ok(Ok(opened))) => serve_connection(served, opened).await,
                        Some(Ok(Err(error))) => {
                            tracing::debug!(%error, "a peer's connection came to nothing");
                        }
                        Some(Err(_)) => tracing::debug!("a peer's connection took too long"),
                        None => {}
                    }
                    drop(permit);
                };
                shared.tasks.spawn_on(task, &shared.runtime);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer's connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until it ends, or until the transport stops.
pub(crate) async fn serve_connection(transport: Arc<Inner>, opened: Opened) {
    let Opened { stream, is_proven } = opened;
    let shared = Arc::clone(&transport.shared);
    let config = &shared.config;
    let io = TokioIo::new(WriteDeadline::new(stream, config.write_timeout));
    let service = service_fn(move |request| {
        let transport = Arc::clone(&transport);
        async move { Ok::<_, Infallible>(answer(transport, request, is_proven).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(config.idle_timeout);
    let mut connection = std::pin::pin!(http.serve_connection(io, service));
    tokio::select! {
        outcome = &mut connection => return ended(outcome),
        () = shared.stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    // Streams end by themselves, since their queues are closed.
    if let Ok(outcome) = timeout(config.stop_timeout, connection).await {
        ended(outcome);
    }
}

fn ended(outcome: hyper::Result<()>) {
    if let Err(error) = outcome {
        tracing::trace!(%error, "a peer's connection ended");
    }
}
