//! Where etcd is installed it is asked the same as Drystone.

use super::refusals::by_kind;
use super::server::AWAITED_MAX;
use super::table::{Key, ROWS};
use super::{WAYS, Way, file, give};
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Flags of which etcd 3.4 and 3.5 say other words: they had other kinds, and a bad log level made
/// etcd panic.
const OTHER_WORDS: &[&str] = &["v2-deprecation", "log-level", "max-concurrent-streams"];

/// Keys of the file that 3.5 did not have, and one whose words name another flag.
const OTHER_KEYS: &[&str] = &[
    "socket-reuse-port",
    "socket-reuse-address",
    "client-cert-allowed-hostname",
    "peer-cert-allowed-cn",
    "peer-cert-allowed-hostname",
    "advertise-client-urls",
];

/// In 3.4 the log of a refusal had another form, so that it is asked of the command line alone.
fn ways(version: &str) -> &'static [Way] {
    if version.contains("etcd Version: 3.4") { &[Way::Flag] } else { &WAYS }
}

/// What it said, and its exit code; none if it had to be ended, because it took the value.
fn outcome(mut etcd: Command, folder: &Path) -> (String, Option<i32>) {
    let path = folder.join("err");
    let stderr = std::fs::File::create(&path).unwrap();
    // A script may stand before etcd, so that all of the group is ended.
    etcd.process_group(0);
    let mut child = etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    let since = Instant::now();
    let ended = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if since.elapsed() > AWAITED_MAX => break None,
            None => std::thread::sleep(LOOK),
        }
    };
    if ended.is_none() {
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = child.wait();
    }
    (String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned(), ended)
}

#[test]
fn etcd_refuses_bad_values_in_the_same_words() {
    let Ok(version) = Command::new("etcd").arg("--version").output() else {
        eprintln!("etcd is not installed; nothing to compare with");
        return;
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let help = Command::new("etcd").arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let folder = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    let mut compared = 0;
    for row in ROWS.iter().filter(|row| !OTHER_WORDS.contains(&row.name)) {
        if !help.contains(&format!("  --{} ", row.name)) {
            continue;
        }
        for way in ways(&version) {
            let Some((value, words, code)) = by_kind(row, *way) else { continue };
            // Of variables and keys one of each sort will do.
            let block = if let Key::At(_, block) = row.key { block } else { "" };
            let is_new = *way == Way::Flag || seen.insert((*way, row.kind, block));
            if !is_new || *way == Way::File && OTHER_KEYS.contains(&row.name) {
                continue;
            }
            let mut etcd = Command::new("etcd");
            let text = file(&[(row, value.to_owned())]);
            give(&mut etcd, folder.path(), *way, &[(row, value)], &text);
            let (stderr, ended) = outcome(etcd, folder.path());
            let what = format!("{} by {way:?}: {stderr}", row.name);
            assert!(stderr.replace("\\\"", "\"").contains(&words), "{words}: {what}");
            assert_eq!(ended, Some(code), "{what}");
            compared += 1;
        }
    }
    assert!(compared > 20, "only {compared} flags were compared");
}
