//! gRPC-web, made by hand as a page in a browser makes it.

use super::ask::{ask, exchange};
use crate::{config_with, put, start, start_as};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use drystone_api::etcdserverpb::{
    PutRequest, PutResponse, RangeRequest, RangeResponse, RangeStreamResponse,
};
use http::{Request, Response};
use http_body_util::Full;
use prost::Message;
use std::net::SocketAddr;

const WEB: &str = "--drystone-grpc-web";
const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";
/// Set in the first byte of a frame that has trailers in it.
const TRAILERS: u8 = 0x80;

fn frame(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut frame).unwrap();
    frame.freeze()
}

/// A body in the form that is text: pieces of base64, each padded.
fn decoded(text: &[u8]) -> Bytes {
    text.chunks(4).flat_map(|four| BASE64_STANDARD.decode(four).unwrap()).collect()
}

/// The messages of a body, and the lines behind them.
fn frames(mut body: Bytes) -> (Vec<Bytes>, String) {
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while body.has_remaining() {
        let kind = body.get_u8();
        let length = usize::try_from(body.get_u32()).unwrap();
        let frame = body.split_to(length);
        if kind == TRAILERS {
            trailers.push_str(std::str::from_utf8(&frame).unwrap());
        } else {
            assert_eq!(kind, 0, "nothing is compressed");
            messages.push(frame);
        }
    }
    (messages, trailers)
}

async fn call(
    to: SocketAddr,
    method: &str,
    kind: &str,
    origin: &str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let request = Request::post(format!("/etcdserverpb.KV/{method}"))
        .header("Content-Type", kind)
        .header("Accept", kind)
        .header("Origin", origin)
        .header("X-Grpc-Web", "1");
    exchange(to, request.body(Full::new(body.into())).unwrap()).await
}

fn range(key: &str, end: &str) -> RangeRequest {
    let (key, range_end) = (key.to_owned().into(), end.to_owned().into());
    RangeRequest { key, range_end, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_call_in_both_forms_of_grpc_web() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _channel) = start_as(config_with(folder.path(), &[WEB])).await;
    let to = server.client_addresses()[0];
    let page = "http://page.example";

    let answer = call(to, "Put", BINARY, page, frame(&put("a", "1"))).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &BINARY.parse().unwrap())
    );
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let (messages, trailers) = frames(answer.into_body());
    let header = PutResponse::decode(&messages[0][..]).unwrap().header.unwrap();
    assert_eq!((messages.len(), header.revision), (1, 2));
    assert!(trailers.contains("grpc-status:0"), "{trailers:?}");

    let asked = BASE64_STANDARD.encode(frame(&range("a", "")));
    let answer = call(to, "Range", TEXT, page, asked).await;
    let (messages, trailers) = frames(decoded(answer.body()));
    let found = RangeResponse::decode(&messages[0][..]).unwrap();
    assert_eq!((found.kvs[0].value.as_ref(), found.count), (&b"1"[..], 1));
    assert!(trailers.contains("grpc-status:0"), "{trailers:?}");

    // An answer that is a stream.
    let answer = call(to, "RangeStream", BINARY, page, frame(&range("a", "b"))).await;
    let (messages, trailers) = frames(answer.into_body());
    let pieces = messages.iter().map(|piece| RangeStreamResponse::decode(&piece[..]).unwrap());
    let ranges = pieces.filter_map(|piece| piece.range_response);
    let keys: Vec<Bytes> = ranges.flat_map(|range| range.kvs).map(|kv| kv.key).collect();
    assert_eq!(keys, ["a"]);
    assert!(trailers.contains("grpc-status:0"), "{trailers:?}");

    // A refusal stands in the head, where pages are let to read it.
    let answer = call(to, "Put", BINARY, page, frame(&PutRequest::default())).await;
    let (messages, trailers) = frames(answer.body().clone());
    assert!(messages.is_empty(), "{messages:?}");
    let status = answer.headers().get("grpc-status").map(|status| status.to_str().unwrap());
    assert!(status == Some("3") || trailers.contains("grpc-status:3"), "{answer:?}");
    assert_eq!(answer.headers()["access-control-expose-headers"], "grpc-status, grpc-message");
    // Bytes that are no frame, and none at all.
    for body in ["", "x", "\u{1}\0\0\0\0", "\0\u{7f}\u{7f}\u{7f}\u{7f}"] {
        for kind in [BINARY, TEXT] {
            let answer = call(to, "Put", kind, page, body).await;
            let status = answer.headers().get("grpc-status").map(|s| s.to_str().unwrap());
            let body = match kind {
                TEXT => decoded(answer.body()),
                _ => answer.body().clone(),
            };
            let (messages, trailers) = frames(body);
            let refused = status.is_some_and(|status| status != "0")
                || trailers.contains("grpc-status:") && !trailers.contains("grpc-status:0");
            assert!(messages.is_empty() && refused, "{kind} {answer:?} {trailers:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_ask_before_they_call_and_those_not_listed_do_not_call() {
    let folder = tempfile::tempdir().unwrap();
    let words = [WEB, "--cors=http://a.example:80"];
    let (server, _channel) = start_as(config_with(folder.path(), &words)).await;
    let to = server.client_addresses()[0];
    let (listed, other) = ("http://a.example:80", "http://b.example");
    let path = "/etcdserverpb.KV/Put";
    let asked = ask(to, "OPTIONS", path, &["Origin: http://a.example:80"]).await;
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (200, listed));
    let headers = asked.header("access-control-allow-headers");
    for name in ["content-type", "x-grpc-web", "x-user-agent", "grpc-timeout", "authorization"] {
        assert!(headers.split(", ").any(|header| header == name), "{name}: {headers}");
    }
    assert_eq!(call(to, "Put", BINARY, listed, frame(&put("a", "1"))).await.status(), 200);
    let refused = call(to, "Put", BINARY, other, frame(&put("b", "1"))).await;
    assert_eq!(refused.status(), 403);
    let found = call(to, "Range", BINARY, listed, frame(&range("a", "c"))).await;
    let (messages, _) = frames(found.into_body());
    assert_eq!(RangeResponse::decode(&messages[0][..]).unwrap().count, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_flag_there_is_no_grpc_web() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _channel) = start(folder.path()).await;
    let to = server.client_addresses()[0];
    let answer = call(to, "Put", BINARY, "http://a.example", frame(&put("a", "1"))).await;
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (404, &b"404 page not found\n"[..]));
    assert_eq!(answer.headers().get("access-control-expose-headers"), None);
    server.stop().await;
}
