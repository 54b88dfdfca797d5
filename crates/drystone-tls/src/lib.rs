//! TLS as etcd's settings ask for it, for whoever listens or dials.
//!
//! # What it is
//! [`Settings`] are etcd's: files of certificates, keys, authorities and revocations, who is let
//! in, which versions and suites. An [`Acceptor`] turns accepted streams into TLS streams, a
//! [`Connector`] does so with dialled ones. [`self_signed()`] makes the certificates of
//! `--auto-tls`.
//!
//! # What it is not
//! It opens no sockets, logs no refused connections and knows no users: whoever accepts does. It
//! is no second TLS stack: handshakes are rustls's on ring, paths of certificates webpki's.
//!
//! # Model
//! What lies in files is *followed*: at each handshake the files' stamps (device, inode, size,
//! times of change) are looked at, and only what has another stamp is read and parsed again. A
//! rustls configuration is made anew when a part of it changed. Connections that stand are never
//! touched.
//!
//! A certificate, key or bundle of authorities that cannot be used, because it is being written
//! or was broken, leaves the last good one in force and is warned of once. A list of revocations
//! that cannot be used lets nobody in, as in etcd: it is there to keep somebody out.
//!
//! # Where it differs from etcd
//! * The bundle of authorities is followed too; etcd needs a restart.
//! * No session is resumed, on either side: a resumed one would pass over revocations and
//!   authorities that changed meanwhile.
//! * The list of revocations also judges the certificates of servers that are dialled.
//! * Suites with CBC, RC4, 3DES or plain RSA key exchange do not exist. Their names are taken.
//! * Certificates of X.509 version 1 and RSA keys below 2048 bits are refused.
//!
//! # Invariants
//! * A handshake ends within [`HANDSHAKE_MAX`].
//! * A common name is told only of a certificate that was verified.
//! * No key, and no part of one, is in any `Debug` output or message.

mod accept;
mod auto;
mod bundle;
mod connect;
mod error;
mod files;
mod leaf;
mod materials;
mod pair;
mod protocol;
mod revoked;
mod san;
mod settings;
mod verify;

#[cfg(feature = "testing")]
pub mod testing;

pub use accept::{Accepted, Acceptor, FarEnd, HANDSHAKE_MAX, Rejected};
pub use auto::{SelfSigned, self_signed};
pub use connect::Connector;
pub use error::Error;
pub use materials::Expiry;
pub use protocol::Version;
pub use san::{Names, SystemNames};
pub use settings::{Pair, Settings};
