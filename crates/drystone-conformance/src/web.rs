//! Questions over plain HTTP, to programs on this machine.

use anyhow::{Context as _, ensure};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bound on one question.
const QUESTION_MAX: Duration = Duration::from_secs(10);

/// The body of the answer to a GET.
///
/// # Errors
/// No answer within ten seconds, or one that is not 200.
pub(crate) async fn get(address: &str, path: &str) -> anyhow::Result<String> {
    let ask = async {
        let mut connection = TcpStream::connect(address).await?;
        // An answer to HTTP/1.0 ends with its connection, and comes in one piece.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(QUESTION_MAX, ask)
        .await
        .with_context(|| format!("{address} did not answer {path} within {QUESTION_MAX:?}"))?
        .with_context(|| format!("{address} cannot be asked for {path}"))?;
    let text = String::from_utf8(answer).context("an answer is no text")?;
    let (head, body) = text.split_once("\r\n\r\n").context("an answer has no head")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    ensure!(status == "200", "{address}{path} answered {status}: {}", body.trim());
    Ok(body.to_owned())
}

/// A text as a part of a URL's query.
pub(crate) fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn queries_are_escaped() {
        assert_eq!(super::escape("a{b=\"ü\"}"), "a%7Bb%3D%22%C3%BC%22%7D");
    }
}
