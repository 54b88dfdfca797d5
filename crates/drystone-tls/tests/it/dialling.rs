//! Whom a dialler takes for the server that is meant.

use crate::rig::{Rig, between};
use drystone_tls::testing::{Authority, Order, write};
use drystone_tls::{Acceptor, Connector, Settings};

async fn says(listens: &Settings, dials: &Settings, host: &str) -> Result<(), String> {
    between(listens, dials, host).await.1.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_server_must_be_who_the_url_says() {
    let rig = Rig::new();
    says(&rig.listens(), &rig.dials(), "localhost").await.unwrap();
    says(&rig.listens(), &rig.dials(), "127.0.0.1").await.unwrap();
    let said = says(&rig.listens(), &rig.dials(), "etcd.example").await.unwrap_err();
    assert!(said.contains("not valid for name"), "{said}");
    let renamed = Settings { server_name: Some("localhost".into()), ..rig.dials() };
    says(&rig.listens(), &renamed, "etcd.example").await.unwrap();
    assert!(says(&rig.listens(), &rig.dials(), "no name at all").await.is_err());
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_refused_unless_nobody_looks() {
    let rig = Rig::new();
    write(&rig.path("ca.crt"), Authority::new("B").pem.as_bytes());
    let said = says(&rig.listens(), &rig.dials(), "localhost").await.unwrap_err();
    assert!(said.contains("UnknownIssuer"), "{said}");
    let blind = Settings { skip_verify: true, ..Settings::default() };
    says(&rig.listens(), &blind, "whatever.example").await.unwrap();
}

#[tokio::test]
async fn allowed_names_and_revocations_hold_for_servers_too() {
    let rig = Rig::new();
    let right = Settings { allowed_cns: vec!["server".into()], ..rig.dials() };
    says(&rig.listens(), &right, "localhost").await.unwrap();
    let wrong = Settings { allowed_cns: vec!["peer".into()], ..rig.dials() };
    let said = says(&rig.listens(), &wrong, "localhost").await.unwrap_err();
    assert!(said.contains("client certificate authentication failed"), "{said}");
    let list = rig.path("revoked.crl");
    write(&list, &rig.authority.revoke(&[1]));
    let revoked = Settings { crl: Some(list), ..rig.dials() };
    let said = says(&rig.listens(), &revoked, "localhost").await.unwrap_err();
    assert!(said.contains("certificate serial 1 revoked"), "{said}");
}

#[tokio::test]
async fn the_servers_pair_is_shown_when_there_is_none_for_dialling() {
    let rig = Rig::new();
    let both = Settings { trusted_ca: Some(rig.path("ca.crt")), ..rig.listens() };
    let acceptor = Acceptor::new(&rig.demands()).unwrap();
    let connector = Connector::new(&both, &[]).unwrap();
    let (near, _) = crate::rig::meet(&acceptor, &connector, "localhost").await;
    assert_eq!(near.unwrap().common_name.as_deref(), Some("server"));
    let shown: Vec<_> = connector.expiries().iter().map(|expiry| expiry.of).collect();
    assert_eq!(shown, ["client_certificate", "trusted_ca"]);
}

#[tokio::test]
async fn a_certificate_may_be_its_own_authority() {
    let rig = Rig::new();
    let hosts = ["localhost".to_owned()];
    let own = drystone_tls::self_signed(&rig.path("own"), &hosts, 1).unwrap();
    let listens = Settings { pair: Some(own.pair.clone()), ..Settings::default() };
    let dials = Settings { trusted_ca: Some(own.pair.cert), ..Settings::default() };
    says(&listens, &dials, "localhost").await.unwrap();
    assert!(says(&listens, &dials, "etcd.example").await.is_err());
    let _ = rig.issue("x", &Order::default());
    assert!(says(&rig.listens(), &dials, "localhost").await.is_err());
}
