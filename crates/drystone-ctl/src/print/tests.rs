//! Outputs of a real etcdctl 3.7.1, byte for byte.

mod auth;

use drystone_api::etcdserverpb::response_op::Response;
use drystone_api::mvccpb::{Event, KeyValue};

use super::*;

const CLUSTER: u64 = 14841639068965178418;
const MEMBER: u64 = 10276657743932975437;

fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { cluster_id: CLUSTER, member_id: MEMBER, revision, raft_term: 2 })
}

/// A header inside a transaction's answer.
fn inner(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..Default::default() })
}

fn kv(key: &str, create: i64, modified: i64, version: i64, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned().into(),
        create_revision: create,
        mod_revision: modified,
        version,
        value: value.to_owned().into(),
        lease: 0,
    }
}

fn render(format: Format, hex: bool, answer: Answer<'_>) -> String {
    String::from_utf8(Printer { format, hex }.render(answer)).unwrap()
}

fn json(answer: Answer<'_>) -> String {
    render(Format::Json, false, answer)
}

fn simple(answer: Answer<'_>) -> String {
    render(Format::Simple, false, answer)
}

fn fields(answer: Answer<'_>) -> String {
    render(Format::Fields, false, answer)
}

/// The header of the golden lines; `H` stands for its ids.
fn golden(line: &str) -> String {
    line.replace("H,", "\"cluster_id\":14841639068965178418,\"member_id\":10276657743932975437,")
        + "\n"
}

fn get(response: &pb::RangeResponse) -> Answer<'_> {
    Answer::Get(response, GetStyle::default())
}

fn sample_get() -> pb::RangeResponse {
    pb::RangeResponse {
        header: header(3),
        kvs: vec![kv("foo", 2, 3, 2, "bar2")],
        more: false,
        count: 1,
    }
}

fn sample_txn() -> pb::TxnResponse {
    let op = |response| pb::ResponseOp { response: Some(response) };
    pb::TxnResponse {
        header: header(7),
        succeeded: true,
        responses: vec![
            op(Response::ResponsePut(pb::PutResponse { header: inner(7), prev_kv: None })),
            op(Response::ResponseRange(pb::RangeResponse {
                header: inner(7),
                kvs: vec![kv("foo", 2, 7, 3, "z")],
                more: false,
                count: 1,
            })),
            op(Response::ResponseDeleteRange(pb::DeleteRangeResponse {
                header: inner(7),
                deleted: 1,
                prev_kvs: Vec::new(),
            })),
        ],
    }
}

