//! Alarms that are set: replicated, stored, and deciding what may be written.

use drystone_api::etcdserverpb::{AlarmMember, AlarmType};
use drystone_backend::{BackendError, Batch, Read, Table};
use drystone_types::MemberId;
use prost::Message;
use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

/// The kind of an alarm that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// A member has no room for more data.
    NoSpace,
    /// A member's data differs from the others'.
    Corrupt,
}

impl Alarm {
    /// The kind with this number of etcd's `AlarmType`; `None` for NONE and unknown numbers.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        match AlarmType::try_from(number) {
            Ok(AlarmType::Nospace) => Some(Self::NoSpace),
            Ok(AlarmType::Corrupt) => Some(Self::Corrupt),
            Ok(AlarmType::None) | Err(_) => None,
        }
    }

    /// The number of etcd's `AlarmType`.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::NoSpace => AlarmType::Nospace as i32,
            Self::Corrupt => AlarmType::Corrupt as i32,
        }
    }

    /// etcd's name, as texts and paths carry it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSpace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
        }
    }
}

/// The set of alarms, by member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    set: BTreeSet<(MemberId, Alarm)>,
}

impl Alarms {
    /// Reads the alarms that a store holds.
    ///
    /// # Errors
    /// [`BackendError::Corrupt`] when a record cannot be read.
    pub fn load(store: &dyn Read) -> Result<Self, BackendError> {
        let mut alarms = Self::default();
        let mut broken = None;
        store.scan(Table::Alarm, (Bound::Unbounded, Bound::Unbounded), &mut |key, _| {
            let record = AlarmMember::decode(key).ok();
            match record
                .and_then(|record| Some((record.member_id, Alarm::from_number(record.alarm)?)))
            {
                Some((member, alarm)) => {
                    alarms.set.insert((MemberId(member), alarm));
                    ControlFlow::Continue(())
                }
                None => {
                    broken = Some(BackendError::Corrupt {
                        place: format!("table alarm, key {key:02x?}"),
                        reason: "not an alarm".to_owned(),
                    });
                    ControlFlow::Break(())
                }
            }
        })?;
        match broken {
            Some(error) => Err(error),
            None => Ok(alarms),
        }
    }

    /// True when any member has raised `alarm`.
    #[must_use]
    pub fn is_set(&self, alarm: Alarm) -> bool {
        self.set.iter().any(|(_, set)| *set == alarm)
    }

    /// True when `member` has raised `alarm`.
    #[must_use]
    pub fn is_set_by(&self, member: MemberId, alarm: Alarm) -> bool {
        self.set.contains(&(member, alarm))
    }

    /// The alarms of one kind, or all, by member.
    pub fn list(&self, kind: Option<Alarm>) -> impl Iterator<Item = (MemberId, Alarm)> + '_ {
        self.set.iter().copied().filter(move |(_, alarm)| kind.is_none_or(|kind| kind == *alarm))
    }

    /// Sets an alarm; setting it again changes nothing.
    pub fn activate(&mut self, member: MemberId, alarm: Alarm, out: &mut Batch) {
        if self.set.insert((member, alarm)) {
            out.put(Table::Alarm, record(member, alarm), Vec::new());
        }
    }

    /// Clears an alarm and says whether it was set. Only an exact match clears.
    pub fn deactivate(&mut self, member: MemberId, alarm: Alarm, out: &mut Batch) -> bool {
        let was_set = self.set.remove(&(member, alarm));
        if was_set {
            out.delete(Table::Alarm, record(member, alarm));
        }
        was_set
    }
}

fn record(member: MemberId, alarm: Alarm) -> Vec<u8> {
    AlarmMember { member_id: member.0, alarm: alarm.number() }.encode_to_vec()
}
