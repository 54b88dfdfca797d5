//! A client for servers that speak etcd v3: Drystone and etcd.
//!
//! # What it is
//! [`Client`] makes the unary calls with etcd's rules for repeating them, and reads long lists in
//! chunks ([`RangeStream`]). [`Watch`] and [`KeepAlive`] are streams that outlive their
//! connections. Requests and responses are the
//! messages of `drystone-api`, neither wrapped nor renamed. [`Transport`] is the layer below:
//! a gRPC service that spreads calls over the endpoints and passes over those that are down.
//! [`discover_endpoints`] finds the endpoints that a domain names.
//!
//! # What it is not
//! It is no second TLS stack: what [`Config::tls`] says is `drystone-tls`'s to do. It keeps no
//! cache, no session and no background task beside its connections; locks, elections and
//! namespaces stand on top of it, not in it.
//!
//! # Model
//! One HTTP/2 connection an endpoint, opened when first needed. A call goes to the next
//! endpoint in turn that is connected. An endpoint that cannot be reached is left alone for a
//! while that doubles from 50 ms up to 2 s, and is brought back beside the calls that others
//! can serve. Connections are made by a [`Dial`]: the system's sockets, unless
//! [`Client::over`] is given others. Reads are repeated on `UNAVAILABLE`; writes only if nothing was sent, which the
//! transport knows for certain.
//!
//! # Example
//! ```no_run
//! use drystone_api::etcdserverpb::{PutRequest, RangeRequest};
//! use drystone_client::{Client, Config};
//!
//! # async fn run() -> Result<(), drystone_client::Error> {
//! let client = Client::connect(Config::parse(["127.0.0.1:2379", "127.0.0.1:22379"])?).await?;
//! let put = PutRequest { key: "a".into(), value: "1".into(), ..Default::default() };
//! client.put(put).await?;
//! let range = RangeRequest { key: "a".into(), ..Default::default() };
//! assert_eq!(client.range(range).await?.kvs[0].value, "1");
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! * A write is handed to at most one connection.
//! * A watch hands out each event once, in order, and revisions whole.
//! * Nothing waits without a bound that has a name in [`Config`], except streams and calls
//!   whose [`Timeouts::call`] is `None` and whose [`Retries::attempts_max`] allows it.

mod client;
mod config;
mod dial;
mod endpoint;
mod error;
mod lease;
mod list;
mod srv;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
mod watch;

pub use client::Client;
pub use config::{Config, Credentials, Retries, Timeouts, Windows};
pub use dial::{Dial, Dialing, Stream, SystemDialer};
/// How to speak TLS: which authorities are trusted, and which certificate is shown.
pub use drystone_tls::{Pair, Settings as TlsSettings};
pub use endpoint::{Endpoint, EndpointError, Target};
pub use error::Error;
pub use lease::KeepAlive;
pub use list::RangeStream;
pub use srv::{Resolver, SrvError, SrvTarget, discover_endpoints, lookup_srv};
/// gRPC's status codes, as [`Error::code`] gives them.
pub use tonic::Code;
pub use transport::Transport;
pub use watch::{Watch, WatchOptions};
