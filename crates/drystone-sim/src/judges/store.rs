//! Every member's store beside a naive model that applied the same entries.

use super::super::world::response;
use crate::clock::Micros;
use crate::host::Process;
use crate::judges::members::Roll;
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::InternalRaftRequest;
use drystone_judge::{Committed, Model, Response, Verdict};
use drystone_machine::{Answer, Auth, Outcome};
use drystone_mvcc::RangeQuery;
use drystone_types::{Applied, Entry, EntryKind, KeyRange, LogIndex};
use prost::Message as _;
use std::collections::BTreeMap;
use std::time::Duration;

const JUDGE: &str = "store";
/// Entries between two models that are kept to start from.
const KEPT_EVERY: u64 = 64;
/// Batches between two comparisons of everything; between them what a batch touched is compared.
const WHOLE_EVERY: u64 = 16;

/// What was committed, as it was first seen.
#[derive(Debug)]
struct Seen {
    entry: Entry,
    command: Option<InternalRaftRequest>,
}

/// The judge.
#[derive(Debug)]
pub(crate) struct Stores {
    pub(crate) verdict: Verdict,
    /// Entries from the first on.
    log: Vec<Seen>,
    /// Models as of an index, to start from.
    kept: BTreeMap<u64, Model>,
    /// Each member's model, with the index that it stands at.
    members: Vec<(u64, Model)>,
    batches: u64,
}

impl Stores {
    pub(crate) fn new(ttl_seconds_min: i64) -> Self {
        let empty = Model::new(ttl_seconds_min);
        Self {
            verdict: Verdict::default(),
            log: Vec::new(),
            kept: BTreeMap::from([(0, empty)]),
            members: Vec::new(),
            batches: 0,
        }
    }

    /// There is a machine more, with an empty store.
    pub(crate) fn joined(&mut self) {
        let empty = self.kept[&0].clone();
        self.members.push((0, empty));
    }

    fn blame(&mut self, rule: &'static str, text: std::fmt::Arguments<'_>) {
        self.verdict.add(JUDGE, rule, text);
    }

    /// A member applied entries and gave these answers.
    pub(crate) fn applied(
        &mut self,
        now: Micros,
        m: usize,
        entries: &[Entry],
        outcomes: &[Outcome],
        (process, roll): (&Process, &Roll),
        log: &mut Vec<Committed>,
    ) {
        let mut outcomes = outcomes.iter();
        let mut touched: Vec<Bytes> = Vec::new();
        for entry in entries {
            self.note(now, m, entry, log);
            let (at, model) = &mut self.members[m];
            if entry.index.0 <= *at {
                continue;
            }
            if entry.index.0 != *at + 1 {
                let at = *at;
                return self.blame(
                    "entries are applied in order",
                    format_args!("at {now} us m{m} applies {} after {at}", entry.index),
                );
            }
            *at = entry.index.0;
            let seen = &self.log[usize::try_from(entry.index.0 - 1).unwrap_or(usize::MAX)];
            let Some(command) = &seen.command else {
                if entry.kind != EntryKind::Normal {
                    self.change(now, m, entry.index, outcomes.next(), roll);
                }
                continue;
            };
            let expected = model.apply(command);
            touched.extend(
                model.last_events().iter().filter_map(|e| e.kv.as_ref().map(|kv| kv.key.clone())),
            );
            let Some(outcome) = outcomes.next() else {
                return self.blame(
                    "every command is answered",
                    format_args!("at {now} us m{m} says nothing of entry {}", entry.index),
                );
            };
            if let Some(found) = differs(&expected, &outcome.answer) {
                let text = format!(
                    "at {now} us m{m} entry {}: {command:?} gave {found}, the model {expected:?}",
                    entry.index
                );
                self.blame("answers are the model's", format_args!("{text}"));
            }
        }
        self.keep(m);
        self.members_known(now, m, process, roll);
        self.batches += 1;
        if self.batches.is_multiple_of(WHOLE_EVERY) {
            self.compare(now, m, process);
        } else {
            self.compare_keys(now, m, process, &touched);
        }
    }

    /// A change of membership was applied, with this answer.
    fn change(
        &mut self,
        now: Micros,
        m: usize,
        index: LogIndex,
        outcome: Option<&Outcome>,
        roll: &Roll,
    ) {
        let expected = roll.answer(index.0);
        let found = outcome.map(|outcome| outcome.answer.as_ref().err().copied());
        if found != Some(expected) {
            self.blame(
                "changes of membership are answered as the log says",
                format_args!("at {now} us m{m} at {index}: {found:?}, not {expected:?}"),
            );
        }
    }

