//! What a client is told when it is made: plain data, checked once.

use std::time::Duration;

use crate::{Endpoint, Error};

/// Settings of a [`Client`](crate::Client).
#[derive(Clone, Debug)]
pub struct Config {
    /// The servers of one cluster. Calls go to them in turn; one that cannot be reached is
    /// passed over. Must not be empty.
    pub endpoints: Vec<Endpoint>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How often things are tried.
    pub retries: Retries,
    /// Largest request that is sent, in bytes of its encoded message. etcd's client: 2 MiB.
    pub request_bytes_max: usize,
    /// Largest response that is accepted, in bytes of its encoded message. etcd's client:
    /// 2³¹−1.
    pub response_bytes_max: usize,
    /// HTTP/2 receive windows.
    pub windows: Windows,
    /// Ask every call to fail at once when the server knows no leader, instead of waiting
    /// for one (metadata `hasleader: true`).
    pub require_leader: bool,
    /// How calls are authenticated.
    pub credentials: Credentials,
    /// How to speak TLS. With it, endpoints that have no scheme speak it; without it, those of
    /// `https` and `unixs` trust the system's authorities.
    pub tls: Option<drystone_tls::Settings>,
}

/// Limits on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Resolving a name, opening the connection and the HTTP/2 preface, for one address.
    pub connect: Duration,
    /// A whole unary call with all its retries. `None`: as long as it takes.
    pub call: Option<Duration>,
    /// Silence after which a connection with calls in flight is probed. Servers close
    /// connections that are probed more often than every 5 s, so less than 10 s counts as
    /// 10 s, as in gRPC's Go library.
    pub keepalive_interval: Duration,
    /// How long a probe may stay unanswered before the connection counts as lost.
    pub keepalive_answer: Duration,
}

/// Limits on repetition. Which calls may be repeated at all is not a setting: reads when the
/// server is unavailable, writes only when nothing was sent (etcd: client/v3/retry.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Most attempts of one call, the first included.
    pub attempts_max: u32,
    /// Pause after every endpoint has been tried once.
    pub pause: Duration,
    /// The pause doubles from [`pause`](Retries::pause) up to this.
    pub pause_max: Duration,
}

/// HTTP/2 flow control: how much the peer may send before it must wait for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Per call.
    pub stream_bytes: u32,
    /// Per connection.
    pub connection_bytes: u32,
}

/// How calls are authenticated.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// A token that the server already knows, sent as it is.
    Token(String),
    /// A name and password, exchanged for a token on [`connect`](crate::Client::connect).
    Password {
        /// The user's name.
        user: String,
        /// The user's password.
        password: String,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credentials::None => f.write_str("None"),
            Credentials::Token(_) => f.write_str("Token(..)"),
            Credentials::Password { user, .. } => {
                f.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
        }
    }
}

/// Shortest keep-alive interval that servers tolerate with room to spare.
const KEEPALIVE_INTERVAL_MIN: Duration = Duration::from_secs(10);

impl Timeouts {
    pub(crate) fn keepalive_interval_checked(&self) -> Duration {
        self.keepalive_interval.max(KEEPALIVE_INTERVAL_MIN)
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(2),
            call: Some(Duration::from_secs(5)),
            keepalive_interval: KEEPALIVE_INTERVAL_MIN,
            keepalive_answer: Duration::from_secs(6),
        }
    }
}

impl Default for Retries {
    fn default() -> Retries {
        Retries {
            attempts_max: 100,
            pause: Duration::from_millis(25),
            pause_max: Duration::from_secs(1),
        }
    }
}

impl Default for Windows {
    fn default() -> Windows {
        Windows { stream_bytes: 2 << 20, connection_bytes: 5 << 20 }
    }
}

impl Config {
    /// Defaults of etcd's own client for these servers.
    pub fn new(endpoints: Vec<Endpoint>) -> Config {
        Config {
            endpoints,
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            request_bytes_max: 2 << 20,
            response_bytes_max: i32::MAX as usize,
            windows: Windows::default(),
            require_leader: false,
            credentials: Credentials::None,
            tls: None,
        }
    }

    /// [`Config::new`] from texts such as `"127.0.0.1:2379"`.
    pub fn parse<T: AsRef<str>>(endpoints: impl IntoIterator<Item = T>) -> Result<Config, Error> {
        let parsed: Result<Vec<Endpoint>, _> =
            endpoints.into_iter().map(|text| Endpoint::parse(text.as_ref())).collect();
        Ok(Config::new(parsed?))
    }
}
