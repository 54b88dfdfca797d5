//! Calls.

use super::of;
use crate::Bounds;
use crate::family::{Family, Section, counter, histogram};

const CALL: &[&str] = &["grpc_type", "grpc_service", "grpc_method"];
const CALL_AND_CODE: &[&str] = &["grpc_type", "grpc_service", "grpc_method", "grpc_code"];

/// Seconds of calls (the default of Prometheus' own library).
const HANDLING: Bounds =
    Bounds::Listed(&[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);

pub(super) const FAMILIES: [Family; 5] = of(
    Section::Grpc,
    [
        counter("grpc_server_started_total", CALL, "Calls that began."),
        counter("grpc_server_handled_total", CALL_AND_CODE, "Calls that ended, by their code."),
        counter("grpc_server_msg_received_total", CALL, "Messages that clients sent."),
        counter("grpc_server_msg_sent_total", CALL, "Messages that were sent to clients."),
        histogram(
            "grpc_server_handling_seconds",
            CALL,
            HANDLING,
            "Time of calls; only with --metrics=extensive.",
        ),
    ],
);