    /// A member knows who belongs to the cluster, as of what it applied.
    fn members_known(&mut self, now: Micros, m: usize, process: &Process, roll: &Roll) {
        let machine = process.applier.machine();
        let index = machine.applied().index;
        if let Some(text) = roll.at(index.0).differs(machine.membership()) {
            self.blame(
                "members are those of the log",
                format_args!("at {now} us m{m} at {index}: {text}"),
            );
        }
    }

    /// Notes an entry that is seen for the first time, or holds it against the first sight.
    fn note(&mut self, now: Micros, m: usize, entry: &Entry, log: &mut Vec<Committed>) {
        let place = usize::try_from(entry.index.0).unwrap_or(usize::MAX) - 1;
        if let Some(seen) = self.log.get(place) {
            if seen.entry != *entry {
                let text = format!("at {now} us m{m} applies {entry:?}, not {:?}", seen.entry);
                self.blame("members apply the same", format_args!("{text}"));
            }
            return;
        }
        if place != self.log.len() {
            let text = format!("at {now} us m{m} applies {} before what precedes it", entry.index);
            return self.blame("entries are applied in order", format_args!("{text}"));
        }
        let is_command = entry.kind == EntryKind::Normal && !entry.data.is_empty();
        let command =
            is_command.then(|| InternalRaftRequest::decode(entry.data.clone()).ok()).flatten();
        log.push(Committed {
            index: entry.index,
            term: entry.term,
            command: command.clone(),
            applied_at: Some(Duration::from_micros(now)),
        });
        self.log.push(Seen { entry: entry.clone(), command });
    }

    fn keep(&mut self, m: usize) {
        let (at, model) = &self.members[m];
        let newest = self.kept.last_key_value().map_or(0, |(index, _)| *index);
        if *at >= newest + KEPT_EVERY {
            self.kept.insert(*at, model.clone());
        }
    }

    /// The model as of an index.
    fn at(&self, index: u64) -> Option<Model> {
        let (from, model) = self.kept.range(..=index).next_back()?;
        let mut model = model.clone();
        for place in *from..index {
            let seen = self.log.get(usize::try_from(place).ok()?)?;
            if let Some(command) = &seen.command {
                // A refusal changes nothing.
                let _ = model.apply(command);
            }
        }
        Some(model)
    }

    /// A member's store stands somewhere else now: it started, or took over a snapshot.
    fn stands(
        &mut self,
        now: Micros,
        m: usize,
        (process, roll): (Option<&Process>, &Roll),
        rule: &'static str,
    ) {
        let Some(process) = process else { return };
        self.members_known(now, m, process, roll);
        let index = process.applied_index().0;
        match self.at(index) {
            Some(model) => {
                self.members[m] = (index, model);
                self.compare(now, m, process);
            }
            None => self.blame(rule, format_args!("at {now} us m{m} stands at {index}")),
        }
    }

    pub(crate) fn started(&mut self, now: Micros, m: usize, process: (Option<&Process>, &Roll)) {
        self.stands(now, m, process, "a store holds only what was committed");
    }

    pub(crate) fn installed(
        &mut self,
        now: Micros,
        m: usize,
        process: (Option<&Process>, &Roll),
        applied: Applied,
    ) {
        if applied.index.0 < self.members[m].0 {
            let at = self.members[m].0;
            self.blame(
                "a snapshot never goes back",
                format_args!("at {now} us m{m} from {at} to {}", applied.index),
            );
        }
        self.stands(now, m, process, "a snapshot holds only what was committed");
    }

    /// A member died; its store kept everything up to `durable`, and said that `flushed` is.
    pub(crate) fn crashed(&mut self, now: Micros, m: usize, durable: LogIndex, flushed: LogIndex) {
        if durable < flushed {
            self.blame(
                "what was flushed is there after a crash",
                format_args!("at {now} us m{m} keeps {durable}, flushed was {flushed}"),
            );
        }
    }

