//! Every kind of work against a server in memory that knows just enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fake;

use clap::Parser as _;
use drystone_bench::{Bench, Report, run};

use fake::Fake;

async fn bench(fake: &Fake, line: &str) -> Report {
    let address = fake.serve().await;
    let line = format!("bench {line} --endpoints {address} --clients 4 --connections 2");
    run(&Bench::try_parse_from(line.split_whitespace()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn puts() {
    let fake = Fake::default();
    let report = bench(&fake, "put --total 50 --keys 20 --sequential --val-size 9").await;
    assert_eq!((report.load.done, report.load.errors), (50, 0));
    assert!(report.load.latency_us.p50 > 0.0 && report.load.per_second > 0.0);
    let pairs = fake.pairs();
    assert_eq!((pairs.len(), fake.revision()), (20, 51));
    assert!(pairs.iter().all(|kv| kv.key.len() == 32 && kv.value.len() == 9));
}

#[tokio::test]
async fn reads_fill_first_and_clean_after() {
    let fake = Fake::default();
    let report = bench(&fake, "range --total 30 --keys 250").await;
    assert_eq!((report.load.done, report.load.items), (30, 30));
    assert_eq!(fake.pairs().len(), 250);
    let report = bench(&fake, "list --total 5 --keys 250").await;
    assert_eq!((report.load.done, report.load.items), (5, 1250));
    assert!(report.load.bytes > 5 * 250 * 256);
    let report = bench(&fake, "count --total 5 --keys 250 --clean").await;
    assert_eq!((report.load.done, report.load.items), (5, 0));
    assert!(fake.pairs().is_empty());
}

#[tokio::test]
async fn walks_over_pages() {
    let fake = Fake::default();
    let report = bench(&fake, "page --page-size 100 --keys 250 --total 40").await;
    assert_eq!(report.load.done, 40);
    // Four clients share forty pages, three pages a walk: at least two whole walks each but
    // for the remainder.
    let walks = report.walks.unwrap().done;
    assert!((10..=13).contains(&walks), "{walks}");
    let ranges = fake.paged();
    assert!(ranges.iter().all(|range| range.limit == 100));
    assert!(ranges.iter().any(|range| range.revision == 0));
    assert!(ranges.iter().any(|range| range.revision == fake.revision()));
}

#[tokio::test]
async fn guarded_updates() {
    let fake = Fake::default();
    let report = bench(&fake, "txn --total 100 --keys 10 --sequential").await;
    assert_eq!((report.load.done, report.load.errors), (100, 0));
    let conflicts = report.conflicts.unwrap();
    assert_eq!(fake.revision(), 1 + 100 - conflicts.cast_signed());
    assert!(conflicts < 50, "{conflicts}");
    // A second run knows nothing at first, and learns.
    let again = bench(&fake, "txn --total 100 --keys 10 --sequential").await;
    assert!((10..60).contains(&again.conflicts.unwrap()), "{:?}", again.conflicts);
}

#[tokio::test]
async fn watchers() {
    let fake = Fake::default();
    let report = bench(&fake, "watch --watchers 10 --streams 3 --total 20 --keys 5").await;
    assert_eq!((report.load.done, report.load.errors), (200, 0));
    assert_eq!(report.events_missing, Some(0));
    assert_eq!(report.puts.unwrap().done, 20);
    assert!(report.load.latency_us.max < 5e6);
    let report =
        bench(&fake, "watch --scope key --watchers 6 --total 20 --keys 4 --sequential").await;
    // Keys 0 and 1 have two watchers, keys 2 and 3 one.
    assert_eq!((report.load.done, report.events_missing), (30, Some(0)));
}

#[tokio::test]
async fn errors_are_reported() {
    let fake = Fake::failing();
    let report = bench(&fake, "put --total 9 --keys 1").await;
    assert_eq!((report.load.done, report.load.errors), (0, 9));
    assert_eq!(report.error_texts["Internal: broken"], 9);
    let text = report.to_string();
    assert!(text.starts_with("put: 0 requests in "), "{text}");
    assert!(text.contains("9 x Internal: broken"), "{text}");
    let line = "bench put --endpoints 127.0.0.1:1";
    let error = run(&Bench::try_parse_from(line.split_whitespace()).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}
