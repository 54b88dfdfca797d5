//! Torture, rejoin and lists in small; the full ones are verbs of `cargo xtask cluster`.

use crate::tables::alone;
use drystone_conformance::harness::Program;
use drystone_conformance::{lists, rejoin, torture};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn drystone() -> Program {
    Program::drystone().unwrap_or_else(|error| panic!("{error}"))
}

/// A light load, and no more kills than the test is about.
fn torture_config(leader_kills: u32, all_kills: u32) -> torture::Config {
    torture::Config {
        leader_kills,
        all_kills,
        time_max: Duration::from_secs(180),
        writes_per_second: 300,
        reads_per_second: 200,
        ..torture::Config::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_under_load() {
    let _turn = alone().await;
    let outcome = torture::run(&drystone(), &torture_config(2, 1)).await.unwrap();
    let (figures, faults) = (&outcome.figures, &outcome.faults);
    assert!(faults.is_empty(), "kept in {:?}\n{}", outcome.kept, faults.join("\n"));
    assert_eq!((figures.leader_gaps.len(), figures.all_gaps.len(), figures.kills), (2, 1, 5));
    assert!(figures.writes.done > 100 && figures.reads.done > 100, "{figures}");
    assert!(figures.events > figures.writes.done, "{figures}");
}

/// A server whose disk forgets everything at each start: the judge must notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_is_found_out() {
    let _turn = alone().await;
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("forgetful");
    let text = format!(
        "#!/bin/sh\n\
         last=\n\
         for word in \"$@\"; do\n\
           if [ \"$last\" = --data-dir ]; then rm -rf \"$word\"; fi\n\
           last=$word\n\
         done\n\
         exec '{}' \"$@\"\n",
        drystone().path().display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let forgetful = Program::at("forgetful", &script).unwrap();
    let outcome = torture::run(&forgetful, &torture_config(0, 1)).await.unwrap();
    let kinds: Vec<&str> = outcome.figures.faults.iter().map(|(kind, _)| kind.as_str()).collect();
    assert!(kinds.contains(&"an acknowledged write is lost"), "{kinds:?}");
    assert!(kinds.contains(&"time went backwards"), "{kinds:?}");
    let kept = outcome.kept.unwrap();
    assert!(kept.join("journal.txt").is_file() && kept.join("faults.txt").is_file());
    std::fs::remove_dir_all(kept).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn back_by_a_checkpoint() {
    let _turn = alone().await;
    let config = rejoin::Config {
        writes: 4_000,
        catchup_entries: 500,
        // Otherwise the log is not yet cut after so few writes.
        flags: vec!["--snapshot-count".into(), "1000".into()],
        ..rejoin::Config::default()
    };
    let outcome = rejoin::run(&drystone(), &config).await.unwrap();
    assert!(outcome.faults().is_empty(), "kept in {:?}\n{outcome}", outcome.kept());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_everything_takes_no_memory() {
    let _turn = alone().await;
    let config = lists::Config { keys: 50_000, plain: false, ..lists::Config::default() };
    let outcome = lists::run(&drystone(), &config).await.unwrap();
    assert!(outcome.faults().is_empty(), "{outcome}");
}
