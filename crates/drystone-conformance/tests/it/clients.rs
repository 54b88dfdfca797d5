//! Client libraries of other languages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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

/// A client library of Python's: its module, and what pip is to fetch.
struct Library {
    module: &'static str,
    wanted: &'static [&'static str],
    script: &'static str,
}

/// etcd3's generated code is of a time before protobuf 4.
const ETCD3: Library = Library {
    module: "etcd3",
    wanted: &["etcd3==0.12.0", "protobuf==3.20.*"],
    script: "python/etcd3_client.py",
};
/// It speaks JSON.
const ETCD3GW: Library =
    Library { module: "etcd3gw", wanted: &["etcd3gw==2.7.0"], script: "python/etcd3gw_client.py" };

/// A Python with the library in it, under the target directory, made when it is not there.
fn python(library: &Library) -> Result<PathBuf, String> {
    let module = library.module;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{module}-venv"));
    let python = dir.join("bin/python");
    let import = format!("import {module}");
    let works = |python: &Path| run(Command::new(python).args(["-c", &import])).is_ok();
    if works(&python) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
    let pip = ["-m", "pip", "install", "--quiet"];
    run(Command::new(&python).args(pip).args(library.wanted))?;
    if works(&python) { Ok(python) } else { Err(format!("{module} does not import")) }
}

async fn passes(library: &Library) {
    if std::env::var_os(SWITCH).is_none_or(|value| value != "1") {
        eprintln!(
            "skipped: needs python3 with venv and the network for pip; set {SWITCH}=1 to run it"
        );
        return;
    }
    let python = python(library).unwrap_or_else(|error| panic!("{error}"));
    let drystone = Program::drystone().unwrap_or_else(|error| panic!("{error}"));
    let cluster = Cluster::start(&drystone, &Launch::of(1)).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(library.script);
    let mut command = Command::new(python);
    command.arg(script).args(cluster.endpoints());
    let said = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
    let said = said.unwrap_or_else(|error| panic!("{error}\n{}", cluster.logs()));
    assert!(said.trim_end().ends_with("all passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_etcd3() {
    passes(&ETCD3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_etcd3gw() {
    passes(&ETCD3GW).await;
}
