//! Requests and answers that flow at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::fakes::{ask, gateway, read};
use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tower::Service;

const WATCH: &str = "/v3/watch";
/// Creates watches whose reasons are `a` and `<`.
const CREATE_A: &str = r#"{"create_request":{"key":"YQ=="}}"#;
const CREATE_LESS: &str = r#"{"create_request":{"key":"PA=="}}"#;
const LINE_A: &str = "{\"result\":{\"created\":true,\"cancel_reason\":\"a\"}}\n";
const LINE_LESS: &str = "{\"result\":{\"created\":true,\"cancel_reason\":\"\\u003c\"}}\n";
const REFUSAL: &str = "{\"error\":{\"code\":11,\"message\":\"no more\"}}\n";

async fn line(answer: &mut http::Response<Body>) -> String {
    let frame = answer.body_mut().frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn lines_flow_while_the_request_is_open() {
    let (requests, body) = mpsc::channel::<&str>(8);
    let frames = ReceiverStream::new(body)
        .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes()))));
    let request = Request::post(WATCH).body(StreamBody::new(frames)).unwrap();
    requests.send(CREATE_A).await.unwrap();
    let mut answer = gateway().call(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(line(&mut answer).await, LINE_A);
    // A request may come in pieces.
    let (head, tail) = CREATE_LESS.split_at(9);
    for piece in ["\n", head, tail] {
        requests.send(piece).await.unwrap();
    }
    assert_eq!(line(&mut answer).await, LINE_LESS);
    // When the requests end, the answers go on.
    drop(requests);
    let more = answer.body_mut().frame();
    assert!(futures::poll!(std::pin::pin!(more)).is_pending());
}

#[tokio::test]
async fn a_refusal_is_the_last_line() {
    let body = [CREATE_A, CREATE_LESS, r#"{"cancel_request":{}}"#, CREATE_A].concat();
    let (status, _, text) = read(ask(Request::post(WATCH), body.as_bytes()).await).await;
    assert_eq!((status, text), (200, [LINE_A, LINE_LESS, REFUSAL].concat()));
}

#[tokio::test]
async fn a_refusal_before_any_line_has_its_status() {
    let body = br#"{"progress_request":{}}"#;
    let json = Some("application/json".to_owned());
    let answer = read(ask(Request::post(WATCH), body).await).await;
    assert_eq!(answer, (400, json.clone(), REFUSAL.to_owned()));
    // So has one that comes instead of a stream.
    let (status, _, text) = read(ask(Request::post("/v3/maintenance/snapshot"), b"{}").await).await;
    assert_eq!((status, text.as_str()), (501, "{\"error\":{\"code\":12}}\n"));
}

#[tokio::test]
async fn a_first_request_that_cannot_be_read_is_refused() {
    let answer = read(ask(Request::post(WATCH), b"bad").await).await;
    let text = r#"{"code":3,"message":"invalid character 'b' looking for beginning of value"}"#;
    assert_eq!((answer.0, answer.2.as_str()), (400, text));
}

#[tokio::test]
async fn a_later_request_that_cannot_be_read_ends_only_the_requests() {
    let mut answer =
        ask(Request::post(WATCH), [CREATE_A, "bad", CREATE_A].concat().as_bytes()).await;
    assert_eq!(line(&mut answer).await, LINE_A);
    let more = answer.body_mut().frame();
    assert!(futures::poll!(std::pin::pin!(more)).is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_the_last_line() {
    let request = Request::post(WATCH).header("grpc-timeout", "1S");
    let (status, _, text) = read(ask(request, CREATE_A.as_bytes()).await).await;
    let refusal = "{\"error\":{\"code\":4,\"message\":\"context deadline exceeded\"}}\n";
    assert_eq!((status, text), (200, [LINE_A, refusal].concat()));
}