    fn compare(&mut self, now: Micros, m: usize, process: &Process) {
        let snapshot = process.applier.machine().reader().snapshot();
        let (at, model) = &self.members[m];
        let everything = Bytes::from_static(b"\0");
        let query = RangeQuery::new(KeyRange::from_fields(everything.clone(), everything));
        let pairs: Vec<Bytes> = match snapshot.range(&query) {
            Ok(found) => found.kvs,
            Err(error) => {
                let text = format!("at {now} us m{m} at entry {at}: {error}");
                return self.blame("everything can be read", format_args!("{text}"));
            }
        };
        let expected: Vec<Bytes> = model.pairs().map(|kv| kv.encode_to_vec().into()).collect();
        let alarms: Vec<_> = model.alarms().collect();
        let set: Vec<_> = process
            .applier
            .machine()
            .alarms()
            .list(None)
            .map(|(member, alarm)| (member.0, alarm.number()))
            .collect();
        let rights = rights_differ(process.applier.machine().auth(), model.auth());
        let place = (model.revision(), model.compacted());
        let leases: Vec<i64> = model.leases().map(|(id, _)| id).collect();
        let found: Vec<i64> = process.applier.machine().leases().iter().map(|id| id.0).collect();
        let stands = (snapshot.revision(), snapshot.compacted());
        let at = *at;
        let mut sorted = found.clone();
        sorted.sort_unstable();
        if stands != place {
            self.blame(
                "revision and compaction are the model's",
                format_args!("at {now} us m{m} at entry {at}: {stands:?}, not {place:?}"),
            );
        }
        if pairs != expected {
            let text = format!("at {now} us m{m} at entry {at}: {pairs:?}, not {expected:?}");
            self.blame("pairs are the model's", format_args!("{text}"));
        }
        if set != alarms {
            self.blame(
                "alarms are the model's",
                format_args!("at {now} us m{m} at entry {at}: {set:?}, not {alarms:?}"),
            );
        }
        if let Some(text) = rights {
            self.blame(
                "users, roles and permissions are the model's",
                format_args!("at {now} us m{m} at entry {at}: {text}"),
            );
        }
        if sorted != leases {
            self.blame(
                "leases are the model's",
                format_args!("at {now} us m{m} at entry {at}: {sorted:?}, not {leases:?}"),
            );
        }
    }

    fn compare_keys(&mut self, now: Micros, m: usize, process: &Process, keys: &[Bytes]) {
        let snapshot = process.applier.machine().reader().snapshot();
        for key in keys {
            let (at, model) = &self.members[m];
            let query = RangeQuery::new(KeyRange::from_fields(key.clone(), Bytes::new()));
            let found = snapshot.range(&query).ok().and_then(|found| found.kvs.first().cloned());
            let expected =
                model.pairs().find(|kv| kv.key == *key).map(|kv| Bytes::from(kv.encode_to_vec()));
            if found != expected {
                let text = format!("at {now} us m{m} at entry {at}: {found:?}, not {expected:?}");
                return self.blame("pairs are the model's", format_args!("{text}"));
            }
        }
    }
}

/// What a member answered, in words, where it is not what the model answered.
fn differs(
    expected: &Result<Option<Response>, EtcdError>,
    found: &Result<Answer, EtcdError>,
) -> Option<String> {
    match (expected, found) {
        (Err(expected), Err(found)) if expected == found => None,
        // What no client asks for has no answer to compare.
        (Ok(None), Ok(_)) => None,
        (Ok(Some(expected)), Ok(found)) => {
            let found = response(found.clone());
            (found.as_ref() != Some(expected)).then(|| format!("{found:?}"))
        }
        (_, found) => Some(format!("{found:?}")),
    }
}

/// How what a machine knows of users and roles differs from the model's.
fn rights_differ(found: &Auth, model: &drystone_judge::Auth) -> Option<String> {
    let mut shown = drystone_judge::Auth {
        enabled: found.is_enabled(),
        revision: found.revision(),
        ..Default::default()
    };
    for name in found.users() {
        let roles = found.user(name).into_iter().flat_map(|user| user.roles().to_vec());
        shown.users.insert(name.to_owned(), roles.collect());
    }
    for name in found.roles() {
        let held = found.role(name).into_iter().flat_map(|role| role.permissions().to_vec());
        let held = held.map(|held| ((held.key, held.range_end), held.kind.number()));
        shown.roles.insert(name.to_owned(), held.collect());
    }
    (shown != *model).then(|| format!("{shown:?}, not {model:?}"))
}
