//! What went wrong in etcd, as JSON: by nobody named, by a user without the right, and by one who
//! has it.

use super::*;

/// Asks as nobody and as alice, who are refused, and as root, who is not.
async fn for_root_alone(guarded: &Guarded, path: &str, body: &Value) -> Value {
    unnamed(call(guarded, None, path, body).await);
    denied(call(guarded, Some(&guarded.alice), path, body).await);
    let answer = call(guarded, Some(&guarded.root), path, body).await;
    answer.unwrap_or_else(|status| panic!("{path} {body}: {status:?}"))
}

/// Asks as nobody, who is refused, and as alice, who is not.
async fn for_users(guarded: &Guarded, path: &str, body: &Value) -> Value {
    unnamed(call(guarded, None, path, body).await);
    let answer = call(guarded, Some(&guarded.alice), path, body).await;
    answer.unwrap_or_else(|status| panic!("{path} {body}: {status:?}"))
}

/// A transaction of one operation, inside `depth` others, in a branch that is not taken.
fn nested(op: Value, depth: usize) -> Value {
    let txn = json!({ "success": [op] });
    (0..depth).fold(txn, |txn, _| json!({ "failure": [{ "request_txn": txn }] }))
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_33413_members_alarms_leases_and_compaction_ask_who_calls_as_json() {
    let guarded = Guarded::start(&[]).await;
    let raise = json!({ "action": "ACTIVATE", "memberID": "1", "alarm": "NOSPACE" });
    for_users(&guarded, "/v3/cluster/member/list", &json!({})).await;
    for_users(&guarded, "/v3/maintenance/alarm", &json!({})).await;
    for_users(&guarded, "/v3/lease/grant", &json!({ "TTL": "60" })).await;
    for_root_alone(&guarded, "/v3/lease/leases", &json!({})).await;
    for_root_alone(&guarded, "/v3/lease/revoke", &json!({ "ID": "7" })).await;
    for_root_alone(&guarded, "/v3/kv/compaction", &json!({ "revision": "2" })).await;
    for_root_alone(&guarded, "/v3/maintenance/alarm", &raise).await;
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_33343_a_nested_transaction_does_not_escape_permissions_as_json() {
    let guarded = Guarded::start(&[]).await;
    let (hidden, open) = (bytes("secret/1"), bytes("open/1"));
    let path = "/v3/kv/txn";
    for depth in [0, 1, 2, 5] {
        for op in [
            json!({ "request_range": { "key": hidden } }),
            json!({ "requestRange": { "key": hidden } }),
            json!({ "request_put": { "key": hidden, "value": "eA==" } }),
            json!({ "request_delete_range": { "key": hidden } }),
        ] {
            for_root_alone(&guarded, path, &nested(op, depth)).await;
        }
        let compares = json!({ "compare": [{ "key": hidden, "version": "1" }] });
        let compares = nested(json!({ "request_txn": compares }), depth);
        for_root_alone(&guarded, path, &compares).await;
        let put = json!({ "request_put": { "key": open, "value": "eA==" } });
        for_users(&guarded, path, &nested(put, depth)).await;
    }
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_44283_a_put_in_a_transaction_reads_nothing_and_joins_no_lease_as_json() {
    let guarded = Guarded::start(&[]).await;
    let (root, alice) = (Some(guarded.root.as_str()), Some(guarded.alice.as_str()));
    // A role that writes where it must not read.
    let perm = json!({ "permType": "WRITE", "key": bytes("blind") });
    let grant = json!({ "name": "open", "perm": perm });
    call(&guarded, root, "/v3/auth/role/grant", &grant).await.unwrap();

    let prev_kv = json!({ "key": bytes("blind"), "value": "eA==", "prev_kv": true });
    // Lease 7 holds a key of root's: whoever joins it lets that key live and die with it.
    let joins = json!({ "key": bytes("open/1"), "value": "eA==", "lease": "7" });
    let deletes = json!({ "key": bytes("blind"), "prev_kv": true });
    for depth in [0, 1, 3] {
        for op in [
            json!({ "request_put": prev_kv }),
            json!({ "requestPut": { "key": bytes("blind"), "prevKv": true } }),
            json!({ "request_put": joins }),
            json!({ "request_delete_range": deletes }),
        ] {
            for_root_alone(&guarded, "/v3/kv/txn", &nested(op, depth)).await;
        }
    }
    for_root_alone(&guarded, "/v3/kv/put", &prev_kv).await;
    for_root_alone(&guarded, "/v3/kv/put", &joins).await;
    for_root_alone(&guarded, "/v3/kv/deleterange", &deletes).await;
    let writes = json!({ "key": bytes("blind"), "value": "eA==" });
    call(&guarded, alice, "/v3/kv/put", &writes).await.unwrap();
    denied(call(&guarded, alice, "/v3/kv/range", &json!({ "key": bytes("blind") })).await);
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ghsa_xg4h_6gfc_h4m8_a_watch_without_end_is_more_than_its_first_key_as_json() {
    let guarded = Guarded::start(&[]).await;
    let (root, alice) = (Some(guarded.root.as_str()), Some(guarded.alice.as_str()));
    for key in ["single", "\0"] {
        let perm = json!({ "permType": "READWRITE", "key": bytes(key) });
        let grant = json!({ "name": "open", "perm": perm });
        call(&guarded, root, "/v3/auth/role/grant", &grant).await.unwrap();
    }
    let watch = |key: &str, end: &str| json!({ "create_request": { "key": bytes(key), "range_end": bytes(end) } });
    for (key, end) in [("single", "\0"), ("open/", "\0"), ("", "\0"), ("\0", "\0")] {
        for_root_alone(&guarded, "/v3/watch", &watch(key, end)).await;
    }
    for (key, end) in [("single", ""), ("open/", "open0"), ("", "")] {
        for_users(&guarded, "/v3/watch", &watch(key, end)).await;
    }
    denied(call(&guarded, alice, "/v3/watch", &watch("open/", "open1")).await);
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2023_32082_what_hangs_on_a_lease_is_told_to_its_readers_only_as_json() {
    let guarded = Guarded::start(&[]).await;
    for path in ["/v3/lease/timetolive", "/v3/kv/lease/timetolive"] {
        let full = for_root_alone(&guarded, path, &json!({ "ID": "7", "keys": true })).await;
        assert_eq!(full["keys"], json!([bytes("secret/1")]));
        let bare = for_users(&guarded, path, &json!({ "ID": "7" })).await;
        assert_eq!((&bare["grantedTTL"], &bare["keys"]), (&json!("600"), &Value::Null));
    }
    let alice = Some(guarded.alice.as_str());
    call(&guarded, alice, "/v3/lease/grant", &json!({ "ID": "9", "TTL": "60" })).await.unwrap();
    let put = json!({ "key": bytes("open/9"), "value": "eA==", "lease": "9" });
    call(&guarded, alice, "/v3/kv/put", &put).await.unwrap();
    let own = json!({ "ID": "9", "keys": true });
    let own = call(&guarded, alice, "/v3/lease/timetolive", &own).await.unwrap();
    assert_eq!(own["keys"], json!([bytes("open/9")]));
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_22386_an_alarm_does_not_lift_permissions_as_json() {
    let guarded = Guarded::start(&[]).await;
    let (root, alice) = (Some(guarded.root.as_str()), Some(guarded.alice.as_str()));
    let alarm = |action: &str| json!({ "action": action, "memberID": "99", "alarm": "NOSPACE" });
    let raised = call(&guarded, root, "/v3/maintenance/alarm", &alarm("ACTIVATE")).await.unwrap();
    assert_eq!(raised["alarms"][0]["alarm"], "NOSPACE");

    let put = |key: &str| json!({ "key": bytes(key), "value": "eA==" });
    let only = |key: &str| json!({ "key": bytes(key) });
    unnamed(call(&guarded, None, "/v3/kv/put", &put("open/1")).await);
    denied(call(&guarded, alice, "/v3/kv/put", &put("secret/1")).await);
    denied(call(&guarded, alice, "/v3/kv/deleterange", &only("secret/1")).await);
    denied(call(&guarded, alice, "/v3/kv/range", &only("secret/1")).await);
    denied(call(&guarded, alice, "/v3/kv/compaction", &json!({ "revision": "2" })).await);
    denied(call(&guarded, alice, "/v3/maintenance/alarm", &alarm("DEACTIVATE")).await);
    let full = call(&guarded, alice, "/v3/kv/put", &put("open/1")).await.unwrap_err();
    assert_eq!(full.message(), "etcdserver: mvcc: database space exceeded");
    call(&guarded, alice, "/v3/kv/deleterange", &only("open/1")).await.unwrap();

    call(&guarded, root, "/v3/maintenance/alarm", &alarm("DEACTIVATE")).await.unwrap();
    denied(call(&guarded, alice, "/v3/kv/put", &put("secret/1")).await);
    call(&guarded, alice, "/v3/kv/put", &put("open/1")).await.unwrap();
    guarded.server.stop().await;
}

/// CVE-2021-28235 and GHSA-528j-9r78-wffx; etcd also logged tokens up to 3.6.6.
#[tokio::test(flavor = "multi_thread")]
async fn no_password_and_no_token_is_logged_that_came_as_json() {
    const FIRST: &str = "first-pa55word-as-json";
    const SECOND: &str = "second-pa55word-as-json";
    const WRONG: &str = "wrong-pa55word-as-json";
    let log = log::log();
    let guarded = Guarded::start(&[]).await;
    let root = Some(guarded.root.as_str());
    let named = |password: &str| json!({ "name": "eve", "password": password });
    call(&guarded, root, "/v3/auth/user/add", &named(FIRST)).await.unwrap();
    call(&guarded, root, "/v3/auth/user/changepw", &named(SECOND)).await.unwrap();
    let login = "/v3/auth/authenticate";
    call(&guarded, None, login, &named(WRONG)).await.unwrap_err();
    let answer = call(&guarded, None, login, &named(SECOND)).await.unwrap();
    let token = answer["token"].as_str().unwrap();
    denied(call(&guarded, Some(token), "/v3/kv/range", &json!({ "key": bytes("a") })).await);
    let known = format!("{token}x");
    call(&guarded, Some(&known), "/v3/kv/range", &json!({ "key": "YQ==" })).await.unwrap_err();
    // A body that cannot be read is not told either.
    call(&guarded, None, login, &json!({ "name": 1, "password": WRONG })).await.unwrap_err();
    guarded.server.stop().await;
    assert_eq!(log.lines_with(&[FIRST, SECOND, WRONG, token]), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_6_5_a_lease_that_was_revoked_is_not_renewed_as_json() {
    let guarded = Guarded::start(&[]).await;
    let root = Some(guarded.root.as_str());
    for id in 11..=30 {
        let lease = json!({ "ID": id.to_string(), "TTL": "600" });
        call(&guarded, root, "/v3/lease/grant", &lease).await.unwrap();
        let alive = call(&guarded, root, "/v3/lease/keepalive", &lease).await.unwrap();
        assert_eq!(alive["result"]["TTL"], "600");
        call(&guarded, root, "/v3/lease/revoke", &lease).await.unwrap();
        let late = call(&guarded, root, "/v3/lease/keepalive", &lease).await.unwrap();
        assert_eq!(late["result"]["TTL"], Value::Null, "lease {id} is gone and was renewed");
    }
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_6_12_member_update_leaves_a_learner_a_learner_as_json() {
    let guarded = Guarded::start(&["--strict-reconfig-check=false"]).await;
    let add = json!({ "peerURLs": ["http://127.0.0.1:1"], "isLearner": true });
    let added = for_root_alone(&guarded, "/v3/cluster/member/add", &add).await;
    let id = &added["member"]["ID"];
    assert_eq!(added["member"]["isLearner"], true);
    let update = json!({ "ID": id, "peerURLs": ["http://127.0.0.1:2"] });
    let after = for_root_alone(&guarded, "/v3/cluster/member/update", &update).await;
    let list = json!({ "linearizable": true });
    let listed = for_users(&guarded, "/v3/cluster/member/list", &list).await;
    for answer in [after, listed] {
        let members = answer["members"].as_array().unwrap();
        let learner = members.iter().find(|member| member["ID"] == *id).unwrap();
        assert_eq!(learner["isLearner"], true, "{learner}");
        assert_eq!(learner["peerURLs"], json!(["http://127.0.0.1:2"]));
    }
    guarded.server.stop().await;
}
