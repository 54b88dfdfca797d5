//! Client libraries of other languages.

use drystone_conformance::harness::{Cluster, Launch, Program};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set to 1, this variable makes the tests run that need Python and the network.
const SWITCH: &str = "DRYSTONE_PYTHON_TESTS";

/// Runs a program to its end; its output, or a message with everything it said.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{text}\n{errors}", output.status))
}

/// A Python with etcd3 in it, under the target directory, made when it is not there.
fn python() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("etcd3-venv");
    let python = dir.join("bin/python");
    let works = |python: &Path| run(Command::new(python).args(["-c", "import etcd3"])).is_ok();
    if works(&python) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
    // etcd3's generated code is of a time before protobuf 4.
    let wanted = ["-m", "pip", "install", "--quiet", "etcd3==0.12.0", "protobuf==3.20.*"];
    run(Command::new(&python).args(wanted))?;
    if works(&python) { Ok(python) } else { Err("etcd3 does not import".to_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_etcd3() {
    if std::env::var_os(SWITCH).is_none_or(|value| value != "1") {
        println!(
            "skipped: needs python3 with venv and the network for pip; set {SWITCH}=1 to run it"
        );
        return;
    }
    let python = python().unwrap_or_else(|error| panic!("{error}"));
    let drystone = Program::drystone().unwrap_or_else(|error| panic!("{error}"));
    let cluster = Cluster::start(&drystone, &Launch::of(1)).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/etcd3_client.py");
    let mut command = Command::new(python);
    command.arg(script).args(cluster.endpoints());
    let said = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
    let said = said.unwrap_or_else(|error| panic!("{error}\n{}", cluster.logs()));
    assert!(said.trim_end().ends_with("all passed"), "{said}");
}
