//! The member, consensus and applying.

use super::of;
use crate::family::{Family, NONE, Section, counter, doubling, gauge, histogram};

pub(super) const FAMILIES: [Family; 36] = of(
    Section::Server,
    [
        gauge("etcd_server_has_leader", NONE, "1 while this member knows a leader."),
        gauge("etcd_server_is_leader", NONE, "1 while this member leads."),
        gauge("etcd_server_is_learner", NONE, "1 while this member has no vote."),
        counter(
            "etcd_server_leader_changes_seen_total",
            NONE,
            "How often another leader was seen than before.",
        ),
        counter(
            "etcd_server_learner_promote_successes",
            NONE,
            "Learners that were promoted while this member led.",
        ),
        counter(
            "etcd_server_learner_promote_failures",
            &["Reason"],
            "Learners that were not promoted while this member led, by the error.",
        )
        .open(),
        counter(
            "etcd_server_heartbeat_send_failures_total",
            NONE,
            "Ticks of a leader that came more than one interval late.",
        ),
        gauge(
            "etcd_server_snapshot_apply_in_progress_total",
            NONE,
            "1 while a snapshot that came in is being installed.",
        ),
        gauge(
            "etcd_server_proposals_committed_total",
            NONE,
            "Index of the newest committed entry.",
        ),
        gauge("etcd_server_proposals_applied_total", NONE, "Index of the newest applied entry."),
        gauge("etcd_server_proposals_pending", NONE, "Proposals whose callers wait."),
        counter("etcd_server_proposals_failed_total", NONE, "Proposals that were not answered."),
        histogram(
            "etcd_server_request_duration_seconds",
            &["type", "success"],
            doubling(0.001, 14),
            "Time of a proposal or a read from the service to its answer, by kind of request.",
        ),
        histogram(
            "etcd_server_apply_duration_seconds",
            &["version", "op", "success"],
            doubling(0.000_1, 20),
            "Time of applying one entry, by kind of request.",
        )
        .nearest("entries are applied in batches; each counts as its share of the batch"),
        histogram(
            "etcd_server_range_duration_seconds",
            &["success"],
            doubling(0.000_1, 20),
            "Time that a read takes in the store.",
        ),
        counter(
            "etcd_server_slow_apply_total",
            NONE,
            "Entries that took longer to apply than --warning-apply-duration.",
        )
        .nearest("batches that took longer"),
        counter(
            "etcd_server_slow_read_indexes_total",
            NONE,
            "Linearizable reads whose leader took longer than half a second to confirm itself.",
        ),
        counter(
            "etcd_server_read_indexes_failed_total",
            NONE,
            "Linearizable reads that nobody confirmed.",
        ),
        counter(
            "etcd_server_client_requests_total",
            &["type", "client_api_version"],
            "Calls, by the version that the client says it has.",
        )
        .open(),
        gauge("etcd_server_quota_backend_bytes", NONE, "Bytes at which writes stop."),
        gauge("etcd_server_version", &["server_version"], "1 for the version of etcd served."),
        gauge("etcd_server_go_version", &["server_go_version"], "1 for the compiler's version.")
            .nearest("the version of rustc"),
        gauge("etcd_server_id", &["server_id"], "1 for this member's id, in hexadecimal digits."),
        gauge(
            "etcd_server_feature_enabled",
            &["name", "stage"],
            "1 for a feature gate that is open, 0 for one that is shut.",
        ),
        counter("etcd_server_health_success", NONE, "Answers of /health that said healthy."),
        counter("etcd_server_health_failures", NONE, "Answers of /health that said otherwise."),
        gauge(
            "etcd_server_healthcheck",
            &["type", "name"],
            "The last result of a check of /livez or /readyz: 1 is well.",
        ),
        counter(
            "etcd_server_healthchecks_total",
            &["type", "name", "status"],
            "Results of the checks of /livez and /readyz.",
        ),
        gauge(
            "etcd_cluster_version",
            &["cluster_version"],
            "1 for the version that the cluster agreed on, 0 for those it had before.",
        ),
        gauge(
            "etcd_debugging_server_alarms",
            &["server_id", "alarm_type"],
            "1 for an alarm that is set, 0 for one that was.",
        )
        .open(),
        counter(
            "etcd_debugging_server_lease_expired_total",
            NONE,
            "Leases that this member ended as the leader because they ran out.",
        ),
        histogram(
            "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time of giving a response with events to the client's stream.",
        ),
        histogram(
            "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",
            NONE,
            doubling(0.001, 14),
            "That time, by event.",
        ),
        histogram(
            "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time of giving the answer to a create or a cancel to the client's stream.",
        ),
        histogram(
            "etcd_debugging_server_watch_send_loop_progress_duration_seconds",
            NONE,
            doubling(0.001, 14),
            "Time of giving a progress notice to the client's stream.",
        ),
        gauge("etcd_debugging_auth_revision", NONE, "The revision of users and roles."),
    ],
);
