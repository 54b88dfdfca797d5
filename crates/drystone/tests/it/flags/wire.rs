//! Requests over HTTP/1.1 and frames of HTTP/2, in clear, written out by hand.

use super::server::AWAITED_MAX;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(AWAITED_MAX)).unwrap();
    stream
}

/// Sends a request with these header lines and reads the answer, head and body; nothing of who
/// speaks no HTTP/1.1.
pub(super) fn ask(url: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = connect(url);
    send(&mut stream, method, path, &format!("Connection: close\r\n{headers}"), body);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{method} {path}: {error}");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn send(stream: &mut TcpStream, method: &str, path: &str, headers: &str, body: &str) {
    let host = if headers.contains("Host: ") { "" } else { "Host: localhost\r\n" };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
}

pub(super) fn get(url: &str, path: &str) -> String {
    ask(url, "GET", path, "", "")
}

pub(super) fn post(url: &str, path: &str, body: &str) -> String {
    ask(url, "POST", path, "", body)
}

/// Reads the answer to a POST until `until` has stood in it so many times.
pub(super) fn stream(url: &str, path: &str, body: &str, until: &str, times: usize) -> String {
    let mut stream = connect(url);
    send(&mut stream, "POST", path, "", body);
    let mut text = String::new();
    let mut piece = [0; 1024];
    while text.matches(until).count() < times {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "the stream ended: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    text
}

/// Kinds of frames, and one setting.
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;

/// A client of HTTP/2 that greets and then only listens.
pub(super) struct Silent {
    stream: TcpStream,
}

impl Silent {
    pub(super) fn connect(url: &str) -> Self {
        let mut stream = connect(url);
        // A server that is full may have closed it already.
        let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        Self { stream }
    }

    /// The kind and the payload of the next frame; `None` when the server has closed.
    pub(super) fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.fill(&mut payload)?;
        Some((head[3], payload))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) => {
                let closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
                assert!(closed.contains(&error.kind()), "{error}");
                None
            }
        }
    }
}

/// A setting in the payload of a frame.
pub(super) fn setting(payload: &[u8], wanted: u16) -> Option<u32> {
    payload.chunks_exact(6).find_map(|item| {
        let (id, value) = item.split_at(2);
        let is_wanted = u16::from_be_bytes(id.try_into().unwrap()) == wanted;
        is_wanted.then(|| u32::from_be_bytes(value.try_into().unwrap()))
    })
}
