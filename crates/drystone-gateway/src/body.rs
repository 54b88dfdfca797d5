//! The values of a request's body, one at a time, as they come in.

use crate::scan::{Progress, Scanner, SyntaxError};
use bytes::{Buf, Bytes};
use http_body::Body;
use http_body_util::BodyExt;
use thiserror::Error;
use tonic::Status;

/// How much longer a request may be as JSON than as a message: base64 makes four bytes of three,
/// the rest is for names and signs.
pub const BODY_GROWTH: usize = 2;

/// Why there is no value.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    #[error("the body holds a value of more than {limit} bytes")]
    TooLong { found: usize, limit: usize },
    #[error("the body did not come in whole")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ReadError {
    /// What the client is told. A layer that counts bytes may have ended the body with a
    /// refusal of its own.
    pub(crate) fn into_status(self) -> Status {
        match self {
            Self::Syntax(error) => Status::invalid_argument(error.to_string()),
            Self::TooLong { found, limit } => Status::resource_exhausted(format!(
                "grpc: received message larger than max ({found} vs. {limit})"
            )),
            Self::Broken(source) => Status::from_error(source),
        }
    }
}

/// Cuts a body into JSON values.
#[derive(Debug)]
pub(crate) struct Values<B> {
    body: B,
    scanner: Scanner,
    /// What came in behind the value that was given out last.
    rest: Bytes,
    /// What is there of the value that is being read.
    value: Vec<u8>,
    bytes_max: usize,
}

impl<B> Values<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Values of at most so many bytes.
    pub(crate) fn new(body: B, bytes_max: usize) -> Self {
        Self { body, scanner: Scanner::new(), rest: Bytes::new(), value: Vec::new(), bytes_max }
    }

    /// The next value; none at the end of the body.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        loop {
            if self.rest.is_empty() {
                let Some(frame) = self.body.frame().await else {
                    let ends = self.scanner.finish()?;
                    return Ok(ends.then(|| std::mem::take(&mut self.value)));
                };
                let frame = frame.map_err(|error| ReadError::Broken(error.into()))?;
                // Trailers say nothing to us.
                self.rest = frame.into_data().unwrap_or_default();
            }
            if let Some(value) = self.scan()? {
                return Ok(Some(value));
            }
        }
    }

    /// Reads on in what is there.
    fn scan(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        if !self.scanner.has_begun() {
            let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
            let spaces = self.rest.iter().take_while(|byte| is_space(byte)).count();
            self.rest.advance(spaces);
        }
        let progress = self.scanner.feed(&self.rest)?;
        let taken = match progress {
            Progress::Ends(end) => end,
            Progress::More => self.rest.len(),
        };
        let found = self.value.len() + taken;
        if found > self.bytes_max {
            return Err(ReadError::TooLong { found, limit: self.bytes_max });
        }
        self.value.extend_from_slice(&self.rest[..taken]);
        self.rest.advance(taken);
        let ends = matches!(progress, Progress::Ends(_));
        Ok(ends.then(|| std::mem::take(&mut self.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use std::convert::Infallible;

    fn body(pieces: &[&str]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin + use<> {
        let frames: Vec<Result<_, Infallible>> = pieces
            .iter()
            .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece.as_bytes()))))
            .collect();
        StreamBody::new(stream::iter(frames))
    }

    async fn values(pieces: &[&str], bytes_max: usize) -> (Vec<String>, Option<String>) {
        let mut values = Values::new(body(pieces), bytes_max);
        let mut found = Vec::new();
        loop {
            match values.next().await {
                Ok(Some(value)) => found.push(String::from_utf8(value).unwrap()),
                Ok(None) => return (found, None),
                Err(error) => return (found, Some(error.into_status().message().to_owned())),
            }
        }
    }

    #[tokio::test]
    async fn values_are_cut_wherever_pieces_end() {
        let all = (vec!["{\"a\":1}".to_owned(), "[ ]".to_owned(), "12".to_owned()], None);
        assert_eq!(values(&[" {\"a\":1}\n[ ]12"], 10).await, all);
        assert_eq!(values(&["", " ", "{\"a", "\":1", "}[", " ]1", "2", "  "], 10).await, all);
        assert_eq!(values(&[], 10).await, (vec![], None));
        assert_eq!(values(&["  \n"], 10).await, (vec![], None));
    }

    #[tokio::test]
    async fn a_value_is_refused_when_it_is_wrong_unfinished_or_long() {
        let refused = |text: &str| (vec!["{}".to_owned()], Some(text.to_owned()));
        let wrong = "invalid character 'x' looking for beginning of value";
        assert_eq!(values(&["{} ", "x"], 10).await, refused(wrong));
        assert_eq!(values(&["{} {\"a\""], 10).await, refused("unexpected EOF"));
        let long = "grpc: received message larger than max (11 vs. 10)";
        assert_eq!(values(&["{} ", "\"45678", "90123"], 10).await, refused(long));
        // Spaces between values are nobody's.
        assert_eq!(values(&[&" ".repeat(100), "{}"], 10).await.1, None);
    }
}
