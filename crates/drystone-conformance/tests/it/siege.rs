//! Every attack, small and short: the server stays within its memory and serves. Times are not
//! looked at here: `drystone-conformance siege` holds them, on a machine that is quiet.

use crate::tables::alone;
use drystone_conformance::harness::Program;
use drystone_conformance::siege::{self, Config};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_under_attack_serves_and_keeps_to_its_memory() {
    let _turn = alone().await;
    let program = Program::drystone().unwrap_or_else(|error| panic!("{error}"));
    let config = Config {
        rate: 20,
        watched: Duration::from_millis(500),
        rounds: 1,
        connections_max: 4,
        ratio_max: None,
        ..Config::default()
    };
    let outcome = siege::run(&program, &config).await.unwrap_or_else(|error| panic!("{error:#}"));
    let faults = outcome.faults();
    assert!(faults.is_empty(), "{}\n{outcome}", faults.join("\n"));
    assert!(outcome.attacks() >= 20, "the table has shrunk to {}", outcome.attacks());
}
