//! What becomes of simple tokens.

use drystone_backend::MemBackend;
use drystone_machine::{MachineConfig, TokenChange};
use drystone_member::{Applier, ApplierConfig};
use std::sync::Arc;
use std::time::Duration;

/// What it stands for may have removed users and changed passwords.
#[test]
fn a_snapshot_ends_all_simple_tokens() {
    let config = ApplierConfig {
        machine: MachineConfig::default(),
        flush_entries: u64::MAX,
        lease_extend: Duration::from_secs(1),
        expiries_max: 1,
        checkpoints_max: 1,
    };
    let mut applier: Applier<u64> = Applier::open(Arc::new(MemBackend::new()), config).unwrap();
    let done = applier.install(Arc::new(MemBackend::new())).unwrap();
    assert_eq!(done.tokens, [TokenChange::AllDropped]);
}
