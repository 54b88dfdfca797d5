//! One request of HTTP/1.1 on a connection of its own, as `curl` makes it.

use super::masking::Names;
use super::script::Case;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer: its status and the headers that matter, and its body, as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Asks a member. What goes wrong is an answer too, and equal to none.
pub(crate) async fn ask(address: &str, case: &Case, names: &Names, limit: Duration) -> Answer {
    match timeout(limit, exchange(address, case, names)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer { head: format!("no answer: {error:#}"), body: String::new() },
        Err(_) => Answer { head: format!("no answer within {limit:?}"), body: String::new() },
    }
}

async fn exchange(address: &str, case: &Case, names: &Names) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let mut request = http::Request::builder()
        .method(case.method.as_str())
        .uri(&case.path)
        .header("Host", address)
        .header("Content-Type", "application/x-www-form-urlencoded");
    for (name, value) in &case.headers {
        request = request.header(name, names.filled_in(value));
    }
    let body = names.filled_in(case.body.as_deref().unwrap_or_default());
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let head = head(&answer);
    let body = read(answer.into_body(), case.lines).await?;
    driven.abort();
    Ok(Answer { head, body })
}

/// Status, type, whether the call's own type is passed on, how to sign in, and where else to ask.
fn head(answer: &http::Response<Incoming>) -> String {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let mut head = answer.status().as_u16().to_string();
    for name in ["content-type", "grpc-metadata-content-type", "www-authenticate", "location"] {
        if let Some(value) = header(name) {
            head.push(' ');
            head.push_str(if name.starts_with("grpc-") { "grpc" } else { value });
        }
    }
    head
}

/// A body to its end, or so many of its lines.
async fn read(mut body: Incoming, lines: Option<usize>) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let enough = |text: &[u8]| {
        lines.is_some_and(|lines| text.iter().filter(|byte| **byte == b'\n').count() >= lines)
    };
    while !enough(&text) {
        let Some(frame) = body.frame().await else { break };
        text.extend_from_slice(&frame?.into_data().unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
