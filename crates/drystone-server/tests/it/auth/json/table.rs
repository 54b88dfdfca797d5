//! Every path of the gateway, by every caller. Who may call is what the table over gRPC says: a
//! path that is added fails the test until it has a body here.

use super::super::table::{For, has_no_right, rights};
use super::*;
use std::collections::BTreeSet;

/// A request for each path, in the order in which they are asked.
fn bodies() -> Vec<(&'static str, Value)> {
    let mut bodies = of_keys();
    bodies.extend(of_leases());
    bodies.extend(of_the_cluster());
    bodies.extend(of_recipes());
    bodies.extend(of_users());
    bodies
}

fn of_keys() -> Vec<(&'static str, Value)> {
    let key = bytes("open/1");
    let put = json!({ "request_put": { "key": key, "value": "eA==" } });
    let watch = json!({ "key": bytes("open/"), "range_end": bytes("open0") });
    vec![
        ("/v3/kv/range", json!({ "key": key })),
        ("/v3/kv/put", json!({ "key": key, "value": "eA==" })),
        ("/v3/kv/deleterange", json!({ "key": bytes("open/9") })),
        ("/v3/kv/txn", json!({ "success": [put] })),
        ("/v3/kv/compaction", json!({ "revision": "1" })),
        ("/v3/watch", json!({ "create_request": watch })),
    ]
}

fn of_leases() -> Vec<(&'static str, Value)> {
    vec![
        ("/v3/lease/grant", json!({ "TTL": "60" })),
        ("/v3/lease/keepalive", json!({ "ID": "7" })),
        ("/v3/lease/timetolive", json!({ "ID": "7", "keys": true })),
        ("/v3/kv/lease/timetolive", json!({ "ID": "7", "keys": true })),
        ("/v3/lease/leases", json!({})),
        ("/v3/kv/lease/leases", json!({})),
        // Each has a lease of its own to end.
        ("/v3/lease/revoke", json!({ "ID": "8" })),
        ("/v3/kv/lease/revoke", json!({ "ID": "9" })),
    ]
}

fn of_the_cluster() -> Vec<(&'static str, Value)> {
    let alarm = json!({ "action": "DEACTIVATE", "memberID": "1", "alarm": "NOSPACE" });
    // Nobody is a member under these, so that root's own calls change nothing.
    vec![
        ("/v3/cluster/member/add", json!({ "peerURLs": ["not a url"], "isLearner": true })),
        ("/v3/cluster/member/remove", json!({ "ID": "1" })),
        ("/v3/cluster/member/update", json!({ "ID": "1", "peerURLs": ["http://127.0.0.1:1"] })),
        ("/v3/cluster/member/promote", json!({ "ID": "1" })),
        ("/v3/cluster/member/list", json!({})),
        ("/v3/maintenance/alarm", alarm),
        ("/v3/maintenance/status", json!({})),
        ("/v3/maintenance/defragment", json!({})),
        ("/v3/maintenance/hash", json!({})),
        ("/v3/maintenance/hashkv", json!({})),
        ("/v3/maintenance/snapshot", json!({})),
        ("/v3/maintenance/transfer-leadership", json!({ "targetID": "1" })),
        ("/v3/maintenance/downgrade", json!({ "action": "CANCEL" })),
    ]
}

/// What root asks for is answered at once: the lock is free, and the election has a leader.
fn of_recipes() -> Vec<(&'static str, Value)> {
    let campaign = json!({ "name": bytes("secret2"), "lease": "7", "value": "eA==" });
    let gone =
        json!({ "name": bytes("secret"), "key": bytes("secret/9"), "rev": "2", "lease": "7" });
    vec![
        ("/v3/lock/lock", json!({ "name": bytes("free"), "lease": "7" })),
        ("/v3/lock/unlock", json!({ "key": bytes("secret/9") })),
        ("/v3/election/campaign", campaign),
        ("/v3/election/leader", json!({ "name": bytes("secret2") })),
        ("/v3/election/observe", json!({ "name": bytes("secret2") })),
        ("/v3/election/proclaim", json!({ "leader": gone, "value": "eA==" })),
        ("/v3/election/resign", json!({ "leader": gone })),
    ]
}

fn of_users() -> Vec<(&'static str, Value)> {
    let it = json!({ "name": "it", "password": "p" });
    let its_role = json!({ "user": "it", "role": "it" });
    let perm = json!({ "permType": "READ", "key": bytes("k") });
    vec![
        ("/v3/auth/enable", json!({})),
        ("/v3/auth/status", json!({})),
        ("/v3/auth/authenticate", json!({ "name": ALICE, "password": ALICE })),
        ("/v3/auth/user/add", it.clone()),
        ("/v3/auth/user/get", it.clone()),
        ("/v3/auth/user/list", json!({})),
        ("/v3/auth/user/changepw", it.clone()),
        ("/v3/auth/role/add", it.clone()),
        ("/v3/auth/role/get", its_role.clone()),
        ("/v3/auth/role/list", json!({})),
        ("/v3/auth/user/grant", its_role.clone()),
        ("/v3/auth/user/revoke", json!({ "name": "it", "role": "it" })),
        ("/v3/auth/role/grant", json!({ "name": "it", "perm": perm })),
        ("/v3/auth/role/revoke", json!({ "role": "it", "key": bytes("k") })),
        ("/v3/auth/role/delete", its_role),
        ("/v3/auth/user/delete", it),
        // The last one: after root's there is nothing left to ask for.
        ("/v3/auth/disable", json!({})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_denied_to_whom_it_is_not_open() {
    let guarded = Guarded::start(&["--native-snapshot"]).await;
    let bodies = bodies();
    let named: BTreeSet<_> = bodies.iter().map(|(path, _)| *path).collect();
    let bindings = drystone_gateway::bindings();
    let all: BTreeSet<_> = bindings.iter().map(|binding| binding.path).collect();
    assert_eq!(named, all, "each path there is has a request");
    let rights = rights();
    let root = Some(guarded.root.as_str());
    for id in ["8", "9"] {
        let lease = json!({ "ID": id, "TTL": "600" });
        call(&guarded, root, "/v3/lease/grant", &lease).await.unwrap();
        let put = json!({ "key": bytes(&format!("secret/{id}")), "value": "eA==", "lease": id });
        call(&guarded, root, "/v3/kv/put", &put).await.unwrap();
    }
    let callers = [
        ("nobody named", None, [For::All].as_slice()),
        ("a user without a role", Some(guarded.nobody.as_str()), &[For::All, For::Users]),
        ("a user", Some(&guarded.alice), &[For::All, For::Users, For::Alice]),
        ("root", root, &[For::All, For::Users, For::Alice, For::Root]),
    ];
    for (path, body) in &bodies {
        let binding = bindings.iter().find(|binding| binding.path == *path).unwrap();
        // Without the package: `/etcdserverpb.KV/Range` is `KV/Range`.
        let open = rights[binding.method.split_once('.').unwrap().1];
        match call(&guarded, Some("hsuEZDJyIutCAcuV.1"), path, body).await {
            Ok(_) => assert_eq!(*path, "/v3/auth/authenticate", "a bad token is good for nothing"),
            Err(status) => assert!(status.message().contains(BAD_TOKEN), "{path}: {status:?}"),
        }
        for (caller, token, may) in &callers {
            let outcome = call(&guarded, *token, path, body).await;
            let what = format!("{path} by {caller}: {outcome:?}");
            let refused = outcome.is_err_and(|status| has_no_right(&status));
            assert_eq!(refused, !may.contains(&open), "{what}");
        }
    }
    guarded.server.stop().await;
}
