//! Callers, by what they say and by what their connections say.

use super::*;
use crate::connection::FarEnd;
use parking_lot::Mutex;

fn caller(pairs: &[(&'static str, &'static str)]) -> Option<String> {
    let mut metadata = MetadataMap::new();
    for (key, value) in pairs {
        metadata.append(*key, value.parse().unwrap());
    }
    token(&metadata)
}

fn token(metadata: &MetadataMap) -> Option<String> {
    Caller::of(metadata, &Extensions::new()).to_pass_on().token
}

#[test]
fn the_token_comes_first_and_only_its_first_value() {
    assert_eq!(caller(&[]), None);
    assert_eq!(caller(&[("authorization", "a")]).as_deref(), Some("a"));
    assert_eq!(caller(&[("authorization", "a"), ("token", "t")]).as_deref(), Some("t"));
    assert_eq!(caller(&[("token", "t"), ("token", "u")]).as_deref(), Some("t"));
    assert_eq!(caller(&[("token", "")]).as_deref(), Some(""));
}

#[test]
fn bearer_is_stripped_once_and_as_it_is_written() {
    assert_eq!(caller(&[("token", "Bearer t")]).as_deref(), Some("t"));
    assert_eq!(caller(&[("authorization", "Bearer Bearer t")]).as_deref(), Some("Bearer t"));
    for other in ["bearer t", "Bearert", " Bearer t"] {
        let mut metadata = MetadataMap::new();
        metadata.insert("token", other.parse().unwrap());
        assert_eq!(token(&metadata).as_deref(), Some(other));
    }
}

#[test]
fn a_token_that_is_no_text_is_a_bad_one() {
    let mut metadata = MetadataMap::new();
    let bytes = http::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    metadata.as_mut().insert("token", bytes);
    assert_eq!(token(&metadata).as_deref(), Some(""));
}

#[test]
fn debug_output_has_no_token() {
    let caller = Caller { token: Some(strip("hsuEZDJyIutCAcuV.44")), ..Caller::default() };
    let shown = format!("{caller:?}");
    assert!(!shown.contains("hsuEZ"), "{shown}");
}

fn by_certificate(pairs: &[(&'static str, &'static str)]) -> Caller {
    let mut metadata = MetadataMap::new();
    for (key, value) in pairs {
        metadata.append(*key, value.parse().unwrap());
    }
    let mut extensions = Extensions::new();
    let far_end = FarEnd { address: None, is_secure: true, common_name: Some("alice".into()) };
    extensions.insert(OfConnection::new(far_end));
    Caller::of(&metadata, &extensions)
}

fn bob(_: &str) -> Option<Spoken> {
    Some(Spoken { user: "bob".into(), revision: None })
}

fn identity(user: &str) -> Option<Identity> {
    Some(Identity { user: user.into(), revision: 7 })
}

#[test]
fn a_token_counts_before_a_certificate() {
    assert_eq!(identify(Some(7), &by_certificate(&[]), bob), Ok(identity("alice")));
    let with_token = by_certificate(&[("token", "t")]);
    assert_eq!(identify(Some(7), &with_token, bob), Ok(identity("bob")));
    let refused = identify(Some(7), &with_token, |_| None);
    assert_eq!(refused, Err(EtcdError::InvalidAuthToken), "and a bad one is not made good by it");
}

#[test]
fn a_call_of_the_gateway_is_never_the_certificates_cve_2018_16886() {
    let mark = ("grpcgateway-accept", "*/*");
    assert_eq!(identify(Some(7), &by_certificate(&[mark]), bob), Ok(None));
    let with_token = by_certificate(&[mark, ("authorization", "t")]);
    assert_eq!(identify(Some(7), &with_token, bob), Ok(identity("bob")));
}

/// What is logged while `run` runs.
fn heard(run: impl FnOnce()) -> String {
    let log = Arc::new(Mutex::new(Vec::new()));
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || Sink(sink.clone()))
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    let bytes = log.lock().clone();
    String::from_utf8(bytes).unwrap()
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_tells_of_a_login_by_certificate_only_when_there_was_one_go_2024_2530() {
    const LOGIN: &str = "found command name";
    let logs_in = |enabled: Option<u64>, pairs: &[(&'static str, &'static str)]| {
        heard(|| drop(identify(enabled, &by_certificate(pairs), bob))).contains(LOGIN)
    };
    assert!(logs_in(Some(7), &[]));
    assert!(!logs_in(None, &[]), "nobody logs in while authentication is off");
    assert!(!logs_in(Some(7), &[("token", "t")]));
    assert!(!logs_in(Some(7), &[("grpcgateway-accept", "*/*")]));
}
