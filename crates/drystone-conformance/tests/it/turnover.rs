//! Members that come and go, as real processes.

use crate::tables::alone;
use drystone_conformance::harness::Program;
use drystone_conformance::turnover::{Config, run};

/// Without a human: a wiped leader votes again, killed on its way.
#[tokio::test(flavor = "multi_thread")]
async fn members_come_go_and_come_back_wiped_while_writes_go_on() {
    let _turn = alone().await;
    let program = Program::drystone().unwrap_or_else(|error| panic!("{error}"));
    let config = Config { writes: 500, wipes: 1, crashes: 2, ..Config::default() };
    let outcome = run(&program, &config).await.unwrap_or_else(|error| panic!("{error:#}"));
    assert!(outcome.faults().is_empty(), "{outcome}");
}
