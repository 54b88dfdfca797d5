//! The same requests to this server and to etcd 3.5 or later, where there is one: `$ETCD_BIN`, or
//! the `etcd` in `PATH`. Without one the test says so and passes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::ask::{Answer, PATIENCE, ask, try_ask};
use crate::{config_with, start_as};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const HOSTS: &str = "--host-whitelist=127.0.0.1,localhost";
const ORIGINS: &str = "--cors=http://a.example:80";

/// Method, path, more lines. What is answered must be the same, save what [`told`] leaves out.
const ASKED: &[(&str, &str, &[&str])] = &[
    ("GET", "/health", &[]),
    ("GET", "/health?serializable=true", &[]),
    ("GET", "/health?exclude=NOSPACE&exclude=NOBODY", &[]),
    ("POST", "/health", &[]),
    ("HEAD", "/health", &[]),
    ("POST", "/version", &[]),
    ("DELETE", "/debug/vars", &[]),
    ("GET", "/", &[]),
    ("GET", "/nothing", &[]),
    ("GET", "/v2/keys", &[]),
    ("GET", "/config/local/log", &[]),
    ("GET", "/debug/pprof/", &[]),
    ("OPTIONS", "/anything", &[]),
    ("OPTIONS", "/health", &["Origin: http://a.example:80"]),
    ("GET", "/health", &["Origin: http://a.example:80"]),
    ("GET", "/health", &["Origin: http://b.example"]),
    ("GET", "/health", &["Host: evil.example:80"]),
    ("OPTIONS", "/health", &["Host: evil.example"]),
    ("GET", "/health", &["Host: localhost:1"]),
];

struct Etcd {
    child: Child,
    clients: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// etcd of a release that has these paths, running; `None` when this machine has none.
async fn etcd() -> Option<Etcd> {
    let program = std::env::var("ETCD_BIN").unwrap_or_else(|_| "etcd".to_owned());
    let told = Command::new(&program).arg("--version").output().ok()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let version = told.lines().next()?.rsplit(' ').next()?.to_owned();
    let mut numbers = version.split('.').filter_map(|number| number.parse::<u32>().ok());
    if (numbers.next()?, numbers.next()?) < (3, 5) {
        return None;
    }
    let [clients, peers] = [(); 2].map(|()| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    });
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new(&program)
        .arg(format!("--data-dir={}", folder.path().display()))
        .arg(format!("--listen-client-urls=http://{clients}"))
        .arg(format!("--advertise-client-urls=http://{clients}"))
        .arg(format!("--listen-peer-urls=http://{peers}"))
        .arg(format!("--initial-advertise-peer-urls=http://{peers}"))
        .arg(format!("--initial-cluster=default=http://{peers}"))
        .args([HOSTS, ORIGINS])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let etcd = Etcd { child, clients, _folder: folder };
    let ready = async {
        while !try_ask(clients, "GET", "/health", &[])
            .await
            .is_ok_and(|answer| answer.status == 200)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.unwrap();
    Some(etcd)
}

/// An answer without what depends on the moment.
fn told(mut answer: Answer) -> Answer {
    for header in ["date", "connection"] {
        answer.headers.remove(header);
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_etcds() {
    let Some(etcd) = etcd().await else {
        eprintln!("skipped: there is no etcd 3.5 or later in $ETCD_BIN or PATH");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (server, _channel) = start_as(config_with(folder.path(), &[HOSTS, ORIGINS])).await;
    let mut differ = Vec::new();
    for (method, path, lines) in ASKED {
        let theirs = told(ask(etcd.clients, method, path, lines).await);
        let ours = told(ask(server.client_addresses()[0], method, path, lines).await);
        if theirs != ours {
            differ.push(format!("{method} {path} {lines:?}\n  etcd: {theirs:?}\n  here: {ours:?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    server.stop().await;
}
