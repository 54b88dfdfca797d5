use super::*;

#[test]
fn members_are_etcds_json() {
    let members = [
        MemberInfo {
            id: 10_276_657_743_932_975_437,
            peer_urls: vec!["http://a:2380".into()],
            is_learner: true,
            name: "n<1>&".into(),
            client_urls: vec!["http://a:2379".into()],
        },
        MemberInfo { id: 7, peer_urls: vec!["http://b:2380".into()], ..MemberInfo::default() },
    ];
    let json = members_to_json(&members);
    assert_eq!(
        json,
        "[{\"id\":7,\"peerURLs\":[\"http://b:2380\"]},\
         {\"id\":10276657743932975437,\"peerURLs\":[\"http://a:2380\"],\"isLearner\":true,\
         \"name\":\"n\\u003c1\\u003e\\u0026\",\"clientURLs\":[\"http://a:2379\"]}]\n"
    );
    let back = members_from_json(json.as_bytes()).unwrap();
    assert_eq!(back, [members[1].clone(), members[0].clone()]);
    let odd = members_from_json(br#"[{"id":1,"peerURLs":null,"new":{}}]"#).unwrap();
    assert_eq!(odd[0].peer_urls, Vec::<String>::new());
    assert!(members_from_json(b"{}").is_err());
}

#[test]
fn versions_and_hashes() {
    let version =
        VersionInfo { server: "3.7.1".into(), cluster: "3.7.0".into(), storage: "3.7.0".into() };
    assert_eq!(
        version_to_json(&version),
        r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#
    );
    let hash = HashKv { revision: 7, hash: 3_248_259_889, compact_revision: 5, hash_revision: 7 };
    let json = hash_kv_to_json(&hash);
    assert_eq!(
        json,
        r#"{"header":{"revision":7},"hash":3248259889,"compact_revision":5,"hash_revision":7}"#
    );
    assert_eq!(hash_kv_from_json(json.as_bytes()).unwrap(), hash);
    assert_eq!(hash_kv_request_from_json(b"{\"revision\":9}").unwrap(), 9);
    assert!(hash_kv_request_from_json(b"").is_err());
}
