//! What flags of HTTP, TLS and tokens do, seen from outside.

use super::WAYS;
use super::server::{Running, free};
use super::wire::{ask, get, post};
use drystone_tls::testing::{Authority, Order};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The status of an answer.
fn code(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn ports_of_http_and_their_rules_are_as_given_in_every_way() {
    for way in WAYS {
        let (http, metrics) = (free("http"), free("http"));
        let server = Running::start(
            way,
            &[
                ("listen-client-http-urls", http.as_str()),
                ("listen-metrics-urls", &metrics),
                ("cors", "http://a.b:7"),
                ("host-whitelist", "a.b"),
                ("enable-grpc-gateway", "false"),
            ],
        );
        assert_eq!(code(&get(&metrics, "/health")), "200", "{way:?}");
        assert_eq!(code(&get(&metrics, "/version")), "404", "{way:?}");
        assert!(server.ctl(&["endpoint", "health"]).0, "{way:?}");
        assert_ne!(code(&get(&server.client, "/health")), "200", "gRPC alone, {way:?}");
        let from = |host: &str| ask(&http, "GET", "/version", &format!("Host: {host}\r\n"), "");
        assert_eq!(code(&from("a.b")), "200", "{way:?}");
        assert_eq!(code(&from("c.d")), "421", "{way:?}");
        let range = r#"{"key":"YQ=="}"#;
        let answer = ask(&http, "POST", "/v3/kv/range", "Host: a.b\r\n", range);
        assert_eq!(code(&answer), "404", "{way:?}: {answer}");
        for (origin, is_allowed) in [("http://a.b:7", true), ("http://c.d:7", false)] {
            let headers = format!("Host: a.b\r\nOrigin: {origin}\r\n");
            let answer = ask(&http, "GET", "/version", &headers, "").to_lowercase();
            let allows = answer.contains(&format!("access-control-allow-origin: {origin}\r"));
            assert_eq!(allows, is_allowed, "{origin} by {way:?}: {answer}");
        }
    }
}

/// An authority and a certificate of it, for servers and clients of this machine; their files.
fn certificates(folder: &Path) {
    let authority = Authority::new("authority");
    let issued = authority.issue(&Order::default());
    for (name, text) in [("ca", &authority.pem), ("cert", &issued.cert), ("key", &issued.key)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn certificates_are_shown_and_asked_for_in_every_way() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (path("ca"), path("cert"), path("key"));
    for way in WAYS {
        let (client, peer) = (free("https"), free("https"));
        let cluster = format!("default={peer}");
        let server = Running::start(
            way,
            &[
                ("listen-client-urls", client.as_str()),
                ("listen-peer-urls", &peer),
                ("initial-cluster", &cluster),
                ("cert-file", &cert),
                ("key-file", &key),
                ("trusted-ca-file", &ca),
                ("client-cert-auth", "true"),
                ("client-cert-allowed-hostname", "127.0.0.1"),
                ("tls-min-version", "TLS1.3"),
                ("tls-max-version", "TLS1.3"),
                ("peer-cert-file", &cert),
                ("peer-key-file", &key),
                ("peer-trusted-ca-file", &ca),
                ("peer-client-cert-auth", "true"),
            ],
        );
        let health = |limit: &str, more: &[String]| {
            let mut words = vec![format!("--cacert={ca}"), format!("--command-timeout={limit}")];
            words.extend_from_slice(more);
            words.extend(["endpoint".to_owned(), "health".to_owned()]);
            server.ctl(&words.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let (went_well, text) = health("30s", &[format!("--cert={cert}"), format!("--key={key}")]);
        assert!(went_well, "{way:?}: {text}\n{}", server.said());
        assert!(!health("1s", &[]).0, "nobody without a certificate, {way:?}");
    }
}

#[test]
fn certificates_are_made_for_as_long_as_given_in_every_way() {
    const YEARS: u64 = 7;
    for way in WAYS {
        let (client, peer, metrics) = (free("https"), free("https"), free("http"));
        let cluster = format!("default={peer}");
        let server = Running::start(
            way,
            &[
                ("listen-client-urls", client.as_str()),
                ("listen-peer-urls", &peer),
                ("listen-metrics-urls", &metrics),
                ("initial-cluster", &cluster),
                ("auto-tls", "true"),
                ("peer-auto-tls", "true"),
                ("self-signed-cert-validity", &YEARS.to_string()),
            ],
        );
        assert!(server.ctl(&["--insecure-skip-tls-verify", "endpoint", "health"]).0, "{way:?}");
        let text = get(&metrics, "/metrics");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let year = Duration::from_secs(365 * 24 * 3600);
        for face in ["client", "peer"] {
            let name =
                format!("drystone_certificate_expiry_seconds{{use=\"{face}_certificate\"}} ");
            let end = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
            let left = end.parse::<f64>().unwrap() - now.as_secs_f64();
            let years = left / year.as_secs_f64();
            assert!((6.5..7.5).contains(&years), "{face} by {way:?}: {years}");
        }
    }
}

#[test]
fn tokens_are_made_as_given_in_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "a key that nobody else has, of some length").unwrap();
    let spec = format!("jwt,sign-method=HS256,priv-key={}", key.display());
    for way in WAYS {
        let server = Running::start(way, &[("auth-token", spec.as_str()), ("bcrypt-cost", "4")]);
        for words in [
            &["user", "add", "root:password"][..],
            &["role", "add", "root"],
            &["user", "grant-role", "root", "root"],
            &["auth", "enable"],
        ] {
            let (went_well, text) = server.ctl(words);
            assert!(went_well, "{words:?} by {way:?}: {text}");
        }
        let who = r#"{"name":"root","password":"password"}"#;
        let answer = post(&server.client, "/v3/auth/authenticate", who);
        // The head of a JSON web token, in base64.
        assert!(answer.contains(r#""token":"eyJ"#), "{way:?}: {answer}");
    }
}
