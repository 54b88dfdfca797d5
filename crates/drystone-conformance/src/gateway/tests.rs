//! The table is well written, and nothing that matters is masked.

use super::*;

#[test]
fn the_table_is_read_and_written_back_as_it_is() {
    for (story, (name, text)) in stories().unwrap().iter().zip(STORIES) {
        assert_eq!(story.text(), *text, "{name}");
        assert!(story.cases.iter().all(|case| !case.expected.is_empty()), "{name}");
    }
}

/// Paths on which one member alone has no success: there is no learner to promote and nobody to
/// hand leadership to, and snapshots in etcd's format are not served.
const NO_SUCCESS: &[&str] = &[
    "/v3/cluster/member/promote",
    "/v3/maintenance/transfer-leadership",
    "/v3/maintenance/snapshot",
];

#[test]
fn every_path_has_its_answers() {
    let stories = stories().unwrap();
    let cases = || stories.iter().flat_map(|story| &story.cases);
    for binding in drystone_gateway::bindings() {
        let of_it: Vec<&Case> = cases().filter(|case| case.path == binding.path).collect();
        let has = |status: &str| of_it.iter().any(|case| case.expected[0].starts_with(status));
        assert!(has("501"), "{}: a wrong method", binding.path);
        assert!(has("400"), "{}: what is no request", binding.path);
        assert_eq!(has("200"), !NO_SUCCESS.contains(&binding.path), "{}", binding.path);
    }
}

#[test]
fn what_is_of_the_moment_is_hidden_and_the_rest_stays() {
    let mut masking = Masking::new("127.0.0.1:1234", "127.0.0.1:4321");
    let text = masking.text(
        r#"{"header":{"cluster_id":"12345678901", "revision":"7","raft_term":"3"},"ID":"12345678901","leader":"98765432109","name":"a, \": b","peerURLs":["http://127.0.0.1:4321"],"hash":123,"version":"2"}"#,
    );
    let expected = r##"{"header":{"cluster_id":"id1","revision":"7","raft_term":"#"},"ID":"id1","leader":"id2","name":"a, \": b","peerURLs":["http://PEER"],"hash":"#","version":"2"}"##;
    assert_eq!(text, expected);
    let text = masking.text(r#"{"version":"3.7.1","ID":"7","TTL":"99","grantedTTL":"100"}"#);
    assert_eq!(text, r##"{"version":"#","ID":"7","TTL":"#","grantedTTL":"100"}"##);
}

#[test]
fn refusals_of_the_old_gateway_are_translated() {
    let answer = |head: &str, body: &str| asking::Answer { head: head.into(), body: body.into() };
    let json = "400 application/json";
    let old = answer(json, r#"{"error":"a \"b\"","code":3,"message":"a \"b\""}"#);
    assert_eq!(older::translated(old), answer(json, r#"{"code":3,"message":"a \"b\""}"#));
    let old = "{\"error\":{\"grpc_code\":5,\"http_code\":404,\"message\":\"x\"}}\n";
    let new = "{\"error\":{\"code\":5,\"message\":\"x\"}}\n";
    assert_eq!(older::translated(answer(json, old)), answer(json, new));
}
