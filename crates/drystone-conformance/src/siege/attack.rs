//! The attacks: what each does on one connection, and how many connections it has.

use super::attacker::{Door, Stream};
use super::{floods, slow, stuck};
use std::fmt;

/// Whether an attack comes in clear or over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Face {
    Clear,
    /// The attacker has a certificate that the server takes.
    Secure,
    /// TCP to a face that speaks TLS: the attack is on the handshake itself.
    BeforeTls,
}

/// One way to keep a server from its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    SilentTcp,
    HttpDrip,
    PrefaceDrip,
    RapidReset,
    LateReset,
    Settings,
    Ping,
    PingUnread,
    PingAck,
    Continuation,
    EmptyData,
    WindowUpdate,
    Priority,
    HeaderLists,
    Hpack,
    StuckLists,
    StuckWatches,
    StuckUploads,
    Churn,
    Idle,
    HalfHandshake,
    Handshakes,
    SecureSettings,
    SecureHeaderLists,
    SecureIdle,
}

/// What is told of an attack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) attack: Attack,
    pub(super) name: &'static str,
    pub(super) face: Face,
    /// Connections at once.
    pub(super) connections: usize,
    /// Addresses that they come from.
    pub(super) addresses: u8,
    /// Whether calls reach the server by it, whose bytes have caps of their own.
    pub(super) calls: bool,
}

/// Connections of an attack whose strength is not their number.
const FEW: usize = 16;

const fn plan(attack: Attack, name: &'static str, face: Face, connections: usize) -> Plan {
    Plan { attack, name, face, connections, addresses: 4, calls: false }
}

impl Plan {
    const fn calling(self) -> Plan {
        Plan { calls: true, ..self }
    }

    const fn from(self, addresses: u8) -> Plan {
        Plan { addresses, ..self }
    }

    /// Whether the server says something on each connection, and it is waited for.
    pub(super) fn is_greeted(&self) -> bool {
        matches!(self.attack, Attack::Idle | Attack::SecureIdle)
    }

    /// Whether a name that a user gave means this one.
    pub(super) fn is_called(&self, only: &str) -> bool {
        self.name.contains(only)
    }
}

/// All attacks, those in clear first.
pub(super) const PLANS: [Plan; 25] = [
    plan(Attack::SilentTcp, "TCP, silent", Face::Clear, 1_000),
    plan(Attack::HttpDrip, "HTTP/1, header drip", Face::Clear, 500),
    plan(Attack::PrefaceDrip, "HTTP/2, preface drip", Face::Clear, 500),
    plan(Attack::RapidReset, "rapid reset", Face::Clear, FEW).calling(),
    plan(Attack::LateReset, "reset of calls under way", Face::Clear, FEW).calling(),
    plan(Attack::Settings, "SETTINGS", Face::Clear, FEW),
    plan(Attack::Ping, "PING", Face::Clear, FEW),
    plan(Attack::PingUnread, "PING, answers not read", Face::Clear, FEW),
    plan(Attack::PingAck, "PING, answers never asked for", Face::Clear, FEW),
    plan(Attack::Continuation, "CONTINUATION", Face::Clear, FEW),
    plan(Attack::EmptyData, "empty DATA", Face::Clear, FEW).calling(),
    plan(Attack::WindowUpdate, "WINDOW_UPDATE", Face::Clear, FEW),
    plan(Attack::Priority, "PRIORITY", Face::Clear, FEW),
    plan(Attack::HeaderLists, "header bomb, long lists", Face::Clear, FEW).calling(),
    plan(Attack::Hpack, "header bomb, HPACK", Face::Clear, FEW).calling(),
    plan(Attack::StuckLists, "lists nobody reads", Face::Clear, FEW).calling(),
    plan(Attack::StuckWatches, "watches nobody reads", Face::Clear, FEW).calling(),
    plan(Attack::StuckUploads, "requests that do not end", Face::Clear, FEW).calling(),
    plan(Attack::Churn, "connections that come and go", Face::Clear, FEW),
    plan(Attack::Idle, "10,000 idle connections", Face::Clear, 10_000).from(16),
    plan(Attack::HalfHandshake, "TLS, half a handshake", Face::BeforeTls, 1_000),
    plan(Attack::Handshakes, "TLS, handshakes without papers", Face::BeforeTls, FEW),
    plan(Attack::SecureSettings, "SETTINGS over TLS", Face::Secure, FEW),
    plan(Attack::SecureHeaderLists, "header bomb over TLS", Face::Secure, FEW).calling(),
    plan(Attack::SecureIdle, "1,000 idle connections over TLS", Face::Secure, 1_000).from(16),
];

impl Attack {
    /// Attacks on one connection until the server ends it.
    pub(super) async fn assail(self, door: &Door, stream: Stream) {
        match self {
            Attack::SilentTcp => slow::silence(stream, b"").await,
            Attack::HttpDrip => slow::http_drip(stream).await,
            Attack::PrefaceDrip => slow::preface_drip(stream).await,
            Attack::Idle | Attack::SecureIdle => slow::idle(&door.tally, stream).await,
            Attack::HalfHandshake => slow::half_handshake(stream).await,
            Attack::Handshakes => door.shake_hands_without_papers(stream).await,
            // It is over when the server has heard of it.
            Attack::Churn => slow::hello_and_gone(stream).await,
            Attack::StuckLists => stuck::lists(&door.tally, stream).await,
            Attack::StuckWatches => stuck::watches(&door.tally, stream).await,
            Attack::StuckUploads => stuck::uploads(&door.tally, stream).await,
            Attack::PingUnread => floods::unread(stream, floods::pings()).await,
            Attack::RapidReset => floods::rapid_resets(&door.tally, stream).await,
            Attack::LateReset => floods::late_resets(&door.tally, stream).await,
            Attack::HeaderLists | Attack::SecureHeaderLists => {
                floods::header_lists(&door.tally, stream).await;
            }
            Attack::Hpack => floods::hpack_bombs(&door.tally, stream).await,
            Attack::Settings | Attack::SecureSettings => {
                floods::repeat(&door.tally, stream, vec![], floods::settings()).await;
            }
            Attack::Ping => floods::repeat(&door.tally, stream, vec![], floods::pings()).await,
            Attack::PingAck => {
                floods::repeat(&door.tally, stream, vec![], floods::ping_answers()).await;
            }
            Attack::Priority => {
                floods::repeat(&door.tally, stream, vec![], floods::priorities()).await;
            }
            Attack::Continuation => {
                let (begun, more) = floods::continuations();
                floods::repeat(&door.tally, stream, begun, more).await;
            }
            Attack::EmptyData => {
                let (begun, more) = floods::empty_data();
                floods::repeat(&door.tally, stream, begun, more).await;
            }
            Attack::WindowUpdate => {
                floods::repeat(&door.tally, stream, vec![], floods::window_updates()).await;
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_attacks_apart() {
        for (n, plan) in PLANS.iter().enumerate() {
            assert!(PLANS[n + 1..].iter().all(|other| other.name != plan.name), "{plan}");
            assert!(plan.connections >= usize::from(plan.addresses), "{plan}");
        }
    }
}
