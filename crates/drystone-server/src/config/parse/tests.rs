use super::*;

fn run(words: &[&str], environment: &[(&str, &str)]) -> Result<(Config, Vec<Note>), UsageError> {
    let words = words.iter().map(|word| (*word).to_owned());
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    match parse(words, environment)? {
        Parsed::Run { config, notes } => Ok((*config, notes)),
        Parsed::Print(text) => panic!("unexpected text {text}"),
    }
}

fn refusal(words: &[&str]) -> (String, u8) {
    let error = run(words, &[]).unwrap_err();
    (error.message, error.code)
}

#[test]
fn no_flag_is_needed() {
    let (config, _) = run(&[], &[]).unwrap();
    assert_eq!(config.name, "default");
    assert_eq!(config.data_dir, PathBuf::from("default.etcd"));
    assert_eq!(
        config.initial_cluster,
        [("default".to_owned(), vec!["http://localhost:2380".to_owned()])]
    );
    assert_eq!(config.request_timeout(), Duration::from_secs(7));
    assert_eq!(config.lease_ttl_seconds_min(), 2);
    assert_eq!(config.quota_backend_bytes, QUOTA_BYTES_DEFAULT);
    assert_eq!(config.auto_compaction, AutoCompaction::Off);
}

#[test]
fn go_spellings_are_one() {
    for words in [
        ["-name", "a"].as_slice(),
        &["--name", "a"],
        &["-name=a"],
        &["--name=a"],
        &["--name=b", "--name=a"],
    ] {
        assert_eq!(run(words, &[]).unwrap().0.name, "a", "{words:?}");
    }
    let (config, _) = run(&["--quota-backend-bytes", "-1"], &[]).unwrap();
    assert_eq!(config.quota_backend_bytes, -1);
    let (config, _) = run(&["--max-txn-ops=0x10"], &[]).unwrap();
    assert_eq!(config.max_txn_ops, 16);
}

