//! Changes of the membership, in the bytes that etcd keeps them in.

use crate::error::{ConfChangeError, MembershipError};
use bytes::Bytes;
use drystone_types::{ConfState, MemberId};

/// Members that a configuration may name at most. A bound on what a message can cost, far
/// above what a quorum can serve.
pub const MEMBERS_MAX: usize = 1024;

/// What a [`ConfChange`] does. The numbers are those of etcd's raftpb `ConfChangeType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConfChangeKind {
    /// Add a voter, or promote a learner.
    #[default]
    AddNode = 0,
    /// Remove a member.
    RemoveNode = 1,
    /// Change a member's addresses: nothing changes for consensus.
    UpdateNode = 2,
    /// Add a learner.
    AddLearnerNode = 3,
}

impl ConfChangeKind {
    /// The kind with this raftpb number, if there is one.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::AddNode),
            1 => Some(Self::RemoveNode),
            2 => Some(Self::UpdateNode),
            3 => Some(Self::AddLearnerNode),
            _ => None,
        }
    }
}

/// One change of the membership: raftpb's `ConfChange`, which is what an entry of kind
/// [`EntryKind::ConfChange`](drystone_types::EntryKind::ConfChange) carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfChange {
    /// The request it belongs to.
    pub id: u64,
    /// What it does.
    pub kind: ConfChangeKind,
    /// To whom. Zero makes the change one that does nothing.
    pub member: MemberId,
    /// For the application; etcd puts the member's JSON here.
    pub context: Bytes,
}

/// raftpb's field keys: number and wire type.
const KEY_ID: u64 = 1 << 3;
const KEY_KIND: u64 = 2 << 3;
const KEY_MEMBER: u64 = 3 << 3;
const KEY_CONTEXT: u64 = (4 << 3) | 2;

impl ConfChange {
    /// The change that does nothing: what to apply for an entry whose change was refused.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The raftpb encoding. Fields of value zero are left out, as etcd 3.7 does it; every
    /// decoder reads them as zero.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(32 + self.context.len());
        for (key, value) in
            [(KEY_ID, self.id), (KEY_KIND, self.kind as u64), (KEY_MEMBER, self.member.0)]
        {
            if value != 0 {
                put_varint(&mut out, key);
                put_varint(&mut out, value);
            }
        }
        if !self.context.is_empty() {
            put_varint(&mut out, KEY_CONTEXT);
            put_varint(&mut out, self.context.len() as u64);
            out.extend_from_slice(&self.context);
        }
        out.into()
    }

    /// Reads the raftpb encoding. The context shares `data`'s memory. Unknown fields are
    /// skipped.
    ///
    /// # Errors
    /// The bytes are no such message, or of a kind that is not known.
    pub fn decode(data: &Bytes) -> Result<Self, ConfChangeError> {
        let mut change = Self::default();
        let mut at = 0;
        while at < data.len() {
            let field = at;
            let malformed = ConfChangeError::Malformed { at: field };
            let key = take_varint(data, &mut at).ok_or(malformed)?;
            match key & 7 {
                0 => {
                    let value = take_varint(data, &mut at).ok_or(malformed)?;
                    match key {
                        KEY_ID => change.id = value,
                        KEY_KIND => {
                            change.kind = ConfChangeKind::from_number(value)
                                .ok_or(ConfChangeError::UnknownKind(value))?;
                        }
                        KEY_MEMBER => change.member = MemberId(value),
                        _ => {}
                    }
                }
                1 => skip(data, &mut at, 8).ok_or(malformed)?,
                2 => {
                    let len = take_varint(data, &mut at).ok_or(malformed)?;
                    let start = at;
                    skip(data, &mut at, len).ok_or(malformed)?;
                    if key == KEY_CONTEXT {
                        change.context = data.slice(start..at);
                    }
                }
                5 => skip(data, &mut at, 4).ok_or(malformed)?,
                _ => return Err(malformed),
            }
        }
        Ok(change)
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn take_varint(data: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = *data.get(*at)?;
        *at += 1;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn skip(data: &[u8], at: &mut usize, len: u64) -> Option<()> {
    let end = at.checked_add(usize::try_from(len).ok()?)?;
    (end <= data.len()).then(|| *at = end)
}

/// Says whether `conf` can be a group's configuration. An empty one can: it is that of a
/// member which has not heard of its group yet.
pub(crate) fn check_membership(conf: &ConfState) -> Result<(), MembershipError> {
    let count = conf.voters.len() + conf.learners.len();
    if count > MEMBERS_MAX {
        return Err(MembershipError::TooMany { count, max: MEMBERS_MAX });
    }
    if conf.voters.is_empty() && count > 0 {
        return Err(MembershipError::NoVoter);
    }
    let mut all: Vec<_> = conf.voters.iter().chain(&conf.learners).copied().collect();
    all.sort_unstable();
    if all.first().is_some_and(|id| id.is_none()) {
        return Err(MembershipError::MemberZero);
    }
    match all.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(MembershipError::Repeated(pair[0])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
