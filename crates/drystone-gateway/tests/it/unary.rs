//! One request, one answer.

use crate::fakes::{MESSAGE_BYTES_MAX, ask, gateway, read};
use bytes::Bytes;
use drystone_gateway::bindings;
use http::{Method, Request};
use http_body_util::Full;
use proptest::prelude::*;
use tower::Service;

const LOCK: &str = "/v3/lock/lock";
const UNLOCK: &str = "/v3/lock/unlock";

/// Base64 of a short text.
fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn an_answer_is_json_with_the_services_metadata_as_headers() {
    let answer = ask(Request::post(LOCK), br#"{"name":"Zm9v"} and more"#).await;
    assert_eq!(answer.headers()["grpc-metadata-more"], "of <it>");
    assert_eq!(answer.headers()["grpc-metadata-content-type"], "application/grpc");
    let json = Some("application/json".to_owned());
    assert_eq!(read(answer).await, (200, json, r#"{"key":"Zm9v"}"#.to_owned()));
}

#[tokio::test]
async fn no_body_is_an_empty_request() {
    for body in ["", " \n", "{}"] {
        assert_eq!(read(ask(Request::post(LOCK), body.as_bytes()).await).await.2, "{}", "{body:?}");
    }
}

#[tokio::test]
async fn headers_reach_the_service() {
    let named = |name: &str| format!(r#"{{"name":"{}"}}"#, base64(name));
    let ask_for = async |name: &str| {
        let request = Request::post(LOCK)
            .header("authorization", "Bearer a.b")
            .header("grpc-metadata-hasleader", "true")
            .header("host", "here:2379")
            .header("grpc-timeout", "5S");
        read(ask(request, named(name).as_bytes()).await).await.2
    };
    for (name, value) in [
        ("authorization", "Bearer a.b"),
        ("grpcgateway-authorization", "Bearer a.b"),
        ("hasleader", "true"),
        ("grpcgateway-accept", "*/*"),
        ("x-forwarded-host", "here:2379"),
        ("grpc-timeout", "5000000u"),
    ] {
        assert_eq!(ask_for(name).await, format!(r#"{{"key":"{}"}}"#, base64(value)), "{name}");
    }
}

#[tokio::test]
async fn refusals_have_the_status_of_their_code() {
    for (code, status) in [
        (1, 499),
        (2, 500),
        (3, 400),
        (4, 504),
        (5, 404),
        (6, 409),
        (7, 403),
        (8, 429),
        (9, 400),
        (10, 409),
        (11, 400),
        (12, 501),
        (13, 500),
        (14, 503),
        (15, 500),
        (16, 401),
    ] {
        let body = format!(r#"{{"key":"{}"}}"#, base64(&code.to_string()));
        let answer = ask(Request::post(UNLOCK), body.as_bytes()).await;
        let asked_to_sign_in = answer.headers().get("www-authenticate").cloned();
        assert_eq!(asked_to_sign_in.is_some(), code == 16);
        assert!(answer.headers().get("grpc-metadata-content-type").is_none());
        let text = format!(r#"{{"code":{code},"message":"a <refusal>"}}"#);
        assert_eq!(read(answer).await, (status, Some("application/json".to_owned()), text));
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let asked = async |request, body: &str| {
        let (status, _, text) = read(ask(request, body.as_bytes()).await).await;
        (status, text)
    };
    let refused = |status, code, message: &str| {
        (status, format!(r#"{{"code":{code},"message":"{message}"}}"#))
    };
    assert_eq!(asked(Request::post("/v3/nope"), "{}").await, refused(404, 5, "Not Found"));
    assert_eq!(asked(Request::post("/v3/lock/lock/"), "{}").await, refused(404, 5, "Not Found"));
    assert_eq!(asked(Request::post("/v3/kv/rangestream"), "").await, refused(404, 5, "Not Found"));
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let request = Request::builder().method(method).uri(LOCK);
        assert_eq!(asked(request, "").await, refused(501, 12, "Method Not Allowed"));
    }
    assert_eq!(asked(Request::post("/v3/lock%2Flock"), "{}").await.0, 200);
    let text = "invalid character 'o' in literal null (expecting 'u')";
    assert_eq!(asked(Request::post(LOCK), "no").await, refused(400, 3, text));
    assert_eq!(asked(Request::post(LOCK), "{").await, refused(400, 3, "unexpected EOF"));
    let text = "proto: (line 1:9): invalid value for bytes field name: 1";
    assert_eq!(asked(Request::post(LOCK), r#"{"name":1}"#).await, refused(400, 3, text));
    let request = Request::post(LOCK).header("grpc-timeout", "soon");
    assert_eq!(asked(request, "{}").await, refused(400, 3, "invalid grpc-timeout: soon"));
    // A method that the service does not have.
    assert_eq!(asked(Request::post("/v3/kv/range"), "{}").await.0, 501);
}

#[tokio::test]
async fn a_body_is_read_up_to_twice_the_largest_message() {
    let body = |length: usize| format!(r#"{{"other":"{}"}}"#, "x".repeat(length - 12));
    let limit = 2 * MESSAGE_BYTES_MAX;
    assert_eq!(read(ask(Request::post(LOCK), body(limit).as_bytes()).await).await.0, 200);
    let (status, _, text) = read(ask(Request::post(LOCK), body(limit + 1).as_bytes()).await).await;
    let refusal = "grpc: received message larger than max (2049 vs. 2048)";
    assert_eq!((status, text), (429, format!(r#"{{"code":8,"message":"{refusal}"}}"#)));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_with_what_to_do() {
    let body = format!(r#"{{"name":"{}"}}"#, base64("large"));
    let (status, _, text) = read(ask(Request::post(LOCK), body.as_bytes()).await).await;
    assert_eq!(status, 429, "{text}");
    assert!(text.contains("more than 67108864 bytes: ask for less at a time"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call() {
    let request = Request::post(LOCK).header("grpc-timeout", "100m");
    let body = format!(r#"{{"name":"{}"}}"#, base64("never"));
    let (status, _, text) = read(ask(request, body.as_bytes()).await).await;
    let refusal = r#"{"code":4,"message":"context deadline exceeded"}"#;
    assert_eq!((status, text.as_str()), (504, refusal));
}

proptest! {
    /// Whatever comes in is answered.
    #[test]
    fn any_bytes_get_an_answer(
        at in 0..bindings().len(),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..48),
            r#"\{"(name|key|ID|compare|create_request)":["\[{0-9a-zA-Z=\-_}\],:]{0,24}\}?"#.prop_map(String::into_bytes),
        ],
        name in "[a-z-]{1,12}",
        value: Vec<u8>,
    ) {
        let binding = &bindings()[at];
        // Those wait for more, or name things that the fakes look up.
        prop_assume!(binding.path != "/v3/watch" && binding.path != UNLOCK && binding.path != LOCK);
        let mut request = Request::post(binding.path);
        if let Ok(value) = http::HeaderValue::from_bytes(&value) {
            request = request.header(format!("grpc-metadata-{name}"), value.clone());
            request = request.header("grpc-timeout", value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let answer = runtime.block_on(async { read(gateway().call(request).await.unwrap()).await });
        prop_assert!(matches!(answer.0, 400 | 501 | 504), "{answer:?}");
    }
}
