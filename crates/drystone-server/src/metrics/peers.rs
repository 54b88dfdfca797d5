//! Other members: round trips as probes come back, and snapshots on their way.

use crate::shared::Shared;
use drystone_metrics::Registry;
use drystone_peer::{PeerStatus, Phase, Transfer};
use drystone_types::MemberId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often it is looked for probes that came back; they are further apart.
const PROBES_PAUSE: Duration = Duration::from_secs(2);
/// The sender of a snapshot before its message is read, as etcd calls it.
const UNKNOWN_SENDER: &str = "UNKNOWN_SNAPSHOT_SENDER";

/// Counts the round trips of probes until told to stop.
pub(crate) async fn follow_peers(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut seen: BTreeMap<MemberId, u64> = BTreeMap::new();
    loop {
        if let Some(transport) = shared.transport.get() {
            let peers = transport.peers();
            seen.retain(|id, _| peers.iter().any(|peer| peer.id == *id));
            for peer in &peers {
                let before = seen.insert(peer.id, peer.probes).unwrap_or_default();
                if let (true, Some(round_trip)) = (peer.probes > before, peer.round_trip) {
                    let labels = [&*peer.id.to_string()];
                    let name = "etcd_network_peer_round_trip_time_seconds";
                    shared.metrics.registry.histogram(name, &labels).record(round_trip);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PROBES_PAUSE) => {}
            _ = stop.changed() => return,
        }
    }
}

/// Counts what became of a snapshot's transfer.
pub(super) fn transferred(registry: &Registry, transfer: &Transfer) {
    let name = transfer.peer.map(|id| id.to_string());
    let labels = [name.as_deref().unwrap_or(UNKNOWN_SENDER)];
    if !transfer.incoming {
        // The rest is in the peer's status.
        if let Phase::Done(took) = transfer.phase {
            let name = "etcd_network_snapshot_send_total_duration_seconds";
            registry.histogram(name, &labels).record(took);
        }
        return;
    }
    match transfer.phase {
        Phase::Begun => {
            registry.gauge("etcd_network_snapshot_receive_inflights_total", &labels).increment(1.0);
            return;
        }
        Phase::Done(took) => {
            registry.counter("etcd_network_snapshot_receive_success", &labels).increment(1);
            let name = "etcd_network_snapshot_receive_total_duration_seconds";
            registry.histogram(name, &labels).record(took);
            registry.histogram("etcd_snap_db_save_total_duration_seconds", &[]).record(took);
        }
        Phase::Failed => {
            registry.counter("etcd_network_snapshot_receive_failures", &labels).increment(1);
        }
    }
    if transfer.peer.is_some() {
        registry.gauge("etcd_network_snapshot_receive_inflights_total", &labels).decrement(1.0);
    }
}

/// Shows what the transport counts of one far end. `local` is this member.
pub(super) fn sample(registry: &Registry, local: MemberId, peer: &PeerStatus) {
    let (local, remote) = (local.to_string(), peer.id.to_string());
    let (pair, one) = ([&*local, &*remote], [&*remote]);
    let active = f64::from(u8::from(peer.active_since.is_some()));
    registry.gauge("etcd_network_active_peers", &pair).set(active);
    #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
    let count = |name, labels: &[&str], number: u64| {
        registry.counted_elsewhere(name, labels).set(number as f64);
    };
    count("etcd_network_disconnected_peers_total", &pair, peer.disconnects);
    count("etcd_network_peer_sent_bytes_total", &one, peer.sent_bytes);
    count("etcd_network_peer_sent_failures_total", &one, peer.sent_failures);
    count("etcd_network_peer_received_bytes_total", &one, peer.received_bytes);
    count("etcd_network_peer_received_failures_total", &one, peer.received_failures);
    count("drystone_peer_dropped_messages_total", &one, peer.dropped_messages);
    if peer.snapshots_sent + peer.snapshots_failed + peer.snapshots_in_flight > 0 {
        count("etcd_network_snapshot_send_success", &one, peer.snapshots_sent);
        count("etcd_network_snapshot_send_failures", &one, peer.snapshots_failed);
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
        let in_flight = peer.snapshots_in_flight as f64;
        registry.gauge("etcd_network_snapshot_send_inflights_total", &one).set(in_flight);
    }
    if let Some(nanos) = peer.clock_difference_nanos {
        #[expect(clippy::cast_precision_loss, reason = "a difference of clocks is rough")]
        let seconds = nanos as f64 / 1e9;
        registry.gauge("drystone_peer_clock_difference_seconds", &one).set(seconds);
    }
}
