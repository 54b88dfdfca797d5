//! The probes, each seen red and green.

use super::ask::{Answer, PATIENCE, get, try_ask};
use crate::{config_with, members, start_as, three_with};
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::alarm_request::AlarmAction;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use drystone_api::etcdserverpb::watch_client::WatchClient;
use drystone_metrics::Scrape;
use drystone_server::Server;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::transport::Channel;

const PROBES: &str = "--listen-metrics-urls=http://127.0.0.1:0";
/// Elections in a fifth of a second, so that reads without a leader are given up sooner.
const FAST: [&str; 2] = ["--heartbeat-interval=20", "--election-timeout=200"];
const PAUSE: Duration = Duration::from_millis(20);
const CHECKS: [&str; 4] =
    ["data_corruption", "linearizable_read", "non_learner", "serializable_read"];

/// The lines of a report, sorted: their order says nothing.
fn lines(answer: &Answer) -> Vec<&str> {
    let mut lines: Vec<&str> = answer.body.lines().collect();
    lines.sort_unstable();
    lines
}

fn green(answer: &Answer) {
    assert_eq!((answer.status, &*answer.body), (200, "ok\n"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

/// One check of `/readyz` is red, by itself and among the others, and not when it is left out.
async fn red_is(to: SocketAddr, check: &str, reason: &str) {
    let all = get(to, "/readyz").await;
    assert_eq!(all.status, 503, "{}", all.body);
    assert!(all.body.ends_with("\n\n"), "{:?}", all.body);
    assert_eq!(all.header("x-content-type-options"), "nosniff");
    let red = format!("[-]{check} failed: {reason}");
    let mut expected: Vec<String> = CHECKS
        .iter()
        .map(|name| if *name == check { red.clone() } else { format!("[+]{name} ok") })
        .collect();
    expected.push(String::new());
    expected.sort();
    assert_eq!(lines(&all), expected);
    let one = get(to, &format!("/readyz/{check}")).await;
    assert_eq!((one.status, one.body), (503, format!("{red}\n\n")));
    green(&get(to, &format!("/readyz?exclude={check}")).await);
}

async fn until(to: SocketAddr, path: &str, status: u16) -> Answer {
    let found = async {
        loop {
            if let Ok(answer) = try_ask(to, "GET", path, &[]).await
                && answer.status == status
            {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap()
}

async fn health(to: SocketAddr, query: &str) -> (u16, String) {
    let answer = get(to, &format!("/health{query}")).await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    (answer.status, answer.body)
}

fn well() -> (u16, String) {
    (200, r#"{"health":"true","reason":""}"#.to_owned())
}

fn ill(reason: &str) -> (u16, String) {
    (503, format!("{{\"health\":\"false\",\"reason\":\"{reason}\"}}\n"))
}

async fn alarm(channel: &Channel, action: AlarmAction, alarm: pb::AlarmType) {
    let mut client = MaintenanceClient::new(channel.clone());
    let status = client.status(pb::StatusRequest {}).await.unwrap().into_inner();
    let member_id = status.header.unwrap().member_id;
    let request = pb::AlarmRequest { action: action as i32, member_id, alarm: alarm as i32 };
    client.alarm(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_probes_were_told_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start_as(config_with(folder.path(), &[PROBES])).await;
    let to = server.metrics_addresses()[0];
    let seen = async || Scrape::parse(&get(to, "/metrics").await.body).unwrap();
    let before = seen().await;
    assert_eq!(before.value("etcd_server_health_success", &[]), Some(0.0));
    assert_eq!(before.value("etcd_server_health_failures", &[]), Some(0.0));
    assert!(!before.families.contains_key("etcd_server_healthcheck"));
    assert_eq!(health(to, "").await, well());
    assert_eq!(super::ask::ask(to, "POST", "/health", &[]).await.status, 405);
    green(&get(to, "/livez").await);
    green(&get(to, "/readyz?exclude=linearizable_read").await);
    alarm(&channel, AlarmAction::Activate, pb::AlarmType::Corrupt).await;
    assert_eq!(health(to, "").await, ill("ALARM CORRUPT"));
    assert_eq!(health(to, "?exclude=NOSPACE").await, ill("ALARM CORRUPT"));
    assert_eq!(get(to, "/readyz/data_corruption").await.status, 503);
    let after = seen().await;
    assert_eq!(after.value("etcd_server_health_success", &[]), Some(1.0));
    assert_eq!(after.value("etcd_server_health_failures", &[]), Some(2.0));
    for (kind, name, succeeded, failed) in [
        ("livez", "serializable_read", Some(1.0), None),
        ("readyz", "serializable_read", Some(1.0), None),
        ("readyz", "non_learner", Some(1.0), None),
        ("readyz", "data_corruption", Some(1.0), Some(1.0)),
        ("readyz", "linearizable_read", None, None),
    ] {
        let counted = |status| {
            let labels = [("type", kind), ("name", name), ("status", status)];
            after.value("etcd_server_healthchecks_total", &labels)
        };
        assert_eq!((counted("success"), counted("error")), (succeeded, failed), "{kind} {name}");
        let last = after.value("etcd_server_healthcheck", &[("type", kind), ("name", name)]);
        let expected = succeeded.map(|_| if failed.is_some() { 0.0 } else { 1.0 });
        assert_eq!(last, expected, "{kind} {name}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_well_is_green_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _channel) = start_as(config_with(folder.path(), &[PROBES])).await;
    for to in [server.client_addresses()[0], server.metrics_addresses()[0]] {
        for query in ["", "?serializable=true", "?serializable=1", "?exclude=NOSPACE&exclude=X"] {
            assert_eq!(health(to, query).await, well(), "{query}");
        }
        green(&get(to, "/livez").await);
        green(&get(to, "/livez/serializable_read").await);
        for check in CHECKS {
            green(&get(to, &format!("/readyz/{check}")).await);
        }
        let verbose = get(to, "/readyz?verbose").await;
        let expected: Vec<String> = CHECKS.iter().map(|name| format!("[+]{name} ok")).collect();
        assert_eq!(lines(&verbose)[..4], expected);
        assert!(verbose.body.ends_with("\nok\n"));
        let verbose = get(to, "/livez?verbose=false&exclude=unknown").await;
        assert_eq!(verbose.body, "[+]serializable_read ok\nok\n");
        let verbose = get(to, "/livez?verbose&exclude=serializable%5Fread").await;
        assert_eq!(verbose.body, "ok\n");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_are_told_until_they_are_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start_as(config_with(folder.path(), &[])).await;
    let to = server.client_addresses()[0];

    alarm(&channel, AlarmAction::Activate, pb::AlarmType::Nospace).await;
    assert_eq!(health(to, "").await, ill("ALARM NOSPACE"));
    assert_eq!(health(to, "?exclude=NOSPACE").await, well());
    assert_eq!(health(to, "?exclude=NOSPACE,CORRUPT").await, ill("ALARM NOSPACE"));
    green(&get(to, "/readyz").await);
    alarm(&channel, AlarmAction::Activate, pb::AlarmType::Corrupt).await;
    assert_eq!(health(to, "?exclude=NOSPACE").await, ill("ALARM CORRUPT"));
    assert_eq!(health(to, "?exclude=NOSPACE&exclude=CORRUPT").await, well());
    green(&get(to, "/livez").await);
    red_is(to, "data_corruption", "alarm activated: CORRUPT").await;

    alarm(&channel, AlarmAction::Deactivate, pb::AlarmType::Corrupt).await;
    alarm(&channel, AlarmAction::Deactivate, pb::AlarmType::Nospace).await;
    assert_eq!(health(to, "").await, well());
    green(&get(to, "/readyz").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_a_member_is_alive_and_not_ready() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let configs = three_with(&folders, &[PROBES, FAST[0], FAST[1]]);
    let first = Server::start(configs[0].clone()).await.unwrap();
    let to = first.metrics_addresses()[0];
    // It answers supervisors before there is anything for clients.
    assert_eq!(health(to, "").await, ill("RAFT NO LEADER"));
    assert_eq!(health(to, "?serializable=true").await, well());
    green(&get(to, "/livez").await);
    red_is(to, "linearizable_read", "etcdserver: request timed out").await;
    let second = Server::start(configs[1].clone()).await.unwrap();
    green(&until(to, "/readyz", 200).await);
    assert_eq!(health(to, "").await, well());

    second.stop().await;
    until(to, "/health", 503).await;
    assert_eq!(health(to, "").await, ill("RAFT NO LEADER"));
    red_is(to, "linearizable_read", "etcdserver: request timed out").await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_is_not_ready_until_it_is_promoted() {
    let members = members::three().await;
    let mut learner = members::Member::new("d");
    let cluster = members[0].cluster().await;
    let request = pb::MemberAddRequest { peer_ur_ls: vec![learner.peer.clone()], is_learner: true };
    let added = members::once_healthy(|| {
        let (mut cluster, request) = (cluster.clone(), request.clone());
        async move { cluster.member_add(request).await }
    });
    let id = added.await.into_inner().member.unwrap().id;
    let listed = format!("{},{}", members::initial(&members), learner.entry());
    learner.start(&listed, &["--initial-cluster-state=existing", PROBES]).await;
    let to = learner.server.as_ref().unwrap().metrics_addresses()[0];
    until(to, "/readyz?exclude=non_learner", 200).await;
    red_is(to, "non_learner", "not supported for learner").await;
    assert_eq!(health(to, "").await, well());
    green(&get(to, "/livez").await);

    let promote = pb::MemberPromoteRequest { id };
    let promoted = async {
        while let Err(status) = members[0].cluster().await.member_promote(promote).await {
            assert!(status.message().contains("in sync"), "{status:?}");
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, promoted).await.unwrap();
    green(&until(to, "/readyz", 200).await);
    learner.server.take().unwrap().stop().await;
    members::stop_all(members).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stops_says_so_to_supervisors_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start_as(config_with(folder.path(), &[PROBES])).await;
    let (to, clients) = (server.metrics_addresses()[0], server.client_addresses()[0]);
    // An open call, for the end of which a stopping server waits a while.
    let create = pb::WatchCreateRequest { key: "a".into(), ..Default::default() };
    let create = pb::watch_request::RequestUnion::CreateRequest(create);
    let create = tokio_stream::once(pb::WatchRequest { request_union: Some(create) });
    let open = tokio_stream::StreamExt::chain(create, tokio_stream::pending());
    let mut watching = WatchClient::new(channel).watch(open).await.unwrap().into_inner();
    assert!(watching.message().await.unwrap().unwrap().created);
    green(&until(to, "/readyz", 200).await);
    let stopping = tokio::spawn(server.stop());
    let red = until(to, "/livez", 503).await;
    assert_eq!(red.body, "[-]serializable_read failed: etcdserver: server stopped\n\n");
    let (ready, health, refused) =
        tokio::join!(get(to, "/readyz"), health(to, ""), try_ask(clients, "GET", "/health", &[]));
    let expected = [
        "",
        "[+]data_corruption ok",
        "[+]non_learner ok",
        "[-]linearizable_read failed: etcdserver: server stopped",
        "[-]serializable_read failed: etcdserver: server stopped",
    ];
    assert_eq!((ready.status, lines(&ready)), (503, expected.to_vec()));
    assert_eq!(health, ill("RANGE ERROR:etcdserver: server stopped"));
    assert!(refused.is_err(), "clients go elsewhere");
    stopping.await.unwrap();
    assert!(try_ask(to, "GET", "/livez", &[]).await.is_err());
    drop(watching);
}
