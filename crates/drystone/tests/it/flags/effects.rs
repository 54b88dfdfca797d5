//! What flags of the member do, seen from outside a server that was started with them in each way.

use super::server::{AWAITED_MAX, Running, free, port};
use super::wire::{self, Silent, get, post, stream};
use super::{WAYS, Way, command, row};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

fn holds_files(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// The ids are those that etcd gives to a member with this URL and token.
#[test]
fn names_folders_ids_and_the_log_are_as_given_in_every_way() {
    for way in WAYS {
        let wal = tempfile::tempdir().unwrap();
        let wal_dir = wal.path().join("log").display().to_string();
        let server = Running::start(
            way,
            &[
                ("name", "anna"),
                ("wal-dir", &wal_dir),
                ("initial-advertise-peer-urls", "http://localhost:2380"),
                ("initial-cluster", "anna=http://localhost:2380"),
                ("initial-cluster-token", "another"),
                ("advertise-client-urls", "http://a.b:7"),
                ("log-level", "debug"),
                ("log-format", "console"),
                ("log-outputs", "stdout"),
            ],
        );
        let (_, members) = server.ctl(&["member", "list"]);
        for part in ["fca68ffa5fb3a823", "anna", "http://localhost:2380", "http://a.b:7"] {
            assert!(members.contains(part), "{part} by {way:?}: {members}");
        }
        assert!(holds_files(&server.path("data")), "{way:?}");
        assert!(holds_files(Path::new(&wal_dir)), "{way:?}");
        let out = server.stream("out");
        assert!(!out.lines().any(|line| line.starts_with('{')), "{way:?}: {out}");
        assert!(!server.stream("err").contains("ready to serve"), "{way:?}");
        assert!(out.to_lowercase().contains("debug"), "{way:?}: {out}");
    }
}

#[test]
fn bounds_on_requests_hold_in_every_way() {
    for way in WAYS {
        let server = Running::start(
            way,
            &[
                ("max-request-bytes", "1000"),
                ("max-txn-ops", "1"),
                ("max-learners", "0"),
                ("quota-backend-bytes", "20000"),
                ("quota-warning-percent", "10"),
            ],
        );
        let (went_well, text) = server.ctl(&["put", "a", &"x".repeat(1_500)]);
        assert!(!went_well && text.contains("request is too large"), "{way:?}: {text}");
        let (went_well, text) =
            server.ctl(&["member", "add", "a", "--learner", "--peer-urls=http://127.0.0.1:7"]);
        assert!(!went_well && text.contains("too many learner members"), "{way:?}: {text}");
        let range = r#"{"requestRange":{"key":"YQ=="}}"#;
        let answer =
            post(&server.client, "/v3/kv/txn", &format!(r#"{{"success":[{range},{range}]}}"#));
        assert!(answer.contains("too many operations in txn request"), "{way:?}: {answer}");
        let answer = post(&server.client, "/v3/kv/txn", &format!(r#"{{"success":[{range}]}}"#));
        assert!(answer.contains(r#""succeeded":true"#), "{way:?}: {answer}");
        // Twenty thousand bytes hold no hundred values of nine hundred.
        let value = "eHh4".repeat(300);
        let refusal = (0..100).find_map(|n| {
            let body = format!(r#"{{"key":"{}","value":"{value}"}}"#, "YWFh".repeat(n + 1));
            let answer = post(&server.client, "/v3/kv/put", &body);
            (!answer.starts_with("HTTP/1.1 200")).then_some(answer)
        });
        let refusal = refusal.expect("the quota is reached");
        assert!(refusal.contains("database space exceeded"), "{way:?}: {refusal}");
        let metrics = get(&server.client, "/metrics");
        assert!(metrics.contains("etcd_server_quota_backend_bytes 20000"), "{way:?}: {metrics}");
        // The store is looked at now and then.
        drop(server.says("the store is near its quota"));
    }
}

#[test]
fn times_are_as_given_in_every_way() {
    for way in WAYS {
        let server = Running::start(
            way,
            &[
                ("heartbeat-interval", "600"),
                ("election-timeout", "3000"),
                ("warning-apply-duration", "1ns"),
                ("watch-progress-notify-interval", "100ms"),
                ("metrics", "extensive"),
                ("feature-gates", "CompactHashCheck=false"),
                ("experimental-initial-corrupt-check", "false"),
                ("native-snapshot", "true"),
            ],
        );
        // A lease lives for one and a half elections at the least.
        let lease = post(&server.client, "/v3/lease/grant", r#"{"TTL":1}"#);
        assert!(lease.contains(r#""TTL":"5""#), "{way:?}: {lease}");
        assert!(server.said().contains(r#""expected-duration":"1ns""#), "{way:?}");
        // The answer that it is open, and two notices without events.
        let watch = r#"{"create_request":{"key":"YQ==","progress_notify":true}}"#;
        stream(&server.client, "/v3/watch", watch, r#"{"result":"#, 3);
        let metrics = get(&server.client, "/metrics");
        for line in [
            r#"etcd_server_feature_enabled{name="CompactHashCheck",stage="ALPHA"} 0"#,
            r#"etcd_server_feature_enabled{name="InitialCorruptCheck",stage="ALPHA"} 0"#,
            "grpc_server_handling_seconds_bucket",
        ] {
            assert!(metrics.contains(line), "{line} by {way:?}: {metrics}");
        }
        let snapshot = stream(&server.client, "/v3/maintenance/snapshot", "{}", "blob", 1);
        assert!(!snapshot.contains("not served"), "{way:?}: {snapshot}");
    }
}

#[test]
fn connections_are_bounded_and_probed_as_given_in_every_way() {
    for way in WAYS {
        let server = Running::start(
            way,
            &[
                ("max-concurrent-streams", "7"),
                ("grpc-keepalive-interval", "1s"),
                ("grpc-keepalive-timeout", "1s"),
                ("drystone-max-connections-per-address", "3"),
            ],
        );
        let mut three = [(); 3].map(|()| Silent::connect(&server.client));
        for client in &mut three {
            let (kind, payload) = client.next().expect("three are taken");
            assert_eq!(kind, wire::SETTINGS, "{way:?}");
            let streams = wire::setting(&payload, wire::MAX_CONCURRENT_STREAMS);
            assert_eq!(streams, Some(7), "{way:?}");
        }
        assert_eq!(Silent::connect(&server.client).next(), None, "a fourth, {way:?}");
        // Who does not answer pings is let go.
        let mut pinged = false;
        while let Some((kind, _)) = three[0].next() {
            pinged |= kind == wire::PING;
        }
        assert!(pinged, "{way:?}");
    }
}

#[test]
fn a_member_that_comes_back_forgets_the_others_where_it_is_told_to_in_every_way() {
    for way in WAYS {
        let server = Running::start(way, &[]);
        let add = ["member", "add", "b", "--peer-urls=http://127.0.0.1:7"];
        let (went_well, text) = server.ctl(&add);
        assert!(went_well, "{text}");
        let peer = server.peer.clone();
        let forced = [("listen-peer-urls", peer.as_str()), ("force-new-cluster", "true")];
        std::fs::remove_file(server.path("err")).unwrap();
        let server = Running::launch_in(server.into_folder(), way, &forced);
        let server = server.says("ready to serve client requests");
        let (_, members) = server.ctl(&["member", "list"]);
        assert_eq!(members.trim().lines().count(), 1, "{way:?}: {members}");
    }
}

#[test]
fn who_joins_what_is_not_there_ends_in_every_way() {
    for way in WAYS {
        let peer = free("http");
        let cluster = format!("default={peer},b=http://127.0.0.1:{}", port());
        let settings = [
            ("listen-peer-urls", peer.as_str()),
            ("initial-cluster", &cluster),
            ("initial-cluster-state", "existing"),
        ];
        let mut server = Running::launch(way, &settings);
        assert_eq!(server.ends().code(), Some(1), "{way:?}: {}", server.said());
        assert!(server.said().contains("failed to start"), "{way:?}: {}", server.said());
    }
}

/// Another server may listen where this one does, if both are told to.
#[test]
fn a_port_is_shared_only_by_those_who_are_told_to_in_every_way() {
    for way in WAYS {
        let first = Running::start(way, &[("socket-reuse-port", "true")]);
        let urls = [("listen-client-urls", first.client.as_str())];
        let mut alone = Running::launch(way, &urls);
        assert_eq!(alone.ends().code(), Some(1), "{way:?}");
        assert!(alone.said().contains("cannot listen on"), "{way:?}: {}", alone.said());
        drop(Running::start(way, &[urls[0], ("socket-reuse-port", "true")]));
    }
}

/// Memory is locked, or the server says what it lacks and does not start.
#[test]
fn memory_is_locked_or_nothing_starts_in_every_way() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    /// `CAP_IPC_LOCK`.
    const LOCK: u64 = 1 << 14;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max locked memory")).unwrap();
    let may = u64::from_str_radix(rights.trim(), 16).unwrap() & LOCK != 0
        || limit.trim_start().starts_with("unlimited");
    for way in WAYS {
        let settings = [("memory-mlock", "true")];
        if may {
            let server = Running::start(way, &settings);
            let status = server.status();
            let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
            assert_ne!(locked.trim(), "0 kB", "{way:?}");
        } else {
            let mut server = Running::launch(way, &settings);
            assert_eq!(server.ends().code(), Some(1), "{way:?}: {}", server.said());
            assert!(server.said().contains("CAP_IPC_LOCK"), "{way:?}: {}", server.said());
        }
    }
}

/// Another member that takes connections and says nothing is given up after the deadline, which
/// etcd's file cannot set.
#[test]
fn a_silent_member_is_given_up_after_the_deadline() {
    for way in [Way::Flag, Way::Variable] {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = free("http");
        let cluster = format!("default={peer},b=http://{}", silent.local_addr().unwrap());
        let server = Running::launch(
            way,
            &[
                ("listen-peer-urls", peer.as_str()),
                ("initial-cluster", &cluster),
                ("raft-read-timeout", "6s"),
                ("raft-write-timeout", "1s"),
                ("log-level", "debug"),
            ],
        );
        let server = server.says("raft-write-timeout increased to minimum value: 5s");
        server.says("the peer is silent for 6s");
    }
}

#[test]
fn a_signal_ends_it_as_it_ends_etcd() {
    for (signal, number) in [("-TERM", 15), ("-INT", 2)] {
        let mut server = Running::start(Way::Flag, &[]);
        let status = server.end(signal);
        assert_eq!((status.code(), status.signal()), (None, Some(number)), "{signal}");
        assert!(server.said().contains("received signal; shutting down"));
    }
}

#[test]
fn the_service_manager_hears_when_clients_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(AWAITED_MAX)).unwrap();
    let (client, peer) = (free("http"), free("http"));
    let data = folder.path().join("data").display().to_string();
    let settings = [
        (row("data-dir"), data.as_str()),
        (row("listen-client-urls"), client.as_str()),
        (row("advertise-client-urls"), client.as_str()),
        (row("listen-peer-urls"), peer.as_str()),
        (row("initial-advertise-peer-urls"), peer.as_str()),
    ];
    let mut server = command(folder.path(), &[], Way::Flag, &settings);
    server.env("NOTIFY_SOCKET", &socket).stderr(Stdio::null());
    let mut child = server.spawn().unwrap();
    let mut heard = [0; 64];
    let count = manager.recv(&mut heard);
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(String::from_utf8_lossy(&heard[..count.unwrap()]).trim(), "READY=1");
}

#[test]
fn the_log_goes_to_its_file_in_every_way() {
    for way in WAYS {
        let rotation = r#"{"maxsize": 7}"#;
        let settings = [
            ("log-outputs", "log"),
            ("enable-log-rotation", "true"),
            ("log-rotation-config-json", rotation),
        ];
        let server = Running::start(way, &settings);
        assert!(server.stream("log").contains("ready to serve"), "{way:?}");
        assert_eq!(server.stream("err"), "", "{way:?}");
    }
}
