//! What supervisors were told.

use drystone_metrics::{Counter, Registry};
use std::sync::Arc;

/// Handles of `/health`, and the registry for the checks of `/livez` and `/readyz`, which have a
/// series from their first result on, as in etcd.
#[derive(Debug)]
pub(crate) struct ProbeMetrics {
    registry: Arc<Registry>,
    well: Counter,
    ill: Counter,
}

impl ProbeMetrics {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        Self {
            registry: registry.clone(),
            well: registry.counter("etcd_server_health_success", &[]),
            ill: registry.counter("etcd_server_health_failures", &[]),
        }
    }

    /// `/health` was answered. What it refuses to look at, as a POST, is none of its answers.
    pub(crate) fn health(&self, is_well: bool) {
        if is_well { &self.well } else { &self.ill }.increment(1);
    }

    /// A check had a result. `kind` is `livez` or `readyz`, and `name` that of the check: both
    /// from lists in the program, never from a request.
    pub(crate) fn checked(&self, kind: &str, name: &str, is_well: bool) {
        let last = self.registry.gauge("etcd_server_healthcheck", &[kind, name]);
        last.set(if is_well { 1.0 } else { 0.0 });
        let labels = [kind, name, if is_well { "success" } else { "error" }];
        self.registry.counter("etcd_server_healthchecks_total", &labels).increment(1);
    }
}
