//! A call as JSON, and its outcome as gRPC would have it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::auth::Guarded;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::{Code, Status};

/// Bound on every wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes as JSON has them.
pub(super) fn bytes(text: &str) -> Value {
    BASE64_STANDARD.encode(text).into()
}

/// Posts `body` on a connection of its own. A stream is read to its first line; a watcher that is
/// refused hears it in there.
pub(super) async fn call(
    guarded: &Guarded,
    token: Option<&str>,
    path: &str,
    body: &Value,
) -> Result<Value, Status> {
    let answered = exchange(guarded, token, path, body);
    let answered = tokio::time::timeout(PATIENCE, answered).await;
    let answer = answered.unwrap_or_else(|_| panic!("{path} {body}: no answer"));
    // A refusal stands alone, or in the line of a stream.
    let refused = answer.get("error").unwrap_or(&answer);
    if let (Some(code), Some(text)) = (refused["code"].as_i64(), refused["message"].as_str()) {
        return Err(Status::new(Code::from_i32(i32::try_from(code).unwrap()), text));
    }
    let watched = &answer["result"];
    if watched["canceled"] == true {
        return Err(Status::unknown(watched["cancel_reason"].as_str().unwrap()));
    }
    Ok(answer)
}

async fn exchange(guarded: &Guarded, token: Option<&str>, path: &str, body: &Value) -> Value {
    let address = guarded.server.client_addresses()[0];
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driven = tokio::spawn(connection);
    let mut request = http::Request::post(path).header("Host", address.to_string());
    if let Some(token) = token {
        request = request.header("Authorization", token);
    }
    let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let line = first_line(answer.into_body()).await;
    driven.abort();
    serde_json::from_slice(&line).unwrap_or_else(|error| {
        panic!("{path} {body}: {error}: {}", String::from_utf8_lossy(&line))
    })
}

async fn first_line(mut body: Incoming) -> Vec<u8> {
    let mut line = Vec::new();
    while let Some(frame) = body.frame().await {
        line.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            line.truncate(end);
            return line;
        }
    }
    line
}
