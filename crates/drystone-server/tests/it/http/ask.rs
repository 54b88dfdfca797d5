//! The least client of HTTP/1 there can be, so that tests see every byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bound on every wait for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// By their names in small letters.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Sends one request on a connection of its own. `lines` are more lines of its head.
pub(super) async fn ask(to: SocketAddr, method: &str, path: &str, lines: &[&str]) -> Answer {
    try_ask(to, method, path, lines).await.unwrap()
}

/// [`ask`] where the server may refuse the connection.
pub(super) async fn try_ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    lines: &[&str],
) -> io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !lines.iter().any(|line| line.starts_with("Host:")) {
        head += &format!("Host: {to}\r\n");
    }
    for line in lines {
        head += &format!("{line}\r\n");
    }
    let answered = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read(&String::from_utf8(bytes).unwrap()))
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap()
}

/// Sends one request on a connection of its own, and reads its answer as bytes.
pub(super) async fn exchange(to: SocketAddr, mut request: Request<Full<Bytes>>) -> Response<Bytes> {
    let host = to.to_string().parse().unwrap();
    request.headers_mut().insert(http::header::HOST, host);
    let answered = async {
        let stream = TcpStream::connect(to).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driven = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        driven.abort();
        Response::from_parts(head, body)
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap()
}

/// `GET`s a path.
pub(super) async fn get(to: SocketAddr, path: &str) -> Answer {
    ask(to, "GET", path, &[]).await
}

fn read(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Answer { status, headers, body }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, chunk) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body += &chunk[..size];
        rest = chunk[size..].strip_prefix("\r\n").unwrap();
    }
}
