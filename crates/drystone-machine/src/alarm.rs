//! Alarms that are set: replicated, stored, and deciding what may be written.

use drystone_api::etcdserverpb::{AlarmMember, AlarmType};
use drystone_backend::{BackendError, Batch, Read, Table};
use drystone_probe::planted;
use drystone_types::MemberId;
use prost::Message;
use std::collections::BTreeMap;
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

/// Who set an alarm. It decides who may clear it: what a member raised by itself it may clear by
/// itself, what an operator set waits for an operator, also when it stands for that very member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaisedBy {
    /// The member that the alarm stands for, by its own decision: a command of the log that
    /// nobody waits for.
    Itself,
    /// Whoever asked for it over the API.
    Operator,
}

impl RaisedBy {
    /// The value of the alarm's record. etcd's are empty, and it reads none.
    fn value(self) -> Vec<u8> {
        match self {
            Self::Itself => b"itself".to_vec(),
            Self::Operator => Vec::new(),
        }
    }

    fn from_value(value: &[u8]) -> Self {
        if value == b"itself" { Self::Itself } else { Self::Operator }
    }
}

/// The set of alarms, by member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    set: BTreeMap<(MemberId, Alarm), RaisedBy>,
}

impl Alarms {
    /// Reads the alarms that a store holds.
    ///
    /// # Errors
    /// [`BackendError::Corrupt`] when a record cannot be read.
    pub fn load(store: &dyn Read) -> Result<Self, BackendError> {
        let mut alarms = Self::default();
        let mut broken = None;
        store.scan(Table::Alarm, (Bound::Unbounded, Bound::Unbounded), &mut |key, value| {
            let record = AlarmMember::decode(key).ok();
            match record
                .and_then(|record| Some((record.member_id, Alarm::from_number(record.alarm)?)))
            {
                Some((member, alarm)) => {
                    let by = RaisedBy::from_value(value);
                    alarms.set.insert((MemberId(member), alarm), by);
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
        self.set.keys().any(|(_, set)| *set == alarm)
    }

    /// Who set `alarm` for `member`, if it is set.
    #[must_use]
    pub fn raised_by(&self, member: MemberId, alarm: Alarm) -> Option<RaisedBy> {
        self.set.get(&(member, alarm)).copied()
    }

    /// The alarms of one kind, or all, by member.
    pub fn list(&self, kind: Option<Alarm>) -> impl Iterator<Item = (MemberId, Alarm)> + '_ {
        self.set.keys().copied().filter(move |(_, alarm)| kind.is_none_or(|kind| kind == *alarm))
    }

    /// Sets an alarm. One that an operator sets, or has set, is the operator's.
    pub fn activate(&mut self, member: MemberId, alarm: Alarm, by: RaisedBy, out: &mut Batch) {
        let before = self.raised_by(member, alarm);
        if before.is_none() || (by == RaisedBy::Operator && before != Some(by)) {
            self.set.insert((member, alarm), by);
            if !planted!("machine.alarm_not_recorded") {
                out.put(Table::Alarm, record(member, alarm), by.value());
            }
        }
    }

    /// Clears an alarm and says whether it was set. Only an exact match clears, and by itself a
    /// member clears only what it raised by itself.
    pub fn deactivate(
        &mut self,
        member: MemberId,
        alarm: Alarm,
        by: RaisedBy,
        out: &mut Batch,
    ) -> bool {
        let clears = match self.raised_by(member, alarm) {
            None => false,
            Some(RaisedBy::Operator) => by == RaisedBy::Operator,
            Some(RaisedBy::Itself) => true,
        };
        if clears {
            self.set.remove(&(member, alarm));
            out.delete(Table::Alarm, record(member, alarm));
        }
        clears
    }
}

fn record(member: MemberId, alarm: Alarm) -> Vec<u8> {
    AlarmMember { member_id: member.0, alarm: alarm.number() }.encode_to_vec()
}