#[test]
fn json_of_keys() {
    let put = pb::PutResponse { header: header(3), prev_kv: Some(kv("foo", 2, 2, 1, "bar")) };
    assert_eq!(
        json(Answer::Put(&put)),
        golden(
            r#"{"header":{H,"revision":3,"raft_term":2},"prev_kv":{"key":"Zm9v","create_revision":2,"mod_revision":2,"version":1,"value":"YmFy"}}"#
        )
    );
    assert_eq!(
        json(get(&sample_get())),
        golden(
            r#"{"header":{H,"revision":3,"raft_term":2},"kvs":[{"key":"Zm9v","create_revision":2,"mod_revision":3,"version":2,"value":"YmFyMg=="}],"count":1}"#
        )
    );
    let none = pb::RangeResponse { header: header(3), ..Default::default() };
    assert_eq!(json(get(&none)), golden(r#"{"header":{H,"revision":3,"raft_term":2}}"#));
    let limited = pb::RangeResponse {
        header: header(5),
        kvs: vec![kv("p1", 4, 4, 1, "x")],
        more: true,
        count: 2,
    };
    assert_eq!(
        json(get(&limited)),
        golden(
            r#"{"header":{H,"revision":5,"raft_term":2},"kvs":[{"key":"cDE=","create_revision":4,"mod_revision":4,"version":1,"value":"eA=="}],"more":true,"count":2}"#
        )
    );
    let del = pb::DeleteRangeResponse {
        header: header(6),
        deleted: 1,
        prev_kvs: vec![kv("p1", 4, 4, 1, "x")],
    };
    assert_eq!(
        json(Answer::Del(&del)),
        golden(
            r#"{"header":{H,"revision":6,"raft_term":2},"deleted":1,"prev_kvs":[{"key":"cDE=","create_revision":4,"mod_revision":4,"version":1,"value":"eA=="}]}"#
        )
    );
}

#[test]
fn json_of_transactions() {
    assert_eq!(
        json(Answer::Txn(&sample_txn())),
        golden(
            r#"{"header":{H,"revision":7,"raft_term":2},"succeeded":true,"responses":[{"Response":{"response_put":{"header":{"revision":7}}}},{"Response":{"response_range":{"header":{"revision":7},"kvs":[{"key":"Zm9v","create_revision":2,"mod_revision":7,"version":3,"value":"eg=="}],"count":1}}},{"Response":{"response_delete_range":{"header":{"revision":7},"deleted":1}}}]}"#
        )
    );
}

#[test]
fn json_of_watches() {
    let event = |r#type, kv, prev_kv| Event { r#type, kv: Some(kv), prev_kv };
    let events = pb::WatchResponse {
        header: header(9),
        events: vec![
            event(0, kv("foo", 2, 2, 1, "bar"), None),
            event(0, kv("foo", 2, 3, 2, "bar2"), Some(kv("foo", 2, 2, 1, "bar"))),
        ],
        ..Default::default()
    };
    assert_eq!(
        json(Answer::Watch(&events)),
        golden(
            r#"{"Header":{H,"revision":9,"raft_term":2},"Events":[{"kv":{"key":"Zm9v","create_revision":2,"mod_revision":2,"version":1,"value":"YmFy"}},{"kv":{"key":"Zm9v","create_revision":2,"mod_revision":3,"version":2,"value":"YmFyMg=="},"prev_kv":{"key":"Zm9v","create_revision":2,"mod_revision":2,"version":1,"value":"YmFy"}}],"CompactRevision":0,"Canceled":false,"Created":false,"CancelReason":""}"#
        )
    );
    let deleted = pb::WatchResponse {
        header: header(34),
        events: vec![event(1, kv("w1", 0, 34, 0, ""), Some(kv("w1", 31, 33, 3, "c")))],
        ..Default::default()
    };
    assert_eq!(
        json(Answer::Watch(&deleted)),
        golden(
            r#"{"Header":{H,"revision":34,"raft_term":2},"Events":[{"type":1,"kv":{"key":"dzE=","mod_revision":34},"prev_kv":{"key":"dzE=","create_revision":31,"mod_revision":33,"version":3,"value":"Yw=="}}],"CompactRevision":0,"Canceled":false,"Created":false,"CancelReason":""}"#
        )
    );
    let compacted = pb::WatchResponse {
        header: header(0),
        canceled: true,
        compact_revision: 8,
        ..Default::default()
    };
    assert_eq!(
        json(Answer::Watch(&compacted)),
        golden(
            r#"{"Header":{H,"raft_term":2},"Events":null,"CompactRevision":8,"Canceled":true,"Created":false,"CancelReason":""}"#
        )
    );
}

const LEASE: i64 = 7587899040188134416;

#[test]
fn json_of_leases() {
    let grant = pb::LeaseGrantResponse { header: header(7), id: LEASE, ttl: 600, error: "".into() };
    assert_eq!(
        json(Answer::LeaseGrant(&grant)),
        golden(r#"{H,"revision":7,"raft_term":2,"ID":7587899040188134416,"TTL":600,"Error":""}"#)
    );
    let renewed = pb::LeaseKeepAliveResponse { header: header(8), id: LEASE, ttl: 600 };
    assert_eq!(
        json(Answer::LeaseKeepAlive(&renewed)),
        golden(r#"{H,"revision":8,"raft_term":2,"ID":7587899040188134416,"TTL":600}"#)
    );
    assert_eq!(
        json(Answer::LeaseTimeToLive(&sample_ttl(), KeysAsked(true))),
        golden(
            r#"{H,"revision":8,"raft_term":2,"id":7587899040188134416,"ttl":599,"granted-ttl":600,"keys":["bGs="]}"#
        )
    );
    assert_eq!(
        json(Answer::LeaseTimeToLive(&dead_lease(), KeysAsked(false))),
        golden(r#"{H,"revision":8,"raft_term":2,"id":2748,"ttl":-1,"granted-ttl":0,"keys":null}"#)
    );
    let none = pb::LeaseLeasesResponse { header: header(9), leases: Vec::new() };
    assert_eq!(
        json(Answer::LeaseList(&none)),
        golden(r#"{H,"revision":9,"raft_term":2,"leases":[]}"#)
    );
}

#[test]
fn alarms_in_each_format() {
    let alarms = vec![
        pb::AlarmMember { member_id: 10276657743932975437, alarm: 1 },
        pb::AlarmMember { member_id: 7, alarm: 2 },
    ];
    let list = pb::AlarmResponse { header: header(9), alarms };
    assert_eq!(
        simple(Answer::Alarm(&list)),
        "memberID:10276657743932975437 alarm:NOSPACE\nmemberID:7 alarm:CORRUPT\n"
    );
    assert_eq!(
        json(Answer::Alarm(&list)),
        golden(
            r#"{"header":{H,"revision":9,"raft_term":2},"alarms":[{"memberID":10276657743932975437,"alarm":1},{"memberID":7,"alarm":2}]}"#
        )
    );
    let text = fields(Answer::Alarm(&list));
    assert!(text.ends_with("\"MemberID\" : 7\n\"AlarmType\" : CORRUPT\n\n"), "{text}");
    let none = pb::AlarmResponse::default();
    assert_eq!(simple(Answer::Alarm(&none)), "");
    assert_eq!(json(Answer::Alarm(&none)), "{}\n");
}

fn sample_ttl() -> pb::LeaseTimeToLiveResponse {
    pb::LeaseTimeToLiveResponse {
        header: header(8),
        id: LEASE,
        ttl: 599,
        granted_ttl: 600,
        keys: vec!["lk".into()],
    }
}

fn dead_lease() -> pb::LeaseTimeToLiveResponse {
    pb::LeaseTimeToLiveResponse { header: header(8), id: 2748, ttl: -1, ..Default::default() }
}

fn sample_members() -> pb::MemberListResponse {
    let first = pb::Member {
        id: MEMBER,
        name: "default".into(),
        peer_ur_ls: vec!["http://localhost:2380".into()],
        client_ur_ls: vec!["http://localhost:2379".into()],
        is_learner: false,
    };
    pb::MemberListResponse { header: header(0), members: vec![first] }
}

fn sample_status() -> Vec<(String, pb::StatusResponse)> {
    let status = pb::StatusResponse {
        header: header(9),
        version: "3.7.1".into(),
        db_size: 20480,
        leader: MEMBER,
        raft_index: 17,
        raft_term: 2,
        raft_applied_index: 17,
        db_size_in_use: 16384,
        storage_version: "3.7.0".into(),
        db_size_quota: 2147483648,
        downgrade_info: Some(pb::DowngradeInfo::default()),
        ..Default::default()
    };
    vec![("127.0.0.1:2379".to_owned(), status)]
}

fn sample_hash() -> Vec<(String, pb::HashKvResponse)> {
    let hash = pb::HashKvResponse {
        header: header(9),
        hash: 3478766899,
        compact_revision: -1,
        hash_revision: 9,
    };
    vec![("127.0.0.1:2379".to_owned(), hash)]
}

fn sample_health() -> Vec<Health> {
    vec![Health {
        endpoint: "127.0.0.1:2379".to_owned(),
        healthy: true,
        took: Some(Duration::from_nanos(8_255_824)),
        error: String::new(),
    }]
}

#[test]
fn json_of_members_and_endpoints() {
    assert_eq!(
        json(Answer::MemberList(&sample_members())),
        golden(
            r#"{"header":{H,"raft_term":2},"members":[{"ID":10276657743932975437,"name":"default","peerURLs":["http://localhost:2380"],"clientURLs":["http://localhost:2379"]}]}"#
        )
    );
    assert_eq!(
        render(Format::Json, true, Answer::MemberList(&sample_members())),
        golden(
            r#"{"header":{"cluster_id":"cdf818194e3a8c32","member_id":"8e9e05c52164694d","raft_term":2},"members":[{"ID":"8e9e05c52164694d","name":"default","peerURLs":["http://localhost:2380"],"clientURLs":["http://localhost:2379"]}]}"#
        )
    );
    assert_eq!(
        json(Answer::EndpointStatus(&sample_status())),
        golden(
            r#"[{"Endpoint":"127.0.0.1:2379","Status":{"header":{H,"revision":9,"raft_term":2},"version":"3.7.1","dbSize":20480,"leader":10276657743932975437,"raftIndex":17,"raftTerm":2,"raftAppliedIndex":17,"dbSizeInUse":16384,"storageVersion":"3.7.0","dbSizeQuota":2147483648,"downgradeInfo":{}}}]"#
        )
    );
    assert_eq!(
        json(Answer::EndpointHashKv(&sample_hash())),
        golden(
            r#"[{"Endpoint":"127.0.0.1:2379","HashKV":{"header":{H,"revision":9,"raft_term":2},"hash":3478766899,"compact_revision":-1,"hash_revision":9}}]"#
        )
    );
    assert_eq!(
        json(Answer::EndpointHealth(&sample_health())),
        "[{\"endpoint\":\"127.0.0.1:2379\",\"health\":true,\"took\":\"8.255824ms\"}]\n"
    );
    assert_eq!(json(Answer::EndpointStatus(&[])), "null\n");
    assert_eq!(json(Answer::EndpointHashKv(&[])), "null\n");
}

#[test]
fn json_escapes_as_go_does() {
    let mut members = sample_members();
    members.members[0].name = "<a&b>\"\\\n\u{2028}é\u{1}".into();
    let text = json(Answer::MemberList(&members));
    let name = r#""name":"\u003ca\u0026b\u003e\"\\\n\u2028é\u0001""#;
    assert!(text.contains(name), "{text}");
}

#[test]
fn simple_of_keys() {
    let put = pb::PutResponse { header: header(3), prev_kv: Some(kv("foo", 2, 2, 1, "bar")) };
    assert_eq!(simple(Answer::Put(&put)), "OK\nfoo\nbar\n");
    assert_eq!(simple(get(&sample_get())), "foo\nbar2\n");
    let value_only = Answer::Get(&sample_get(), GetStyle { value_only: true });
    assert_eq!(simple(value_only), "bar2\n");
    assert_eq!(
        render(Format::Simple, true, get(&sample_get())),
        "\\x66\\x6f\\x6f\n\\x62\\x61\\x72\\x32\n"
    );
    let keys_only = pb::RangeResponse { kvs: vec![kv("p", 1, 1, 1, "")], ..Default::default() };
    assert_eq!(simple(get(&keys_only)), "p\n\n");
    let del = pb::DeleteRangeResponse { deleted: 2, ..Default::default() };
    assert_eq!(simple(Answer::Del(&del)), "2\n");
    let mut txn = sample_txn();
    assert_eq!(simple(Answer::Txn(&txn)), "SUCCESS\n\nOK\n\nfoo\nz\n\n1\n");
    txn.succeeded = false;
    txn.responses.clear();
    assert_eq!(simple(Answer::Txn(&txn)), "FAILURE\n");
    let event =
        Event { r#type: 1, kv: Some(kv("w", 0, 3, 0, "")), prev_kv: Some(kv("w", 1, 2, 2, "o")) };
    let watch = pb::WatchResponse { events: vec![event], ..Default::default() };
    assert_eq!(simple(Answer::Watch(&watch)), "DELETE\nw\no\nw\n\n");
}

#[test]
fn simple_of_leases() {
    let grant = pb::LeaseGrantResponse { id: 0x694d_a1f9_81f0_f410, ttl: 60, ..Default::default() };
    assert_eq!(
        simple(Answer::LeaseGrant(&grant)),
        "lease 694da1f981f0f410 granted with TTL(60s)\n"
    );
    let revoked = pb::LeaseRevokeResponse::default();
    assert_eq!(simple(Answer::LeaseRevoke(&revoked, 0xabc)), "lease 0000000000000abc revoked\n");
    assert_eq!(
        simple(Answer::LeaseTimeToLive(&sample_ttl(), KeysAsked(true))),
        "lease 694da1f981f0f410 granted with TTL(600s), remaining(599s), attached keys([lk])\n"
            .replace("694da1f981f0f410", &format!("{LEASE:016x}"))
    );
    assert_eq!(
        simple(Answer::LeaseTimeToLive(&dead_lease(), KeysAsked(false))),
        "lease 0000000000000abc already expired\n"
    );
    let list = pb::LeaseLeasesResponse {
        leases: vec![pb::LeaseStatus { id: 1 }, pb::LeaseStatus { id: -1 }],
        ..Default::default()
    };
    assert_eq!(
        simple(Answer::LeaseList(&list)),
        "found 2 leases\n0000000000000001\n-000000000000001\n"
    );
    let renewed = pb::LeaseKeepAliveResponse { id: 0xabc, ttl: 600, ..Default::default() };
    assert_eq!(
        simple(Answer::LeaseKeepAlive(&renewed)),
        "lease 0000000000000abc keepalived with TTL(600)\n"
    );
}

#[test]
fn changes_of_membership() {
    let mut all = sample_members().members;
    let added = pb::Member {
        id: 0xbdf0_0786_2f33_a926,
        peer_ur_ls: vec!["http://localhost:12380".into()],
        is_learner: true,
        ..Default::default()
    };
    all.push(added.clone());
    let add = MemberChange {
        header: header(0),
        id: added.id,
        done: "added as learner to",
        added: Some((&added, "m2")),
        members: &all,
    };
    assert_eq!(
        simple(Answer::MemberChange(add)),
        "Member bdf007862f33a926 added as learner to cluster cdf818194e3a8c32\n\n\
         ETCD_NAME=\"m2\"\n\
         ETCD_INITIAL_CLUSTER=\"default=http://localhost:2380,m2=http://localhost:12380\"\n\
         ETCD_INITIAL_ADVERTISE_PEER_URLS=\"http://localhost:12380\"\n\
         ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n"
    );
    let text = json(Answer::MemberChange(add));
    let member = r#""member":{"ID":13686447540477864230,"peerURLs":["http://localhost:12380"],"isLearner":true},"members":[{"ID""#;
    assert!(text.contains(member), "{text}");
    let hex = render(Format::Json, true, Answer::MemberChange(add));
    assert!(hex.contains(r#""member":{"ID":"bdf007862f33a926","#), "{hex}");
    let removed = MemberChange { done: "removed from", added: None, ..add };
    assert_eq!(
        simple(Answer::MemberChange(removed)),
        "Member bdf007862f33a926 removed from cluster cdf818194e3a8c32\n"
    );
    let moved = Answer::MoveLeader { from: 0xbdae_9bbc_11dd_390d, to: 0x76e5_763b_2fc5_02b1 };
    let text = "Leadership transferred from bdae9bbc11dd390d to 76e5763b2fc502b1\n";
    assert_eq!(simple(moved), text);
}

#[test]
fn simple_of_members_and_endpoints() {
    let mut members = sample_members();
    members.members.push(pb::Member {
        id: 0xedc1_a2e0_7afe_1593,
        peer_ur_ls: vec!["http://127.0.0.1:23802".into()],
        is_learner: true,
        ..Default::default()
    });
    assert_eq!(
        simple(Answer::MemberList(&members)),
        "8e9e05c52164694d, started, default, http://localhost:2380, http://localhost:2379, false\n\
         edc1a2e07afe1593, unstarted, , http://127.0.0.1:23802, , true\n"
    );
    assert_eq!(
        simple(Answer::EndpointStatus(&sample_status())),
        "127.0.0.1:2379, 8e9e05c52164694d, 3.7.1, 3.7.0, 20 kB, 16 kB, 20%, 2.1 GB, true, false, \
         2, 17, 17, , , false\n"
    );
    assert_eq!(simple(Answer::EndpointHashKv(&sample_hash())), "127.0.0.1:2379, 3478766899, 9\n");
    assert_eq!(
        simple(Answer::EndpointHealth(&sample_health())),
        "127.0.0.1:2379 is healthy: successfully committed proposal: took = 8.255824ms\n"
    );
}

#[test]
fn fields_of_keys() {
    assert_eq!(
        fields(get(&sample_get())),
        "\"ClusterID\" : 14841639068965178418\n\
         \"MemberID\" : 10276657743932975437\n\
         \"Revision\" : 3\n\
         \"RaftTerm\" : 2\n\
         \"Key\" : \"foo\"\n\
         \"CreateRevision\" : 2\n\
         \"ModRevision\" : 3\n\
         \"Version\" : 2\n\
         \"Value\" : \"bar2\"\n\
         \"Lease\" : 0\n\
         \"More\" : false\n\
         \"Count\" : 1\n"
    );
    let text = fields(Answer::Txn(&sample_txn()));
    let inner = "\"Succeeded\" : true\n\"ClusterID\" : 0\n\"MemberID\" : 0\n\"Revision\" : 7\n\
                 \"RaftTerm\" : 0\n\"ClusterID\" : 0\n";
    assert!(text.contains(inner), "{text}");
    assert!(text.ends_with("\"Deleted\" : 1\n"), "{text}");
}

#[test]
fn fields_of_members_and_leases() {
    assert_eq!(
        render(Format::Fields, true, Answer::MemberList(&sample_members())),
        "\"ClusterID\" : cdf818194e3a8c32\n\
         \"MemberID\" : 8e9e05c52164694d\n\
         \"RaftTerm\" : 2\n\
         \"ID\" : 8e9e05c52164694d\n\
         \"Name\" : \"default\"\n\
         \"PeerURL\" : \"http://localhost:2380\"\n\
         \"ClientURL\" : \"http://localhost:2379\"\n\
         \"IsLearner\" : false\n\n"
    );
    let text = fields(Answer::LeaseTimeToLive(&sample_ttl(), KeysAsked(true)));
    assert!(text.ends_with("\"TTL\" : 599\n\"GrantedTTL\" : 600\n\"Key\" : \"lk\"\n"), "{text}");
    let text = fields(Answer::EndpointStatus(&sample_status()));
    assert!(
        text.ends_with(
            "\"RaftAppliedIndex\" : 17\n\"Errors\" : []\n\"Endpoint\" : \"127.0.0.1:2379\"\n\
             \"DowngradeTargetVersion\" : \"\"\n\"DowngradeEnabled\" : false\n\n"
        ),
        "{text}"
    );
}

#[test]
fn tables() {
    assert_eq!(
        render(Format::Table, false, Answer::MemberList(&sample_members())),
        "\
┌──────────────────┬─────────┬─────────┬───────────────────────┬───────────────────────┬────────────┐
│        ID        │ STATUS  │  NAME   │      PEER ADDRS       │     CLIENT ADDRS      │ IS LEARNER │
├──────────────────┼─────────┼─────────┼───────────────────────┼───────────────────────┼────────────┤
│ 8e9e05c52164694d │ started │ default │ http://localhost:2380 │ http://localhost:2379 │      false │
└──────────────────┴─────────┴─────────┴───────────────────────┴───────────────────────┴────────────┘
"
    );
    assert_eq!(
        render(Format::Table, false, Answer::EndpointHashKv(&[])),
        "┌──────────┬──────┬───────────────┐\n\
         │ ENDPOINT │ HASH │ HASH REVISION │\n\
         └──────────┴──────┴───────────────┘\n"
    );
}

#[test]
fn formats_that_are_not_offered() {
    let printer = Printer { format: Format::Table, hex: false };
    let failure = printer.check(RPC).unwrap_err();
    assert_eq!(failure.exit.0, 4);
    assert_eq!(failure.message, "table not supported as output format");
    assert!(printer.check(MEMBERS).is_ok());
    assert_eq!(Format::parse("JSON").unwrap_err().message, "unsupported output format");
    assert_eq!(
        Printer { format: Format::Protobuf, hex: false }.render(get(&sample_get())),
        sample_get().encode_to_vec()
    );
}
