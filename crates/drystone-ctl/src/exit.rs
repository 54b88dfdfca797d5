//! How a command ends: etcdctl's exit codes, and the message that goes with one.

use drystone_client::{Code, Error};

/// How a command ended, as the number a shell sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// Everything was done.
    pub const SUCCESS: Exit = Exit(0);
    /// The server refused, the command line was not understood, or a part failed.
    pub const ERROR: Exit = Exit(1);
    /// No client could be made.
    pub const BAD_CONNECTION: Exit = Exit(2);
    /// The text on standard input was not understood.
    pub const BAD_INPUT: Exit = Exit(3);
    /// The command does not offer what a flag asks for.
    pub const BAD_FEATURE: Exit = Exit(4);
    /// The server ended the watch.
    pub const INTERRUPTED: Exit = Exit(5);
    /// Arguments are missing, too many, or of the wrong form.
    pub const BAD_ARGUMENTS: Exit = Exit(128);
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        std::process::ExitCode::from(exit.0)
    }
}

/// Why a command stops before its end, and what it says on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Printed after `Error: `; nothing is printed if empty.
    pub(crate) message: String,
    /// Text that follows the message: suggestions, usage.
    pub(crate) after: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), after: String::new() }
    }

    /// Ends with a code; everything has been said.
    pub(crate) fn silent(exit: Exit) -> Failure {
        Failure::new(exit, "")
    }

    pub(crate) fn arguments(message: impl Into<String>) -> Failure {
        Failure::new(Exit::BAD_ARGUMENTS, message)
    }

    pub(crate) fn input(message: impl Into<String>) -> Failure {
        Failure::new(Exit::BAD_INPUT, message)
    }

    pub(crate) fn feature(message: impl Into<String>) -> Failure {
        Failure::new(Exit::BAD_FEATURE, message)
    }

    pub(crate) fn call(error: &Error) -> Failure {
        let exit = match error {
            Error::NoEndpoints | Error::Endpoint(_) => Exit::BAD_CONNECTION,
            _ => Exit::ERROR,
        };
        Failure::new(exit, call_message(error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        // A reader that has seen enough, such as `head`: nothing went wrong.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::silent(Exit::ERROR);
        }
        Failure::new(Exit::ERROR, error.to_string())
    }
}

/// The text that etcd's client has for an error: etcd's own texts alone, others as gRPC's.
pub(crate) fn call_message(error: &Error) -> String {
    match error {
        Error::Server { message, .. } if is_etcd_text(message) => message.clone(),
        Error::Server { code: Code::DeadlineExceeded, .. } => Error::Deadline.to_string(),
        Error::Server { code, message } => grpc_text(*code, message),
        Error::Deadline | Error::NoEndpoints | Error::Endpoint(_) | Error::Tls { .. } => {
            error.to_string()
        }
        other => grpc_text(other.code(), &other.to_string()),
    }
}

/// Whether etcd's client knows a text as one of its errors. All but one share a prefix.
fn is_etcd_text(message: &str) -> bool {
    message.starts_with("etcdserver: ") || message == "Peer URLs already exists"
}

fn grpc_text(code: Code, message: &str) -> String {
    let name = match code {
        // The one code whose name Go spells in American.
        Code::Cancelled => "Canceled".to_owned(),
        code => format!("{code:?}"),
    };
    format!("rpc error: code = {name} desc = {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_errors() {
        let server = |code, message: &str| {
            call_message(&Error::Server { code, message: message.to_owned() })
        };
        assert_eq!(
            server(Code::NotFound, "etcdserver: requested lease not found"),
            "etcdserver: requested lease not found"
        );
        assert_eq!(server(Code::Unimplemented, "no"), "rpc error: code = Unimplemented desc = no");
        assert_eq!(server(Code::Cancelled, "x"), "rpc error: code = Canceled desc = x");
        assert_eq!(server(Code::DeadlineExceeded, "x"), "context deadline exceeded");
        assert_eq!(
            call_message(&Error::RequestTooLarge { bytes: 2_200_009, bytes_max: 2_097_152 }),
            "rpc error: code = ResourceExhausted desc = \
             trying to send message larger than max (2200009 vs. 2097152)"
        );
    }
}
