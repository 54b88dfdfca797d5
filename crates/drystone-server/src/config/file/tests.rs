use super::super::flags::all;
use super::super::{Config, Note, Parsed, UsageError, parse};
use super::*;
use std::path::PathBuf;
use std::time::Duration;

fn run(text: &str, words: &[&str]) -> Result<(Config, Vec<Note>), UsageError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("etcd.yml");
    std::fs::write(&path, text).unwrap();
    let file = format!("--config-file={}", path.display());
    let words = words.iter().map(|word| (*word).to_owned()).chain([file]);
    let variables = [("ETCD_NAME".to_owned(), "ignored".to_owned())];
    match parse(words, variables)? {
        Parsed::Run { config, notes } => Ok((*config, notes)),
        Parsed::Print(text) => panic!("{text}"),
    }
}

fn refusal(text: &str) -> String {
    run(text, &[]).unwrap_err().message
}

#[test]
fn a_file_stands_alone() {
    let (config, notes) = run("name: a\nheartbeat-interval: 50", &["--max-txn-ops=5"]).unwrap();
    assert_eq!((config.name.as_str(), config.max_txn_ops), ("a", 128));
    assert_eq!(config.heartbeat_interval, Duration::from_millis(50));
    assert!(notes[0].message.starts_with("loaded server configuration, other"), "{notes:?}");
    let (config, _) = run("", &[]).unwrap();
    assert_eq!(config.name, "default", "variables are ignored too");
    let variables = [("ETCD_CONFIG_FILE".to_owned(), "/nonexistent".to_owned())];
    let error = parse([], variables).unwrap_err();
    assert_eq!(error.message, "open /nonexistent: no such file or directory");
}

#[test]
fn keys_and_values_are_read_as_etcd_reads_them() {
    let text = "Name: a\nDATA-DIR: /d\nname: b\nwal-dir:\ngrpc-keepalive-interval: 60000000000\n\
                quota-backend-bytes: -1\nauto-compaction-retention: '1'\npre-vote: on\n\
                listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2\n\
                experimental-snapshot-catch-up-entries: 7\nexperimental-max-learners: 4\n\
                experimental-initial-corrupt-check: false\nfrob: 5\n";
    let (config, notes) = run(text, &[]).unwrap();
    assert_eq!((config.name.as_str(), config.data_dir), ("b", PathBuf::from("/d")));
    assert_eq!(config.grpc_keepalive_interval, Duration::from_secs(60));
    assert_eq!((config.quota_backend_bytes, config.snapshot_catchup_entries), (-1, 7));
    assert_eq!((config.learners_max, config.initial_corrupt_check), (4, false));
    assert_eq!(config.listen_client_urls.len(), 2, "no advertised URL is asked for");
    let unknown = notes.iter().find(|note| note.message.contains("not known here"));
    assert_eq!(unknown.and_then(|note| note.field.clone()), Some(("key", "frob".to_owned())));
}

#[test]
fn wrong_types_are_refused_in_etcds_words() {
    let prefix = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ";
    for (text, rest) in [
        (
            "heartbeat-interval: abc",
            "string into Go struct field configYAML.heartbeat-interval of type uint",
        ),
        (
            "auto-compaction-retention: 1",
            "number into Go struct field configYAML.auto-compaction-retention of type string",
        ),
        ("name: yes", "bool into Go struct field configYAML.name of type string"),
        ("pre-vote: 'true'", "string into Go struct field configYAML.pre-vote of type bool"),
        (
            "grpc-keepalive-interval: 10m",
            "string into Go struct field configYAML.grpc-keepalive-interval of type time.Duration",
        ),
        (
            "quota-backend-bytes: 1.5",
            "number 1.5 into Go struct field configYAML.quota-backend-bytes of type int64",
        ),
        ("max-txn-ops: -1", "number -1 into Go struct field configYAML.max-txn-ops of type uint"),
        (
            "max-txn-ops: 99999999999999999999",
            "number 100000000000000000000 into Go struct field configYAML.max-txn-ops of type uint",
        ),
        (
            "client-transport-security: 5",
            "number into Go struct field configYAML.client-transport-security of type embed.securityConfig",
        ),
        (
            "client-transport-security:\n  cert-file: 5",
            "number into Go struct field securityConfig.client-transport-security.cert-file of type string",
        ),
        (
            "log-outputs: stderr",
            "string into Go struct field configYAML.log-outputs of type []string",
        ),
        ("log-outputs: [1]", "number into Go struct field configYAML.log-outputs of type string"),
        ("[1, 2]", "array into Go value of type embed.configYAML"),
        ("5", "number into Go value of type embed.configYAML"),
    ] {
        assert_eq!(refusal(text), format!("{prefix}{rest}"), "{text}");
    }
    for (text, message) in [
        (
            "listen-peer-urls: htp://x",
            "unexpected error setting up listen-peer-urls: URL scheme must be http, https, unix, or unixs: htp://x",
        ),
        ("initial-cluster-state: foo", "unexpected clusterState \"foo\""),
        ("heartbeat-interval: 0", "--heartbeat-interval must be >0 (set to 0ms)"),
        (
            "feature-gates: Frob=true",
            "invalid value \"Frob=true\" for feature-gates: unrecognized feature gate: Frob",
        ),
    ] {
        assert_eq!(refusal(text), message);
    }
    assert!(refusal("a: b: c").starts_with("error converting YAML to JSON: yaml: line 1: "));
}

#[test]
fn etcds_sample_loads_with_the_keys_that_etcd_has_dropped() {
    let sample = include_str!("../../../testdata/etcd.conf.yml");
    let (config, notes) = run(sample, &[]).unwrap();
    assert_eq!(config.name, "default");
    let ignored: Vec<_> = notes.iter().filter(|note| note.message.contains("not known")).collect();
    let keys: Vec<&str> = ignored
        .iter()
        .filter_map(|note| note.field.as_ref())
        .map(|(_, key)| key.as_str())
        .collect();
    assert!(keys.contains(&"proxy") && keys.contains(&"discovery-fallback"), "{keys:?}");
}

#[test]
fn every_flag_that_is_used_has_a_key_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for flag in all().filter(|flag| !NOT_IN_A_FILE.contains(&flag.name)) {
        match key_of(flag) {
            Some(key) => {
                assert!(seen.insert(key.clone()), "{key}");
                assert_eq!(flag_at(&key).map(|found| found.name), Some(flag.name));
            }
            None => assert!(super::super::flags::is_retired(flag), "{}", flag.name),
        }
    }
}
