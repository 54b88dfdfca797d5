use super::*;

fn run(words: &[&str], environment: &[(&str, &str)]) -> Result<(Config, Vec<String>), UsageError> {
    let words = words.iter().map(|word| (*word).to_owned());
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    match parse(words, environment)? {
        Parsed::Run { config, warnings } => Ok((*config, warnings)),
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
    assert!(message.starts_with("\"false\" is not a valid flag"), "{message}");
    assert_eq!(code, 1);
    let (config, _) = run(&["--initial-election-tick-advance=false"], &[]).unwrap();
    assert!(!config.initial_election_tick_advance);
}

#[test]
fn bad_words_name_the_flag_the_value_and_what_would_be_right() {
    let (message, code) = refusal(&["--frob"]);
    assert!(message.starts_with("flag provided but not defined: -frob"), "{message}");
    assert_eq!(code, 2);
    let (message, code) = refusal(&["--election-timeout=abc"]);
    assert_eq!(
        message,
        r#"invalid value "abc" for flag -election-timeout: parse error; expected a number from 0 on"#
    );
    assert_eq!(code, 2);
    let (message, _) = refusal(&["--initial-cluster-state=old"]);
    assert!(message.contains("expected one of new, existing"), "{message}");
    let (message, _) = refusal(&["--name"]);
    assert!(message.starts_with("flag needs an argument: -name"), "{message}");
}

#[test]
fn variables_stand_for_flags_and_never_fight_them() {
    let (config, _) =
        run(&[], &[("ETCD_NAME", "a"), ("ETCD_DATA_DIR", ""), ("HOME", "/x")]).unwrap();
    assert_eq!(config.name, "a");
    let error = run(&["--name=a"], &[("ETCD_NAME", "a")]).unwrap_err();
    assert!(error.message.contains("ETCD_NAME is shadowed"), "{}", error.message);
    let error = run(&[], &[("ETCD_ELECTION_TIMEOUT", "abc")]).unwrap_err();
    assert!(error.message.starts_with(r#"invalid value "abc" for ETCD_ELECTION_TIMEOUT"#));
    assert_eq!(error.code, 1);
    let (_, warnings) = run(&[], &[("ETCD_FROB", "1")]).unwrap();
    assert!(warnings.iter().any(|warning| warning.contains("ETCD_FROB")));
}

#[test]
fn what_is_not_served_is_refused_and_what_has_no_effect_is_said() {
    let (message, code) = refusal(&["--cert-file=x.pem"]);
    assert!(message.starts_with("--cert-file=x.pem cannot be served: TLS"), "{message}");
    assert_eq!(code, 1);
    run(&["--client-cert-auth=false"], &[]).unwrap();
    let (_, warnings) = run(&["--backend-batch-limit=5"], &[]).unwrap();
    assert!(
        warnings.iter().any(|warning| warning.contains("--backend-batch-limit=5 has no effect"))
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
    let (message, code) = refusal(&["--feature-gates=Frob=true"]);
    assert_eq!((message.as_str(), code), ("--feature-gates: unrecognized feature gate: Frob", 2));
    assert!(refusal(&["--compact-hash-check-time=0"]).0.contains("must be >0"));
}

#[test]
fn clusters_are_checked_as_etcd_checks_them() {
    let peer = "--initial-advertise-peer-urls=http://127.0.0.1:1";
    let (message, _) = refusal(&["--initial-cluster=a=http://127.0.0.1:1", peer]);
    assert_eq!(
        message,
        r#"couldn't find local name "default" in the initial cluster configuration"#
    );
    let (message, _) =
        refusal(&["--initial-cluster=default=http://127.0.0.1:1,b=http://127.0.0.1:1", peer]);
    assert!(message.ends_with("has duplicate url"), "{message}");
    let (message, _) = refusal(&["--initial-cluster=default=http://127.0.0.1:2", peer]);
    assert!(message.contains("missing from --initial-advertise-peer-urls"), "{message}");
    let (config, _) =
        run(&["--initial-cluster=b=http://127.0.0.1:2,default=http://127.0.0.1:1", peer], &[])
            .unwrap();
    assert_eq!(config.initial_cluster.len(), 2);
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
    for (text, millis) in [("1h30m", 5_400_000), ("100ms", 100), ("1.5s", 1_500), ("0", 0)] {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "10", "5x", "-1s", "1h-"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
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
            Parsed::Print(printed) => assert!(printed.contains(text)),
            Parsed::Run { .. } => panic!("{word} must not start a server"),
        }
    }
}
