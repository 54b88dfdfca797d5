use super::*;

fn json(done: u64, cpu: [f64; 2]) -> Value {
    serde_json::json!({
        "bench": "put",
        "load": {
            "done": done, "errors": 2, "seconds": 2.0, "per_second": 500.0,
            "latency_us": { "mean": 1.0, "p50": 10.5, "p90": 2.0, "p99": 99.0, "max": 4.0 },
        },
        "servers": [
            { "pid": 1, "cpu_seconds": cpu[0], "rss_bytes": 1000 },
            { "pid": 2, "cpu_seconds": cpu[1], "rss_bytes": 500 },
        ],
    })
}

#[test]
fn the_driver_s_report() {
    let measure = Measure::read(&json(1_000, [0.5, 0.25]), 2).unwrap();
    let expected = Measure {
        per_second: 500.0,
        p50_us: 10.5,
        p99_us: 99.0,
        cpu_us: 750.0,
        rss_bytes: 1_500.0,
        errors: 2.0,
    };
    assert_eq!(measure, expected);
    assert!(Measure::read(&json(1_000, [0.5, 0.25]), 3).is_err());
    assert!(Measure::read(&json(0, [0.5, 0.25]), 2).is_err());
    let mut missing = json(1_000, [0.5, 0.25]);
    missing["events_missing"] = 3.into();
    assert!(Measure::read(&missing, 2).is_err());
}

#[test]
fn the_median_is_a_run() {
    let run = |cpu_us, p99_us| Measure { cpu_us, p99_us, ..Measure::default() };
    let median = Measure::median(&[run(3.0, 1.0), run(1.0, 2.0), run(2.0, 9.0)]);
    assert_eq!(median, run(2.0, 9.0));
}

#[test]
fn the_table_says_what_was_missed() {
    let put = workloads(true).remove(0);
    let list = workloads(true).into_iter().find(|w| w.memory_target.is_some()).unwrap();
    let theirs = Measure { cpu_us: 100.0, p99_us: 50.0, rss_bytes: 400e6, ..Measure::default() };
    let good = Measure { cpu_us: 30.0, p99_us: 40.0, rss_bytes: 100e6, ..theirs };
    let mut table = Table::new("ours".into(), "theirs".into(), true);
    table.add(put.clone(), good, theirs);
    table.add(list.clone(), good, theirs);
    assert_eq!(table.missed(), [] as [&str; 0]);
    let text = table.to_string();
    assert!(text.contains("| put |") && text.contains("**0.300**"), "{text}");
    assert!(text.contains("100 / 400 MB") && !text.contains("missed"), "{text}");
    table.add(put.clone(), Measure { cpu_us: 61.0, ..good }, theirs);
    table.add(put.clone(), Measure { p99_us: 51.0, ..good }, theirs);
    table.add(put, Measure { errors: 1.0, ..good }, theirs);
    table.add(list, Measure { rss_bytes: 201e6, ..good }, theirs);
    assert_eq!(table.missed().len(), 4);
}

#[test]
fn every_workload_has_a_name_and_a_target() {
    for quick in [false, true] {
        let all = workloads(quick);
        assert_eq!(all.len(), 8);
        assert!(all.iter().all(|workload| workload.target > 0.0));
        assert_eq!(all.iter().filter(|workload| workload.members == 3).count(), 1);
    }
}
