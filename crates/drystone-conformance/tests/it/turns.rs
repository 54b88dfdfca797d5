//! Command lines beside services: locks and elections in one queue, lists in chunks.

use drystone_api::etcdserverpb::PutRequest;
use drystone_api::v3electionpb::LeaderRequest;
use drystone_api::v3electionpb::election_client::ElectionClient;
use drystone_api::v3lockpb::lock_client::LockClient;
use drystone_api::v3lockpb::{LockRequest, UnlockRequest};
use drystone_conformance::harness::{Cluster, Launch, Program};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Bound on what would hang if it went wrong.
const HANG_MAX: Duration = Duration::from_secs(60);

fn drystone() -> Program {
    Program::drystone().unwrap_or_else(|error| panic!("{error}"))
}

/// The command lines to try: ours, and etcd's if it is there.
fn command_lines(endpoint: &str) -> Vec<Command> {
    let mut ours = Command::new(drystone().path());
    ours.args(["ctl", "--endpoints", endpoint]);
    let mut found = vec![ours];
    if Path::new("/usr/bin/etcdctl").is_file() {
        let mut theirs = Command::new("/usr/bin/etcdctl");
        theirs.env("ETCDCTL_API", "3").args(["--endpoints", endpoint]);
        found.push(theirs);
    }
    found
}

/// A directory can be made only while there is none: two who hold the lock are found out.
#[tokio::test(flavor = "multi_thread")]
async fn command_lines_and_the_service_exclude_each_other() {
    const EACH: usize = 3;
    let cluster = Cluster::start(&drystone(), &Launch::of(1)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let held = dir.path().join("held");
    let script = format!("mkdir '{0}' && rmdir '{0}'", held.display());
    let mut ran = Vec::new();
    for _ in 0..EACH {
        for mut command in command_lines(&cluster.endpoints()[0]) {
            command.args(["lock", "L", "--", "sh", "-c", &script]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            ran.push(command.spawn().unwrap());
        }
    }
    for _ in 0..EACH {
        let mut client = LockClient::new(cluster.client().transport());
        let lock = client.lock(LockRequest { name: "L".into(), lease: 0 });
        let key = tokio::time::timeout(HANG_MAX, lock).await.unwrap().unwrap().into_inner().key;
        std::fs::create_dir(&held).unwrap();
        std::fs::remove_dir(&held).unwrap();
        client.unlock(UnlockRequest { key }).await.unwrap();
    }
    for child in ran {
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
        let ended = tokio::time::timeout(HANG_MAX, ended).await.unwrap().unwrap().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_elected_on_the_command_line_leads_until_he_is_ended() {
    let cluster = Cluster::start(&drystone(), &Launch::of(1)).await.unwrap();
    let mut election = ElectionClient::new(cluster.client().transport());
    let request = LeaderRequest { name: "E".into() };
    for mut command in command_lines(&cluster.endpoints()[0]) {
        let mut child = command.args(["elect", "E", "me"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = tokio::task::spawn_blocking(move || [lines.next(), lines.next()]);
        let said = tokio::time::timeout(HANG_MAX, said).await.unwrap().unwrap();
        let [key, value] = said.map(|line| line.unwrap().unwrap());
        let leader = election.leader(request.clone()).await.unwrap().into_inner().kv.unwrap();
        assert_eq!((leader.key, leader.value), (key.into(), value.into()));
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let ended = tokio::task::spawn_blocking(move || child.wait());
        let ended = tokio::time::timeout(HANG_MAX, ended).await.unwrap().unwrap().unwrap();
        assert!(ended.success(), "{ended}");
        let gone = election.leader(request.clone()).await.unwrap_err();
        assert_eq!(gone.message(), "election: no leader");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prints_a_list_in_chunks_as_any_other() {
    let cluster = Cluster::start(&drystone(), &Launch::of(1)).await.unwrap();
    for n in 0..50 {
        let (key, value) = (format!("k{n}").into(), "v".into());
        let put = PutRequest { key, value, ..Default::default() };
        cluster.client().put(put).await.unwrap();
    }
    let endpoint = &cluster.endpoints()[0];
    let get = |more: &[&str]| {
        let mut command = command_lines(endpoint).remove(0);
        command.args(["get", "k", "--prefix", "-w", "fields"]).args(more).output().unwrap()
    };
    let (plain, chunks) = (get(&[]), get(&["--stream"]));
    assert!(plain.status.success() && plain.stdout.len() > 1000);
    assert_eq!(plain, chunks);
    let refused = get(&["--stream", "--order", "descend"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        "Error: rpc error: code = Unimplemented desc = RangeStream does not support custom sort \
         orders\n"
    );
}
