//! Other members and clients' bytes.

use super::of;
use crate::family::{Family, NONE, Section, counter, doubling, gauge, histogram};

pub(super) const FAMILIES: [Family; 18] = of(
    Section::Network,
    [
        gauge(
            "etcd_network_active_peers",
            &["Local", "Remote"],
            "1 while calls to the other member work.",
        )
        .open(),
        gauge(
            "etcd_network_known_peers",
            &["Local", "Remote"],
            "1 for members of the cluster, this one too; 0 for those that were.",
        )
        .open(),
        counter(
            "etcd_network_disconnected_peers_total",
            &["Local", "Remote"],
            "How often calls to the other member ceased to work.",
        )
        .open(),
        counter(
            "etcd_network_peer_sent_bytes_total",
            &["To"],
            "Bytes of messages to the other member.",
        )
        .open(),
        counter(
            "etcd_network_peer_sent_failures_total",
            &["To"],
            "Calls to the other member that failed.",
        )
        .open(),
        counter(
            "etcd_network_peer_received_bytes_total",
            &["From"],
            "Bytes of messages from the other member.",
        )
        .open(),
        counter(
            "etcd_network_peer_received_failures_total",
            &["From"],
            "Messages from the other member that were broken or not taken.",
        )
        .open(),
        histogram(
            "etcd_network_peer_round_trip_time_seconds",
            &["To"],
            doubling(0.000_1, 16),
            "Smoothed round trips of probes to the other member.",
        )
        .open(),
        counter("etcd_network_client_grpc_sent_bytes_total", NONE, "Bytes of answers to clients."),
        counter(
            "etcd_network_client_grpc_received_bytes_total",
            NONE,
            "Bytes of clients' requests.",
        ),
        counter(
            "etcd_network_snapshot_send_success",
            &["To"],
            "Snapshots that the other member took over.",
        )
        .open(),
        counter(
            "etcd_network_snapshot_send_failures",
            &["To"],
            "Snapshots that the other member did not take over.",
        )
        .open(),
        gauge(
            "etcd_network_snapshot_send_inflights_total",
            &["To"],
            "Snapshots on their way to the other member.",
        )
        .open(),
        histogram(
            "etcd_network_snapshot_send_total_duration_seconds",
            &["To"],
            doubling(0.1, 10),
            "Time of sending a snapshot to the other member.",
        )
        .open(),
        counter(
            "etcd_network_snapshot_receive_success",
            &["From"],
            "Snapshots that came in from the other member.",
        )
        .open(),
        counter(
            "etcd_network_snapshot_receive_failures",
            &["From"],
            "Snapshots of the other member that broke off or were refused.",
        )
        .open(),
        gauge(
            "etcd_network_snapshot_receive_inflights_total",
            &["From"],
            "Snapshots that are coming in from the other member.",
        )
        .open(),
        histogram(
            "etcd_network_snapshot_receive_total_duration_seconds",
            &["From"],
            doubling(0.1, 10),
            "Time of receiving a snapshot of the other member.",
        )
        .open(),
    ],
);
