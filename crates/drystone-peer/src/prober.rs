//! Asks each peer now and then what time it is: tells a dead path, its delay, and clocks apart.

use crate::CallError;
use crate::PeerUrl;
use crate::call::{Connection, empty, refusal};
use crate::clock::{from_rfc3339, nanos_of};
use crate::peer::Peer;
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;

/// The answer of `/raft/probing`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Probe {
    #[serde(rename = "OK")]
    pub(crate) ok: bool,
    #[serde(rename = "Now")]
    pub(crate) now: String,
}

const PROBE_BYTES_MAX: usize = 4096;
/// From here on etcd warns about clocks.
const CLOCK_DIFFERENCE_WARN_NANOS: i64 = 1_000_000_000;

/// Probes for as long as the peer is a peer. A failed probe marks nothing by itself: the
/// streams judge activity.
pub(crate) async fn run(peer: Arc<Peer>) {
    let mut open: Option<(PeerUrl, Connection)> = None;
    let mut healthy = true;
    loop {
        match probe(&peer, &mut open).await {
            Ok(()) => healthy = true,
            Err(error) => {
                open = None;
                if std::mem::take(&mut healthy) {
                    let error = crate::error::chain(&error);
                    tracing::warn!(peer = %peer.id, error, "prober detected unhealthy status");
                }
            }
        }
        sleep(peer.shared.config.probe_pause).await;
    }
}

async fn probe(peer: &Peer, open: &mut Option<(PeerUrl, Connection)>) -> Result<(), CallError> {
    let url = peer.url()?;
    let connection = match open {
        Some((to, connection)) if *to == url && connection.is_open() => connection,
        _ => {
            let connection = peer.shared.connect(&url).await?;
            &mut open.insert((url, connection)).1
        }
    };
    let sent = Instant::now();
    let answer =
        connection.send(Method::GET, "/raft/probing", HeaderMap::new(), empty(), 0).await?;
    if answer.status() != StatusCode::OK {
        return Err(refusal(connection, answer).await);
    }
    let body = connection.body(answer, PROBE_BYTES_MAX).await?;
    let round_trip = sent.elapsed();
    let probe: Probe =
        serde_json::from_slice(&body).map_err(|_| CallError::Malformed("a probe's"))?;
    let difference = from_rfc3339(&probe.now).and_then(|there| {
        let here = nanos_of(SystemTime::now()) - half_nanos(round_trip);
        i64::try_from(there - here).ok()
    });
    if difference.is_some_and(|d| d.unsigned_abs() > CLOCK_DIFFERENCE_WARN_NANOS.unsigned_abs()) {
        tracing::warn!(peer = %peer.id, difference_nanos = difference, "prober found high clock drift");
    }
    peer.health.probed(round_trip, difference);
    Ok(())
}

fn half_nanos(round_trip: Duration) -> i128 {
    i128::try_from(round_trip.as_nanos() / 2).unwrap_or(0)
}
