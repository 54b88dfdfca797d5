//! The binary as its users start it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod flags;
mod packaging;

use std::process::{Command, Output, Stdio};

fn drystone(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drystone"));
    command.args(words);
    // Variables of whoever runs the test are not the test's.
    for (name, _) in std::env::vars() {
        if name.starts_with("ETCD") {
            command.env_remove(name);
        }
    }
    command.output().unwrap()
}

#[test]
fn the_first_word_picks_the_program() {
    let version = drystone(&["--version"]);
    assert!(version.status.success());
    assert!(String::from_utf8(version.stdout).unwrap().contains("etcd Version: 3.7"));

    let ctl = drystone(&["ctl", "version"]);
    assert!(ctl.status.success());
    assert!(String::from_utf8(ctl.stdout).unwrap().starts_with("etcdctl version: "));

    let bench = drystone(&["bench", "--help"]);
    assert!(bench.status.success());
    assert!(String::from_utf8(bench.stdout).unwrap().contains("put"));
}

#[test]
fn a_bad_flag_ends_with_etcds_code_and_says_what_would_be_right() {
    let unknown = drystone(&["--frob=1"]);
    assert_eq!(unknown.status.code(), Some(2));
    let text = String::from_utf8(unknown.stderr).unwrap();
    assert!(text.contains("flag provided but not defined: -frob"), "{text}");

    let refused = drystone(&["--unsafe-no-fsync"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("--unsafe-no-fsync=true cannot be served"), "{text}");
}

/// `drystone --help | head` and a refusal piped into something that ends once ended in a panic.
#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    for (words, code) in [(["--frob=1"].as_slice(), 2), (&["--help"], 0), (&["config", "check"], 0)]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drystone"));
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(code), "{words:?}");
    }
}

#[test]
fn called_etcdctl_it_is_etcdctl() {
    let folder = std::env::temp_dir().join(format!("drystone-link-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let link = folder.join("etcdctl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_drystone"), &link).unwrap();
    let version = Command::new(&link).arg("version").output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("etcdctl version: "));
}

#[test]
fn shells_complete_words_and_flags_of_every_program() {
    for shell in ["bash", "zsh", "fish"] {
        let script = drystone(&["completion", shell]);
        assert!(script.status.success());
        let script = String::from_utf8(script.stdout).unwrap();
        for word in ["quota-backend-bytes", "endpoint", "grant-permission", "bench"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
    let unknown = drystone(&["completion", "csh"]);
    assert!(!unknown.status.success());
}

#[test]
fn every_command_has_its_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let written = drystone(&["man", folder.path().to_str().unwrap()]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let page = std::fs::read_to_string(folder.path().join("drystone.1")).unwrap();
    assert!(page.contains("data\\-dir"), "{page}");
    assert!(!page.contains("max\\-wals"), "a flag without effect stands in the page");
    for name in ["drystone-ctl.1", "drystone-ctl-endpoint-status.1", "drystone-bench-put.1"] {
        assert!(folder.path().join(name).exists(), "{name} is missing");
    }

    let missing = drystone(&["man", "/nowhere/at/all"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("is not a directory"));
}
