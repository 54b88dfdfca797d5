//! What can go wrong, sorted by what the caller can do about it.

use std::error::Error as _;
use std::fmt;

use tonic::{Code, Status};

use crate::EndpointError;

/// Why a call did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration names no server.
    #[error("etcdclient: no available endpoints")]
    NoEndpoints,
    /// An endpoint of the configuration cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The certificates and authorities of the configuration cannot be used.
    #[error("{message}")]
    Tls {
        /// What is wrong with which file.
        message: String,
    },
    /// The server answered with an error. The message is the server's own.
    #[error("{message}")]
    Server {
        /// gRPC's code.
        code: Code,
        /// The server's text, for example `etcdserver: key is not provided`.
        message: String,
    },
    /// No answer came within [`Timeouts::call`](crate::Timeouts::call). A write may or may
    /// not have happened.
    #[error("context deadline exceeded")]
    Deadline,
    /// No server could be reached, so that nothing was sent: repeating is safe.
    #[error("no connection: {message}")]
    Unreachable {
        /// The last reason, with the endpoint.
        message: String,
    },
    /// The connection was lost while the call was under way. A write may or may not have
    /// happened.
    #[error("connection lost: {message}")]
    Lost {
        /// What the connection reported.
        message: String,
    },
    /// The auth token has bytes that metadata cannot carry.
    #[error("the auth token has bytes that metadata cannot carry")]
    Token,
    /// The request is larger than [`Config::request_bytes_max`](crate::Config).
    #[error("trying to send message larger than max ({bytes} vs. {bytes_max})")]
    RequestTooLarge {
        /// Bytes of the encoded request.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

impl Error {
    /// The gRPC code that etcd's own client would report.
    pub fn code(&self) -> Code {
        match self {
            Error::Server { code, .. } => *code,
            Error::Deadline => Code::DeadlineExceeded,
            Error::RequestTooLarge { .. } => Code::ResourceExhausted,
            Error::NoEndpoints | Error::Unreachable { .. } | Error::Lost { .. } => {
                Code::Unavailable
            }
            Error::Endpoint(_) | Error::Tls { .. } | Error::Token => Code::InvalidArgument,
        }
    }

    /// Whether this is the server's answer with exactly this text.
    pub fn is_server(&self, text: &str) -> bool {
        matches!(self, Error::Server { message, .. } if message == text)
    }

    pub(crate) fn from_status(status: &Status) -> Error {
        let mut source = status.source();
        let local = source.is_some();
        while let Some(cause) = source {
            if let Some(NotSent(message)) = cause.downcast_ref::<NotSent>() {
                return Error::Unreachable { message: message.clone() };
            }
            source = cause.source();
        }
        if local && matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal) {
            return Error::Lost { message: chain(status) };
        }
        Error::Server { code: status.code(), message: status.message().to_owned() }
    }
}

fn chain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        source = cause.source();
    }
    text
}

/// Marks a status of our own making: the request never left this process.
#[derive(Clone, Debug)]
pub(crate) struct NotSent(pub(crate) String);

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotSent {}

impl NotSent {
    pub(crate) fn status(message: String) -> Status {
        let mut status = Status::unavailable(message.clone());
        status.set_source(std::sync::Arc::new(NotSent(message)));
        status
    }
}
