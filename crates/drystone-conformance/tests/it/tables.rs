//! Each table as a test: nothing in it may be wrong.

use drystone_conformance::commands::Runner;
use drystone_conformance::harness::Program;
use drystone_conformance::rpcs::Presence;
use drystone_conformance::{Comparison, Finding, Report, random};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Two tables at once: each waits most of its time for disks and elections, and starts as many
/// processes as two processors bear.
static TURNS: Semaphore = Semaphore::const_new(TURNS_MAX as usize);
const TURNS_MAX: u32 = 2;

async fn turn() -> SemaphorePermit<'static> {
    TURNS.acquire().await.expect("nobody closes it")
}

/// Waits until no table runs, and keeps others from running.
pub(crate) async fn alone() -> SemaphorePermit<'static> {
    TURNS.acquire_many(TURNS_MAX).await.expect("nobody closes it")
}

fn comparison() -> Comparison {
    match Comparison::find() {
        Ok(comparison) => comparison,
        Err(error) => panic!("{error}"),
    }
}

fn check(report: &Report) {
    let faults = report.faults();
    assert!(faults.is_empty(), "{} fault(s):\n{}", faults.len(), faults.join("\n\n"));
}

async fn commands(members: usize) {
    let _turn = turn().await;
    let runner = Runner::find().unwrap_or_else(|error| panic!("{error}"));
    let findings = comparison().commands(&runner, members, "").await;
    let findings: Vec<Finding> = findings.unwrap_or_else(|error| panic!("{error:#}"));
    assert!(findings.len() > 50, "the table has shrunk to {}", findings.len());
    check(&Report { commands: vec![(members, findings)], ..Report::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_against_one_member() {
    commands(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_against_three_members() {
    commands(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_rows() {
    let _turn = turn().await;
    let rows = comparison().rows("").await.unwrap();
    check(&Report { rows, ..Report::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_that_end_an_etcd() {
    let _turn = turn().await;
    let sequences = comparison().sequences(3).await.unwrap();
    check(&Report { sequences, ..Report::default() });
}

/// Runs one stream to its end and holds that both stores answered alike.
async fn equal(config: random::Config) -> random::Outcome {
    let _turn = turn().await;
    let outcome = comparison().random(&config).await;
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
    let seed = config.seed;
    assert_eq!(outcome.difference, None, "seed {seed}");
    assert!(outcome.operations >= config.operations, "{outcome}");
    outcome
}

/// A stream of a seed that stays: it must also have met what it is there for.
async fn random(config: random::Config) {
    let outcome = equal(config).await;
    let heard = outcome.heard;
    assert!(outcome.compactions >= 2 && outcome.hashes >= 10 && outcome.restarts >= 1, "{outcome}");
    assert!(heard.watches >= 10 && heard.events > heard.watches && heard.progress > 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_random_stream_has_equal_answers_events_and_hashes() {
    let config = random::Config {
        seed: 1,
        operations: 6_000,
        restart_every: 1_500,
        expiry_every: 2_500,
        ..random::Config::default()
    };
    random(config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_random_stream_that_nobody_saw_before_has_equal_answers() {
    let config = random::Config {
        seed: rand::random_range(1..1_000_000),
        operations: 3_000,
        restart_every: 2_000,
        expiry_every: 0,
        ..random::Config::default()
    };
    // What a short stream meets is a matter of its seed: one that was without rights for most of
    // its way opens few watches.
    let outcome = equal(config).await;
    assert!(outcome.hashes > 0 && outcome.restarts > 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_random_stream_asked_of_three_members_has_the_answers_of_one() {
    let config = random::Config {
        seed: 3,
        operations: 2_500,
        members: 3,
        restart_every: 700,
        expiry_every: 0,
    };
    random(config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_every_client_needs_are_there() {
    let _turn = turn().await;
    let drystone = Program::drystone().unwrap_or_else(|error| panic!("{error}"));
    let launch = drystone_conformance::harness::Launch::of(1);
    let cluster = drystone_conformance::harness::Cluster::start(&drystone, &launch).await.unwrap();
    let found = drystone_conformance::rpcs::presence(&cluster.client()).await;
    for name in [
        "etcdserverpb.KV/Range",
        "etcdserverpb.KV/Put",
        "etcdserverpb.KV/DeleteRange",
        "etcdserverpb.KV/Txn",
        "etcdserverpb.KV/Compact",
        "etcdserverpb.Watch/Watch",
        "etcdserverpb.Lease/LeaseGrant",
        "etcdserverpb.Lease/LeaseKeepAlive",
        "etcdserverpb.Cluster/MemberList",
        "etcdserverpb.Maintenance/Status",
        "etcdserverpb.Maintenance/HashKV",
        "grpc.health.v1.Health/Check",
    ] {
        assert!(found.contains(&(name.to_owned(), Presence::There)), "{name}: {found:?}");
    }
}
