//! Who is let in, and what those hear who are not.

use crate::rig::{Rig, between, knows, meet, meet_from};
use drystone_tls::testing::{Authority, Order, write};
use drystone_tls::{Acceptor, Connector, Error, HANDSHAKE_MAX, Pair, Rejected, Settings, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn reason(rejected: Rejected) -> String {
    match rejected {
        Rejected::Handshake { reason, .. } | Rejected::Address { reason, .. } => reason,
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn who_shows_the_right_certificate_is_known_by_its_common_name() {
    let rig = Rig::new();
    rig.issue("alice", &Order { common_name: "alice", ..Order::default() });
    let (far_end, dialled) = between(&rig.demands(), &rig.dials_as("alice"), "localhost").await;
    let far_end = far_end.unwrap();
    dialled.unwrap();
    assert_eq!(far_end.common_name.as_deref(), Some("alice"));
    assert_eq!(far_end.server_name.as_deref(), Some("localhost"));
    assert!(far_end.verified && far_end.http2);
}

#[tokio::test]
async fn nobody_is_known_where_no_certificate_is_asked_for() {
    let rig = Rig::new();
    rig.issue("alice", &Order { common_name: "alice", ..Order::default() });
    let (far_end, dialled) = between(&rig.listens(), &rig.dials_as("alice"), "127.0.0.1").await;
    dialled.unwrap();
    let far_end = far_end.unwrap();
    assert_eq!((far_end.verified, far_end.common_name, far_end.server_name), (false, None, None));
}

#[tokio::test]
async fn who_shows_no_certificate_or_a_bad_one_is_turned_away() {
    let rig = Rig::new();
    let dials = rig.dials();
    let (near, far) = between(&rig.demands(), &dials, "localhost").await;
    assert!(reason(near.unwrap_err()).contains("peer sent no certificates"));
    assert!(far.is_err());

    let stranger = Authority::new("A").issue(&Order::default());
    let _ = stranger.write(rig.folder(), "stranger");
    rig.issue("late", &Order { days: -1, ..Order::default() });
    rig.issue("server-only", &Order { for_clients: false, ..Order::default() });
    for (name, why) in [
        ("stranger", "BadSignature"),
        ("late", "certificate expired"),
        ("server-only", "certificate does not allow extended key usage for client"),
    ] {
        let (near, far) = between(&rig.demands(), &rig.dials_as(name), "localhost").await;
        let said = reason(near.unwrap_err());
        assert!(said.contains(why) || said.contains("UnknownIssuer"), "{name}: {said}");
        assert!(far.is_err(), "{name}");
    }
}

#[tokio::test]
async fn only_allowed_names_are_let_in() {
    let rig = Rig::new();
    rig.issue(
        "alice",
        &Order { common_name: "alice", hosts: &["alice.example"], ..Order::default() },
    );
    rig.issue("bob", &Order { common_name: "bob", hosts: &["bob.example"], ..Order::default() });
    let by_name = Settings { allowed_cns: vec!["carol".into(), "alice".into()], ..rig.demands() };
    let by_host = Settings { allowed_hostnames: vec!["alice.example".into()], ..rig.demands() };
    for listens in [by_name, by_host] {
        let (near, _) = between(&listens, &rig.dials_as("alice"), "localhost").await;
        assert_eq!(near.unwrap().common_name.as_deref(), Some("alice"));
        let (near, far) = between(&listens, &rig.dials_as("bob"), "localhost").await;
        let said = reason(near.unwrap_err());
        assert!(said.contains("client certificate authentication failed"), "{said}");
        assert!(far.is_err());
    }
    let both = Settings {
        allowed_cns: vec!["a".into()],
        allowed_hostnames: vec!["b".into()],
        ..rig.demands()
    };
    assert_eq!(
        Acceptor::new(&both).unwrap_err().to_string(),
        r#"AllowedCNs and AllowedHostnames are mutually exclusive (cns=["a"], hostnames=["b"])"#
    );
}

#[tokio::test]
async fn who_was_revoked_stays_out_of_every_listener_cve_2026_59818() {
    let rig = Rig::new();
    rig.issue("alice", &Order { serial: 0xa11ce, ..Order::default() });
    rig.issue("bob", &Order { serial: 0xb0b, ..Order::default() });
    let list = rig.path("revoked.crl");
    write(&list, &rig.authority.revoke(&[0xa11ce]));
    let listens = Settings { crl: Some(list.clone()), ..rig.demands() };
    let acceptor = Acceptor::new(&listens).unwrap();
    let alice = Connector::new(&rig.dials_as("alice"), &["h2"]).unwrap();
    let bob = Connector::new(&rig.dials_as("bob"), &[]).unwrap();

    let (near, far) = meet(&acceptor, &alice, "localhost").await;
    let said = reason(near.unwrap_err());
    assert!(said.contains("transport: certificate serial a11ce revoked"), "{said}");
    assert!(far.is_err());
    meet(&acceptor, &bob, "localhost").await.0.unwrap();

    // The list is looked at for each connection, and one that cannot be read keeps all out.
    write(&list, &rig.authority.revoke(&[0xb0b]));
    meet(&acceptor, &alice, "localhost").await.0.unwrap();
    assert!(meet(&acceptor, &bob, "localhost").await.0.is_err());
    write(&list, b"no list");
    assert!(matches!(meet(&acceptor, &alice, "localhost").await.0, Err(Rejected::Files(_))));
    std::fs::remove_file(&list).unwrap();
    assert!(matches!(meet(&acceptor, &alice, "localhost").await.0, Err(Rejected::Files(_))));
    // By serial number alone, whoever issued the list.
    write(&list, &Authority::new("another").revoke(&[0xa11ce]));
    assert!(meet(&acceptor, &alice, "localhost").await.0.is_err());
    meet(&acceptor, &bob, "localhost").await.0.unwrap();
}

#[tokio::test]
async fn a_client_that_knows_no_protocol_of_ours_gets_http_1() {
    let rig = Rig::new();
    let acceptor = Acceptor::new(&rig.listens()).unwrap();
    for (offered, http2) in [
        (&["h2"][..], true),
        (&["http/1.1", "h2"], true),
        (&["http/1.1"], false),
        (&["acme/9"], false),
        (&[], false),
    ] {
        let connector = Connector::new(&rig.dials(), offered).unwrap();
        let (near, far) = meet(&acceptor, &connector, "localhost").await;
        far.unwrap();
        assert_eq!(near.unwrap().http2, http2, "{offered:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_goes_nowhere_ends_cve_2026_73500() {
    let rig = Rig::new();
    let acceptor = Acceptor::new(&rig.demands()).unwrap();
    let (near, mut far) = tokio::io::duplex(1024);
    let began = tokio::time::Instant::now();
    let silent = acceptor.accept(near, None).await;
    assert!(matches!(silent, Err(Rejected::Late)), "{silent:?}");
    assert_eq!(began.elapsed(), HANDSHAKE_MAX);
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0, "the connection is closed");
    // Half a greeting is no better.
    let (near, mut far) = tokio::io::duplex(1024);
    far.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    assert!(matches!(acceptor.accept(near, None).await, Err(Rejected::Late)));
}

#[tokio::test]
async fn bytes_that_are_no_handshake_are_refused_and_silence_is_no_fault() {
    let rig = Rig::new();
    let acceptor = Acceptor::new(&rig.listens()).unwrap();
    let (near, mut far) = tokio::io::duplex(1024);
    far.write_all(b"GET /health HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(matches!(acceptor.accept(near, None).await, Err(Rejected::Handshake { .. })));
    let (near, far) = tokio::io::duplex(1024);
    drop(far);
    assert!(matches!(acceptor.accept(near, None).await, Err(Rejected::Closed)));
}

#[tokio::test]
async fn who_connects_from_elsewhere_than_its_certificate_says_is_turned_away() {
    let rig = Rig::new();
    let here = ["10.0.0.1"];
    for (name, hosts) in [
        ("address", &here[..]),
        ("name", &["m1.example"]),
        ("wild", &["*.example"]),
        ("nothing", &[]),
    ] {
        rig.issue(name, &Order { hosts, ..Order::default() });
    }
    let listens = Settings { check_remote_address: true, ..rig.demands() };
    for (name, known, passes) in [
        ("address", None, true),
        ("name", None, false),
        ("name", Some(("10.0.0.1", "m1.example")), true),
        ("wild", Some(("10.0.0.1", "m1.example")), true),
        ("wild", Some(("10.0.0.2", "m1.example")), false),
        ("nothing", None, true),
    ] {
        let acceptor = Acceptor::with_names(&listens, knows(known)).unwrap();
        let connector = Connector::new(&rig.dials_as(name), &[]).unwrap();
        let from = Some("10.0.0.1".parse().unwrap());
        let (near, _) = meet_from(&acceptor, &connector, "localhost", from).await;
        assert_eq!(near.is_ok(), passes, "{name} {known:?} {near:?}");
        if let Err(rejected) = near {
            let said = reason(rejected);
            assert!(said.starts_with("tls: \"10.0.0.1\" does not match any of DNSNames"), "{said}");
        }
    }
    let acceptor = Acceptor::with_names(&listens, knows(None)).unwrap();
    let connector = Connector::new(&rig.dials_as("address"), &[]).unwrap();
    let from = Some("10.0.0.9".parse().unwrap());
    assert!(meet_from(&acceptor, &connector, "localhost", from).await.0.is_err());
}

#[tokio::test]
async fn versions_and_suites_are_kept_to() {
    let rig = Rig::new();
    let only =
        |version| Settings { version_min: version, version_max: Some(version), ..rig.listens() };
    let dials =
        |version| Settings { version_min: version, version_max: Some(version), ..rig.dials() };
    let meets = async |near, far| between(&only(near), &dials(far), "localhost").await.0.is_ok();
    assert!(meets(Version::Tls12, Version::Tls12).await);
    assert!(meets(Version::Tls13, Version::Tls13).await);
    assert!(!meets(Version::Tls13, Version::Tls12).await);
    let weak =
        Settings { suites: vec!["TLS_RSA_WITH_AES_128_CBC_SHA".into()], ..only(Version::Tls12) };
    assert!(matches!(Acceptor::new(&weak).unwrap_err(), Error::NoSuite { .. }));
}

#[test]
fn half_a_pair_and_foreign_keys_are_refused_by_name() {
    let rig = Rig::new();
    assert_eq!(Pair::of("", "").unwrap(), None);
    assert_eq!(
        Pair::of("c", "").unwrap_err().to_string(),
        "KeyFile and CertFile must both be present[key: , cert: c]"
    );
    assert_eq!(
        Pair::for_dialling("", "k").unwrap_err().to_string(),
        "ClientKeyFile and ClientCertFile must both be present or both absent: key: k, cert: ]"
    );
    let other = rig.issue("other", &Order::default());
    let mut listens = rig.listens();
    listens.pair = listens.pair.map(|pair| Pair { key: other.key.clone(), ..pair });
    assert!(matches!(Acceptor::new(&listens).unwrap_err(), Error::Mismatch { .. }));
    let gone = Settings { trusted_ca: Some("/nowhere/ca.crt".into()), ..rig.listens() };
    let gone = Acceptor::new(&gone).unwrap_err();
    assert_eq!(gone.to_string(), "cannot read /nowhere/ca.crt");
    let none = Acceptor::new(&Settings::default()).unwrap_err();
    assert_eq!(none.to_string(), "KeyFile and CertFile are not presented");
}

#[test]
fn no_key_is_in_what_is_printed() {
    let rig = Rig::new();
    let acceptor = Acceptor::new(&rig.listens()).unwrap();
    let shown = format!("{acceptor:?}");
    let key = std::fs::read_to_string(rig.path("server.key")).unwrap();
    let line = key.lines().nth(1).unwrap();
    assert!(!shown.contains(line) && shown.len() < 4096, "{shown}");
}
