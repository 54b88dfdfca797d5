//! The system's programs that make namespaces, file systems and faults.

use anyhow::{Context as _, bail, ensure};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Bound on one call of a program, in seconds, as `timeout` takes it.
const SECONDS_MAX: &str = "30";

/// What a run needs, and Debian's package that has it.
const NEEDED: &[(&str, &str)] = &[
    ("timeout", "coreutils"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
    ("dumpe2fs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("findmnt", "util-linux"),
    ("fsfreeze", "util-linux"),
    ("python3", "python3"),
    ("strace", "strace"),
];

/// Fails with the name of what is missing of all that chaos needs.
pub(crate) fn check() -> anyhow::Result<()> {
    check_for(&NEEDED.iter().map(|(program, _)| *program).collect::<Vec<_>>())
}

/// The same for some of its programs.
pub(crate) fn check_for(programs: &[&str]) -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "namespaces and mounts need root: run as root");
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(program, _)| programs.contains(program))
        .filter(|(program, _)| !is_there(program))
        .map(|(program, package)| format!("{program} (Debian: {package})"))
        .collect();
    ensure!(missing.is_empty(), "programs are missing: {}", missing.join(", "));
    let loops = Path::new("/dev/loop-control");
    ensure!(loops.exists(), "no {}: the kernel has no loop devices", loops.display());
    Ok(())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Runs a program to its end, which must be a success; what it wrote to standard output.
pub(crate) fn run<'a>(words: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
    feed(words, "")
}

/// The same, with `text` on its standard input.
pub(crate) fn feed<'a>(
    words: impl IntoIterator<Item = &'a str>,
    text: &str,
) -> anyhow::Result<String> {
    let words: Vec<&str> = words.into_iter().collect();
    let output = output(&words, text)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}", words.join(" "), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program to its end, whatever that is.
pub(crate) fn output(words: &[&str], text: &str) -> anyhow::Result<Output> {
    let line = words.join(" ");
    let mut child = Command::new("timeout")
        .arg(SECONDS_MAX)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start: {line}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read its input may be gone already.
        let _ = input.write_all(text.as_bytes());
    }
    child.wait_with_output().with_context(|| format!("cannot wait for: {line}"))
}

/// A path as a word of a command.
pub(crate) fn word(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
