//! What applying entries gives.

use drystone_api::errors::EtcdError;
use drystone_api::{authpb, etcdserverpb, raw};
use drystone_types::{LogIndex, RevisionEvents, Term};
use std::fmt;

/// The answer to one proposal. Headers say the revision only.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To a range in the log, which only old logs hold.
    Range(raw::RangeResponse),
    /// To a put.
    Put(raw::PutResponse),
    /// To a delete.
    DeleteRange(raw::DeleteRangeResponse),
    /// To a transaction.
    Txn(raw::TxnResponse),
    /// To a compaction.
    Compaction(etcdserverpb::CompactionResponse),
    /// To the grant of a lease.
    LeaseGrant(etcdserverpb::LeaseGrantResponse),
    /// To the end of a lease.
    LeaseRevoke(etcdserverpb::LeaseRevokeResponse),
    /// To a checkpoint of leases.
    LeaseCheckpoint(etcdserverpb::LeaseCheckpointResponse),
    /// To a question about alarms, or a change of them.
    Alarm(etcdserverpb::AlarmResponse),
    /// To a login, a question about users and roles, or a change of them.
    Auth {
        /// The header, which every answer of the Auth service has.
        header: Option<etcdserverpb::ResponseHeader>,
        /// The rest.
        reply: AuthReply,
    },
    /// To what has no answer of its own: a member's attributes, the cluster's version.
    Empty,
}

/// What the answers of the Auth service say besides their header.
#[derive(Clone, PartialEq)]
pub enum AuthReply {
    /// Nothing more: a change was made, or there was nothing to change.
    Done,
    /// Whether permissions are asked for.
    Status {
        /// They are.
        enabled: bool,
        /// The auth revision.
        revision: u64,
    },
    /// The simple token of a login. Where tokens carry their own proof it means nothing: the
    /// member that was asked makes one.
    Token(String),
    /// Names in ascending order: of all users, of all roles, or of one user's roles.
    Names(Vec<String>),
    /// The permissions of a role.
    Permissions(Vec<authpb::Permission>),
}

/// Shows everything but the token, which is as good as a password.
impl fmt::Debug for AuthReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Status { enabled, revision } => f
                .debug_struct("Status")
                .field("enabled", enabled)
                .field("revision", revision)
                .finish(),
            Self::Token(_) => f.debug_tuple("Token").finish_non_exhaustive(),
            Self::Names(names) => f.debug_tuple("Names").field(names).finish(),
            Self::Permissions(all) => f.debug_tuple("Permissions").field(all).finish(),
        }
    }
}

/// What became of simple tokens. Every member keeps them alike.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenChange {
    /// A token counts for a user from now on.
    Issued {
        /// The user.
        user: String,
        /// The token.
        token: String,
    },
    /// The tokens of a user, who was removed or got another password, count no more.
    UserDropped(String),
    /// No token counts any more: permissions are not asked for.
    AllDropped,
}

/// Shows everything but the token.
impl fmt::Debug for TokenChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issued { user, token: _ } => {
                f.debug_struct("Issued").field("user", user).finish_non_exhaustive()
            }
            Self::UserDropped(user) => f.debug_tuple("UserDropped").field(user).finish(),
            Self::AllDropped => f.write_str("AllDropped"),
        }
    }
}

/// One proposal that was applied, and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The request's id, by which the member that proposed it finds who waits; 0 for nobody.
    pub request: u64,
    /// The answer.
    pub answer: Result<Answer, EtcdError>,
}

/// What applying a batch of entries gives.
#[derive(Debug, Default)]
pub struct Output {
    /// The answers, in the order of the entries.
    pub outcomes: Vec<Outcome>,
    /// The changes of keys, by revision.
    pub events: Vec<RevisionEvents>,
    /// Entries that change the membership, in order, and whether the change was found valid.
    pub membership: Vec<(LogIndex, bool)>,
    /// Membership, the cluster's version or alarms changed.
    pub cluster_changed: bool,
    /// Users, roles, permissions, or whether they are asked for changed: readers need the new
    /// [`crate::Machine::auth`].
    pub auth_changed: bool,
    /// What became of simple tokens, in order. It counts from when the new state is before the
    /// readers.
    pub tokens: Vec<TokenChange>,
    /// The term of the newest leader whose first entry was among them.
    pub leader_entry: Option<Term>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_shown() {
        let token = "hsuEZDJyIutCAcuV.44".to_owned();
        let reply = AuthReply::Token(token.clone());
        let answer = Answer::Auth { header: None, reply };
        let issued = TokenChange::Issued { user: "ada".to_owned(), token };
        let shown = format!("{answer:?} {issued:?}");
        assert_eq!(shown, "Auth { header: None, reply: Token(..) } Issued { user: \"ada\", .. }");
    }
}
