//! Flags of TLS, good and bad.

use crate::config::{Config, Parsed, parse};
use std::path::Path;

fn config(words: &[&str]) -> Result<Box<Config>, String> {
    let words = words.iter().map(|&word| word.to_owned());
    match parse(words, []).map_err(|error| error.message)? {
        Parsed::Run { config, .. } => Ok(config),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_flag_of_tls_arrives_where_it_belongs() {
    let words = [
        "--cert-file=c",
        "--key-file=k",
        "--client-cert-file=cc",
        "--client-key-file=ck",
        "--trusted-ca-file=ca",
        "--client-cert-auth",
        "--client-cert-allowed-hostname=a, b",
        "--client-crl-file=crl",
        "--auto-tls",
        "--peer-cert-file=pc",
        "--peer-key-file=pk",
        "--peer-client-cert-file=pcc",
        "--peer-client-key-file=pck",
        "--peer-trusted-ca-file=pca",
        "--peer-client-cert-auth",
        "--peer-cert-allowed-cn=m1,m2",
        "--peer-crl-file=pcrl",
        "--peer-auto-tls",
        "--peer-skip-client-san-verification",
        "--self-signed-cert-validity=3",
        "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "--tls-min-version=TLS1.2",
        "--tls-max-version=TLS1.3",
    ];
    let tls = config(&words).unwrap().tls;
    let (client, peer) = (&tls.client, &tls.peer);
    assert_eq!(client.pair.as_ref().unwrap().key, Path::new("k"));
    assert_eq!(client.client_pair.as_ref().unwrap().cert, Path::new("cc"));
    assert_eq!(client.trusted_ca.as_deref(), Some(Path::new("ca")));
    assert_eq!(client.allowed_hostnames, ["a", "b"]);
    assert_eq!(client.crl.as_deref(), Some(Path::new("crl")));
    assert_eq!(peer.pair.as_ref().unwrap().cert, Path::new("pc"));
    assert_eq!(peer.client_pair.as_ref().unwrap().key, Path::new("pck"));
    assert_eq!(peer.trusted_ca.as_deref(), Some(Path::new("pca")));
    assert_eq!(peer.allowed_cns, ["m1", "m2"]);
    assert_eq!(peer.crl.as_deref(), Some(Path::new("pcrl")));
    assert!(client.client_cert_auth && peer.client_cert_auth);
    assert!(tls.client_auto && tls.peer_auto);
    assert_eq!((tls.self_signed_years, client.suites.len(), peer.suites.len()), (3, 1, 1));
    assert!(!peer.check_remote_address && !client.check_remote_address);
    assert!(config(&[]).unwrap().tls.peer.check_remote_address);
    let hostname = config(&["--peer-cert-allowed-hostname=h"]).unwrap().tls.peer;
    assert_eq!(hostname.allowed_hostnames, ["h"]);
}

#[test]
fn what_does_not_go_together_is_refused_in_etcds_words() {
    let advertised = "--advertise-client-urls=https://127.0.0.1:1";
    for (words, text) in [
        (&["--cert-file=c"][..], "KeyFile and CertFile must both be present[key: , cert: c]"),
        (
            &["--client-key-file=k"],
            "ClientKeyFile and ClientCertFile must both be present or both absent: key: k, cert: ]",
        ),
        (
            &["--peer-cert-allowed-cn=a", "--peer-cert-allowed-hostname=b"],
            r#"AllowedCNs and AllowedHostnames are mutually exclusive (cns=["a"], hostnames=["b"])"#,
        ),
        (
            &["--tls-min-version=TLS1.1"],
            r#"unexpected TLS version "TLS1.1" (must be one of: TLS1.2, TLS1.3)"#,
        ),
        (
            &["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            "min version (TLS1.3) is greater than max version (TLS1.2)",
        ),
        (
            &["--tls-min-version=TLS1.3", "--cipher-suites=TLS_AES_128_GCM_SHA256"],
            "cipher suites cannot be configured when only TLS1.3 is enabled",
        ),
        (&["--cipher-suites=x"], r#"unexpected TLS cipher suite "x""#),
        (
            &["--listen-client-urls=https://127.0.0.1:1", advertised],
            "TLS key/cert (--cert-file, --key-file) must be provided for client url \
             https://127.0.0.1:1 with HTTPS scheme",
        ),
        (
            &["--listen-peer-urls=https://127.0.0.1:1"],
            "cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented",
        ),
    ] {
        assert_eq!(config(words).unwrap_err(), text, "{words:?}");
    }
    let auto = ["--auto-tls", "--listen-client-urls=https://127.0.0.1:1", advertised];
    config(&auto).unwrap();
}
