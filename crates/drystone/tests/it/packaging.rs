//! What `packaging/` holds, held against the binary and against those who will read it.

use super::drystone;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Most exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE_MAX: &str = "19";
/// Set to 1, this variable makes the tests run that need Python and the network.
const SWITCH: &str = "DRYSTONE_PYTHON_TESTS";

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(of)
}

fn files(of: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(of)).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

/// The words of a text that begin with `prefix`, as far as `keeps` holds.
fn words<'a>(text: &'a str, prefix: &str, keeps: fn(char) -> bool) -> BTreeSet<&'a str> {
    text.match_indices(prefix)
        .map(|(at, _)| &text[at..])
        .map(|word| &word[..word.find(|c| !keeps(c)).unwrap_or(word.len())])
        .filter(|word| word.len() > prefix.len())
        .collect()
}

#[test]
fn every_flag_and_variable_that_packaging_names_is_one_of_the_server() {
    let help = String::from_utf8(drystone(&["--help"]).stdout).unwrap();
    let flags = words(&help, "--", |c| c.is_ascii_lowercase() || c == '-');
    let variables: BTreeSet<String> = flags
        .iter()
        .map(|flag| format!("ETCD_{}", flag[2..].to_uppercase().replace('-', "_")))
        .collect();
    let mut seen = 0;
    for path in ["kubernetes", "systemd"].into_iter().flat_map(files) {
        let text = std::fs::read_to_string(&path).unwrap();
        let settings = text.lines().filter(|line| line.contains('='));
        for line in settings {
            for flag in words(line, "--", |c| c.is_ascii_lowercase() || c == '-') {
                assert!(flags.contains(flag), "{} names {flag}", path.display());
                seen += 1;
            }
            for variable in words(line, "ETCD_", |c| c.is_ascii_uppercase() || c == '_') {
                assert!(variables.contains(variable), "{} names {variable}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "only {seen} settings were found, so this test reads too little");
}

#[test]
fn the_unit_is_closed_to_almost_everything() {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--threshold", EXPOSURE_MAX]);
    let Ok(said) = analyze.arg(folder("systemd/drystone.service")).output() else {
        println!("skipped: needs systemd-analyze, of Debian's package systemd");
        return;
    };
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

#[test]
fn the_manifests_are_what_kubernetes_takes() {
    if std::env::var_os(SWITCH).is_none_or(|value| value != "1") {
        println!(
            "skipped: needs python3 with venv and the network for pip; set {SWITCH}=1 to run it"
        );
        return;
    }
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubernetes-venv");
    let succeed = |command: &mut Command| {
        let said = command.output().unwrap();
        assert!(said.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said.stderr));
    };
    let validate = venv.join("bin/kubernetes-validate");
    if !validate.exists() {
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        let wanted = ["install", "--quiet", "kubernetes-validate==1.37.0"];
        succeed(Command::new(venv.join("bin/pip")).args(wanted));
    }
    succeed(Command::new(&validate).arg("--strict").args(files("kubernetes")));
}