#[test]
fn a_boolean_takes_no_separate_word() {
    let (message, code) = refusal(&["--initial-election-tick-advance", "false"]);
    assert_eq!(message, r#""false" is not a valid flag"#);
    assert_eq!(code, 1);
    let (config, _) = run(&["--initial-election-tick-advance=false"], &[]).unwrap();
    assert!(!config.initial_election_tick_advance);
}

#[test]
fn bad_words_name_the_flag_the_value_and_what_would_be_right() {
    for (words, message) in [
        (["--frob"].as_slice(), "flag provided but not defined: -frob"),
        (
            &["--election-timeout=abc"],
            r#"invalid value "abc" for flag -election-timeout: parse error"#,
        ),
        (
            &["-max-txn-ops", "99999999999999999999"],
            r#"invalid value "99999999999999999999" for flag -max-txn-ops: value out of range"#,
        ),
        (&["--pre-vote=x"], r#"invalid boolean value "x" for -pre-vote: parse error"#),
        (&["--name"], "flag needs an argument: -name"),
        (&["---name"], "bad flag syntax: ---name"),
        (&["--=x"], "bad flag syntax: --=x"),
        (
            &["--listen-peer-urls=a"],
            "invalid value \"a\" for flag -listen-peer-urls: URL scheme must be http, https, unix, \
             or unixs: a",
        ),
        (
            &["--feature-gates=Frob=true"],
            "invalid value \"Frob=true\" for flag -feature-gates: unrecognized feature gate: Frob",
        ),
        (
            &["--v2-deprecation=x"],
            r#"invalid value "x" for flag -v2-deprecation: invalid value "x""#,
        ),
    ] {
        assert_eq!(refusal(words), (message.to_owned(), 2));
    }
    for word in ["x", "-"] {
        assert_eq!(refusal(&[word]), (format!("{word:?} is not a valid flag"), 1));
    }
    assert_eq!(refusal(&["--", "x"]).0, r#""x" is not a valid flag"#);
    let error = run(&["--initial-cluster-state=old"], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid value \"old\" for flag -initial-cluster-state: invalid value\n\
         -initial-cluster-state takes one of new, existing"
    );
}

#[test]
fn variables_stand_for_flags_and_never_fight_them() {
    let (config, _) =
        run(&[], &[("ETCD_NAME", "a"), ("ETCD_DATA_DIR", ""), ("HOME", "/x")]).unwrap();
    assert_eq!(config.name, "a");
    let error = run(&["--name=a"], &[("ETCD_NAME", "a")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "conflicting environment variable is shadowed by corresponding command-line flag (either \
         unset environment variable or disable flag)) (ETCD_NAME)"
    );
    let error = run(&[], &[("ETCD_ELECTION_TIMEOUT", "abc")]).unwrap_err();
    assert!(error.message.starts_with(r#"invalid value "abc" for ETCD_ELECTION_TIMEOUT"#));
    assert_eq!(error.code, 1);
    let (_, notes) = run(&[], &[("ETCD_FROB", "1"), ("ETCD_VERSION", "3")]).unwrap();
    let unknown = Note::warn("unrecognized environment variable");
    assert!(notes.contains(&unknown.with("environment-variable", "ETCD_FROB")), "{notes:?}");
    let special = Note::warn("cannot set special environment variable");
    assert!(notes.contains(&special.with("key", "ETCD_VERSION")), "{notes:?}");
}

#[test]
fn what_is_not_served_is_refused_and_what_has_no_effect_is_said() {
    let (message, code) = refusal(&["--unsafe-no-fsync"]);
    assert!(message.starts_with("--unsafe-no-fsync=true cannot be served: "), "{message}");
    assert_eq!(code, 1);
    run(&["--client-cert-auth=false"], &[]).unwrap();
    let (_, notes) = run(&["--backend-batch-limit=5"], &[]).unwrap();
    assert!(
        notes.iter().any(|note| note.message.contains("--backend-batch-limit=5 has no effect"))
    );
    let (config, _) = run(&["--experimental-watch-progress-notify-interval=5s"], &[]).unwrap();
    assert_eq!(config.watch_progress_interval, Duration::from_secs(5));
}

#[test]
fn corruption_checks_are_on_unless_shut() {
    let (config, _) = run(&[], &[]).unwrap();
    assert!(config.initial_corrupt_check && config.compact_hash_check);
    let (config, _) = run(&["--feature-gates=InitialCorruptCheck=false"], &[]).unwrap();
    assert!(!config.initial_corrupt_check && config.compact_hash_check);
    let (config, _) = run(&["--experimental-initial-corrupt-check=false"], &[]).unwrap();
    assert!(!config.initial_corrupt_check);
    let both = ["--experimental-initial-corrupt-check", "--feature-gates=InitialCorruptCheck=true"];
    let (message, _) = refusal(&both);
    assert!(message.starts_with("cannot specify both flags: "), "{message}");
    let gates = "--feature-gates=LeaseCheckpointPersist=true,LeaseCheckpoint=false";
    assert_eq!(
        refusal(&[gates]).0,
        "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
    );
    for (given, written) in [("0", "0s"), ("-1m", "-1m0s")] {
        assert_eq!(
            refusal(&[&format!("--compact-hash-check-time={given}")]).0,
            format!("--compact-hash-check-time must be >0 (set to {written})")
        );
    }
}

#[test]
fn times_are_checked() {
    assert_eq!(
        refusal(&["--heartbeat-interval=0"]).0,
        "--heartbeat-interval must be >0 (set to 0ms)"
    );
    assert_eq!(
        refusal(&["--election-timeout=400"]).0,
        "--election-timeout[400ms] should be at least as 5 times as --heartbeat-interval[100ms]"
    );
    assert!(refusal(&["--election-timeout=60000"]).0.contains("is too long"));
}

#[test]
fn compaction_retention_reads_as_in_etcd() {
    let retention = |mode: &str, text: &str| {
        let mode = format!("--auto-compaction-mode={mode}");
        let text = format!("--auto-compaction-retention={text}");
        run(&[&mode, &text], &[]).map(|(config, _)| config.auto_compaction)
    };
    assert_eq!(retention("periodic", "0"), Ok(AutoCompaction::Off));
    assert_eq!(retention("periodic", "1"), Ok(AutoCompaction::Periodic(Duration::from_secs(3600))));
    assert_eq!(
        retention("periodic", "30m"),
        Ok(AutoCompaction::Periodic(Duration::from_secs(1800)))
    );
    assert_eq!(retention("revision", "1000"), Ok(AutoCompaction::Revisions(1000)));
    let nanoseconds = AutoCompaction::Revisions(300_000_000_000);
    assert_eq!(retention("revision", "5m"), Ok(nanoseconds), "as etcd reads it");
    for text in ["-1h", "-1", "x"] {
        assert!(retention("revision", text).is_err());
        assert!(retention("periodic", text).is_err(), "etcd 3.7.1 takes -1h and spins");
    }
    assert!(retention("hourly", "1").is_err());
}

#[test]
fn help_and_version_are_printed() {
    for (word, text) in [("--help", "--initial-cluster"), ("--version", "etcd Version: 3.7")] {
        match parse([word.to_owned()], []).unwrap() {
            Parsed::Print(printed) => assert!(printed.stdout.contains(text)),
            Parsed::Run { .. } => panic!("{word} must not start a server"),
        }
    }
}

#[test]
fn checks_speak_as_etcd_does() {
    for (words, message) in [
        (
            ["--listen-peer-urls=http://a.b:1"].as_slice(),
            "expected IP in URL for binding (http://a.b:1)",
        ),
        (
            &["--listen-client-urls=http://:1", "--advertise-client-urls=http://a:1"],
            "expected IP in URL for binding (http://:1)",
        ),
        (
            &["--initial-advertise-peer-urls=http://:1"],
            "--initial-advertise-peer-urls \"http://:1\" must be \"host:port\" (unexpected empty \
             host (http://:1))",
        ),
        (
            &["--advertise-client-urls=http://:1"],
            "--advertise-client-urls \"http://:1\" must be in the format \"host:port\", \
             \"unix:/path/to/socket\" or \"unixs:/path/to/socket\" (unexpected empty host \
             (http://:1))",
        ),
        (
            &["--discovery-srv=a", "--initial-cluster=default=http://localhost:2380"],
            "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \
             \"discovery-endpoints\" or \"discovery-srv\"",
        ),
        (&["--discovery-token=a"], "both --discovery-token and --discovery-endpoints must be set"),
        (
            &["--discovery-token=a", "--discovery-endpoints=http://a:1,"],
            "--discovery-endpoints must not contain empty endpoints",
        ),
        (
            &[
                "--discovery-token=a",
                "--discovery-endpoints=http://a:1",
                "--discovery-request-timeout=0",
            ],
            "--discovery-request-timeout must be >0 (set to 0s)",
        ),
        (
            &["--discovery-token=a", "--discovery-endpoints=http://a:1", "--discovery-cert=/x"],
            "KeyFile and CertFile must both be present[key: , cert: /x]",
        ),
        (
            &["--listen-client-urls=http://127.0.0.1:1"],
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (&["--auto-compaction-mode="], "undefined auto-compaction-mode"),
        (&["--auto-compaction-mode=x"], "unknown auto-compaction-mode \"x\""),
        (&["--logger=capnslog"], "--logger=capnslog is removed in v3.5"),
        (&["--logger=x"], "unknown logger option \"x\""),
        (&["--log-format=x"], "unknown log format: x, supported values json, console"),
        (&["--log-outputs=default,stderr"], "multi logoutput for \"default\" is not supported yet"),
        (
            &["--discovery-fallback=proxy"],
            "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"",
        ),
        (
            &["--enable-distributed-tracing", "--distributed-tracing-sampling-rate=-1"],
            "distributed tracing configurition is not valid: (tracing sampling rate must be \
             positive)",
        ),
        (
            &["--max-learners=2", "--experimental-max-learners=2"],
            "cannot set --experimental-max-learners and --max-learners at the same time, please \
             use --max-learners only",
        ),
        (
            &["--auto-compaction-retention=1x"],
            "error parsing CompactionRetention: time: unknown unit \"x\" in duration \"1x\"",
        ),
    ] {
        assert_eq!(refusal(words), (message.to_owned(), 1), "{words:?}");
    }
}

#[test]
fn old_names_are_taken_and_warned_of() {
    let (config, notes) = run(
        &["--experimental-max-learners=3"],
        &[("ETCD_EXPERIMENTAL_COMPACTION_BATCH_LIMIT", "7")],
    )
    .unwrap();
    assert_eq!((config.learners_max, config.compaction_batch_revisions), (3, 7));
    let old = notes.iter().filter(|note| note.message.contains("is an old name; use --"));
    assert_eq!(old.count(), 2, "{notes:?}");
    let error = run(&["--max-learners=3"], &[("ETCD_EXPERIMENTAL_MAX_LEARNERS", "3")]).unwrap_err();
    assert!(error.message.starts_with("cannot set --experimental-max-learners"), "{error}");
    for words in [["--enable-v2=false"], ["--proxy=off"], ["--proxy="], ["--discovery="]] {
        run(&words, &[]).unwrap();
    }
    for words in [["--enable-v2"], ["--proxy=on"], ["--discovery=http://a:1"], ["--debug"]] {
        assert!(refusal(&words).0.contains("cannot be served: etcd removed"), "{words:?}");
    }
}

#[test]
fn a_member_that_listens_everywhere_does_not_advertise_localhost() {
    let (config, notes) = run(&["--listen-peer-urls=http://0.0.0.0:7001"], &[]).unwrap();
    let detected = notes.iter().find(|note| note.message.contains("default host"));
    let detected = detected.expect("it was looked for");
    let expected = match &detected.field {
        Some((_, host)) => format!("http://{host}:7001"),
        None => "http://localhost:2380".to_owned(),
    };
    assert_eq!(config.initial_advertise_peer_urls, [expected.as_str()]);
    assert_eq!(config.initial_cluster, [("default".to_owned(), vec![expected])]);
}

#[test]
fn no_two_flags_share_a_name_or_a_variable() {
    let mut seen = std::collections::BTreeSet::new();
    let old = crate::config::flags::OLD_NAMES.iter().map(|(old, _)| *old);
    for name in crate::config::flags::all().map(|flag| flag.name).chain(old) {
        assert!(seen.insert(variable(name)), "{name}");
    }
    for flag in crate::config::flags::all() {
        let default = flag.default;
        assert!(default.is_empty() || flag.kind.check(default).is_ok(), "{}", flag.name);
    }
}

#[test]
fn deadlines_on_members_are_raised_to_the_least_and_not_lowered() {
    let words = ["--raft-read-timeout=7s", "--raft-write-timeout=1s"];
    let (config, notes) = run(&words, &[]).unwrap();
    assert_eq!(config.raft_read_timeout, Duration::from_secs(7));
    assert_eq!(config.raft_write_timeout, RAFT_TIMEOUT_MIN);
    let raised = "increased to minimum value: 5s";
    let told: Vec<_> = notes.iter().filter(|note| note.message.ends_with(raised)).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message.starts_with("raft-write-timeout"), "{told:?}");
}
