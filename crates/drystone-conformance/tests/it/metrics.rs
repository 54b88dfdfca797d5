//! What Drystone tells of itself, beside etcd and under Prometheus.

use drystone_conformance::harness::Program;
use drystone_conformance::{monitoring, scrapes};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_etcd_is_there_with_its_type_labels_and_buckets() {
    let outcome =
        scrapes::run(&Program::drystone().unwrap(), &Program::etcd().unwrap()).await.unwrap();
    assert_eq!(outcome.faults, Vec::<String>::new(), "{outcome}");
    assert!(outcome.alike > 60, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_dashboard_find_what_they_ask_for_and_no_alert_is_red() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/monitoring");
    let config = monitoring::Config { dir };
    match monitoring::run(&Program::drystone().unwrap(), &config).await.unwrap() {
        Some(outcome) => assert_eq!(outcome.faults, Vec::<String>::new(), "{outcome}"),
        None => eprintln!("skipped: prometheus and promtool are not installed"),
    }
}
