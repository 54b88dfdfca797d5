//! `etcdctl` and members over TLS: papers that are right, wrong, revoked and replaced.

use crate::tables::alone;
use drystone_conformance::harness::Program;
use drystone_conformance::rotation;
use drystone_conformance::secure::SecureCluster;
use drystone_tls::testing::{Authority, Order, write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The `etcdctl`s of this machine, each version once.
fn etcdctls() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(PathBuf::from("/usr/bin")).chain(std::env::split_paths(&path));
    let mut found: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for program in all.map(|folder| folder.join("etcdctl")) {
        let told = Command::new(&program).env("ETCDCTL_API", "3").arg("version").output();
        let Ok(told) = told else { continue };
        if told.status.success() && found.iter().all(|(_, version)| *version != told.stdout) {
            found.push((program, told.stdout));
        }
    }
    found.into_iter().map(|(program, _)| program).collect()
}

/// Runs `etcdctl` with the papers of one name, or none.
fn etcdctl(program: &Path, cluster: &SecureCluster, name: Option<&str>, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    let file = |name: &str| cluster.path(name).display().to_string();
    command
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &format!("https://{}", cluster.client_addresses()[0])])
        .args(["--cacert", &file("ca.crt"), "--dial-timeout=1s", "--command-timeout=3s"]);
    if let Some(name) = name {
        command.args(["--cert", &file(&format!("{name}.crt"))]);
        command.args(["--key", &file(&format!("{name}.key"))]);
    }
    command.args(words).output().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

fn works(program: &Path, cluster: &SecureCluster, name: &str) {
    let put = etcdctl(program, cluster, Some(name), &["put", "a", name]);
    assert!(put.status.success(), "{} {name}: {put:?}", program.display());
    let get = etcdctl(program, cluster, Some(name), &["get", "a", "--print-value-only"]);
    assert_eq!(String::from_utf8_lossy(&get.stdout).trim(), name, "{}", program.display());
}

fn fails(program: &Path, cluster: &SecureCluster, name: Option<&str>) {
    let put = etcdctl(program, cluster, name, &["put", "a", "x"]);
    assert!(!put.status.success(), "{} {name:?}: {put:?}", program.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_with_right_wrong_revoked_and_replaced_certificates() {
    let programs = etcdctls();
    if programs.is_empty() {
        eprintln!("skipped: no etcdctl; `apt-get install etcd-client` brings one");
        return;
    }
    let _turn = alone().await;
    let program = Program::drystone().unwrap_or_else(|error| panic!("{error}"));
    let papers = tempfile::tempdir().unwrap();
    let authority = Authority::new("A");
    let list = papers.path().join("revoked.crl");
    write(&list, &authority.revoke(&[0xbad]));
    let flag = format!("--client-crl-file={}", list.display());
    let cluster = SecureCluster::start(&program, 1, &authority, &[&flag]).await.unwrap();
    let issue = |authority: &Authority, name: &str, serial, days| {
        let order = Order { common_name: name, serial, days, ..Order::default() };
        cluster.issue(authority, name, &order);
    };
    issue(&authority, "alice", 7, 30);
    issue(&authority, "revoked", 0xbad, 30);
    issue(&authority, "over", 8, -1);
    issue(&Authority::new("A"), "stranger", 9, 30);
    for etcdctl in &programs {
        works(etcdctl, &cluster, "alice");
        for name in [Some("revoked"), Some("over"), Some("stranger"), None] {
            fails(etcdctl, &cluster, name);
        }
    }
    // Everything is replaced: both authorities, then the certificates, then the new one alone.
    let next = Authority::new("B");
    write(&cluster.path("ca.crt"), format!("{}{}", authority.pem, next.pem).as_bytes());
    programs.iter().for_each(|etcdctl| works(etcdctl, &cluster, "alice"));
    cluster.issue(&next, "member", &Order { common_name: "member", ..Order::default() });
    issue(&next, "bob", 10, 30);
    for etcdctl in &programs {
        works(etcdctl, &cluster, "alice");
        works(etcdctl, &cluster, "bob");
    }
    write(&cluster.path("ca.crt"), next.pem.as_bytes());
    for etcdctl in &programs {
        works(etcdctl, &cluster, "bob");
        fails(etcdctl, &cluster, Some("alice"));
    }
    // One that is revoked now is kept out from now on.
    write(&list, &next.revoke(&[10]));
    programs.iter().for_each(|etcdctl| fails(etcdctl, &cluster, Some("bob")));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_replace_every_certificate_and_the_authority_without_a_failed_request() {
    let _turn = alone().await;
    let program = Program::drystone().unwrap_or_else(|error| panic!("{error}"));
    let config = rotation::Config { rounds: 2, ..rotation::Config::default() };
    let outcome = rotation::run(&program, &config).await.unwrap();
    assert!(outcome.requests >= 3 * 2 * 3 * config.requests);
}
