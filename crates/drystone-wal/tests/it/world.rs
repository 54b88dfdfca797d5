//! A log on a simulated disk beside a naive twin that says what the log may hold.

use bytes::Bytes;
use drystone_types::{ClusterId, Entry, EntryKind, HardState, LogIndex, MemberId, Term};
use drystone_wal::testing::{CrashMode, Sector, SimDisk};
use drystone_wal::{Config, Disk as _, Error, Identity, Marker, Recovered, SnapshotMark, Wal};
use std::path::Path;
use std::sync::Arc;

pub(crate) const DIR: &str = "/log";

pub(crate) fn identity() -> Identity {
    Identity { cluster: ClusterId(0xc1), member: MemberId(0x3e) }
}

pub(crate) fn small(segment_bytes: u32) -> Config {
    Config {
        segment_bytes,
        recycle_segments_max: 2,
        buffer_bytes_max: 1 << 20,
        checksum_seed: 0x5eed,
        ..Config::default()
    }
}

pub(crate) fn create(disk: &SimDisk, config: &Config) -> Result<Wal, Error> {
    Wal::create(Arc::new(disk.clone()), Path::new(DIR), config.clone(), identity())
}

pub(crate) fn open(disk: &SimDisk, config: &Config) -> Result<(Wal, Recovered), Error> {
    open_from(disk, config, 0)
}

pub(crate) fn open_from(
    disk: &SimDisk,
    config: &Config,
    from: u64,
) -> Result<(Wal, Recovered), Error> {
    let disk = Arc::new(disk.clone());
    Wal::open(disk, Path::new(DIR), config.clone(), identity(), LogIndex(from))
}

pub(crate) fn entry(index: u64, term: u64, data: impl Into<Bytes>) -> Entry {
    Entry {
        term: Term(term),
        index: LogIndex(index),
        kind: EntryKind::from_number(u8::try_from(index % 3).unwrap()).unwrap(),
        data: data.into(),
    }
}

pub(crate) fn mark(index: u64, term: u64) -> Marker {
    Marker { index: LogIndex(index), term: Term(term) }
}

/// One record as the twin sees it.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Entry(Entry),
    State(HardState),
    Compact(Marker),
    Snapshot(SnapshotMark),
}

/// What a log holds, kept the plain way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) hard_state: HardState,
    pub(crate) start: Marker,
    pub(crate) conf: Bytes,
    pub(crate) entries: Vec<Entry>,
}

impl Model {
    pub(crate) fn last(&self) -> Marker {
        self.entries.last().map_or(self.start, |e| Marker { index: e.index, term: e.term })
    }

    fn term(&self, index: LogIndex) -> Option<Term> {
        if index == self.start.index {
            return Some(self.start.term);
        }
        self.entries.iter().find(|e| e.index == index).map(|e| e.term)
    }

    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Entry(entry) => {
                self.entries.retain(|e| e.index < entry.index);
                self.entries.push(entry.clone());
            }
            Record::State(state) => self.hard_state = *state,
            Record::Compact(mark) => {
                self.entries.retain(|e| e.index > mark.index);
                self.start = *mark;
            }
            Record::Snapshot(snapshot) => {
                if self.term(snapshot.at.index) == Some(snapshot.at.term) {
                    self.entries.retain(|e| e.index > snapshot.at.index);
                } else {
                    self.entries.clear();
                }
                self.start = snapshot.at;
                self.conf = snapshot.conf.clone();
            }
        }
    }

    pub(crate) fn found(recovered: &Recovered) -> Self {
        Self {
            hard_state: recovered.hard_state,
            start: recovered.start,
            conf: recovered.conf.clone(),
            entries: recovered.entries.clone(),
        }
    }
}

/// Says what an opening may find: what was synced, and a prefix of what came after.
#[derive(Clone, Debug, Default)]
pub(crate) struct Twin {
    pub(crate) durable: Model,
    pub(crate) pending: Vec<Record>,
}

impl Twin {
    /// The state with everything that was appended.
    pub(crate) fn now(&self) -> Model {
        let mut model = self.durable.clone();
        self.pending.iter().for_each(|record| model.apply(record));
        model
    }

    pub(crate) fn synced(&mut self) {
        self.durable = self.now();
        self.pending.clear();
    }

    pub(crate) fn check(&self, recovered: &Recovered) -> Result<(), String> {
        let found = Model::found(recovered);
        let mut model = self.durable.clone();
        if model == found {
            return Ok(());
        }
        for record in &self.pending {
            model.apply(record);
            if model == found {
                return Ok(());
            }
        }
        Err(format!("found {found:#?}\nafter {:#?}\nand a prefix of {:#?}", self.durable, {
            &self.pending
        }))
    }
}

/// Disk, log and twin.
pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) config: Config,
    pub(crate) wal: Option<Wal>,
    pub(crate) twin: Twin,
    pub(crate) term: u64,
    /// Makes every payload different.
    pub(crate) counter: u64,
}

impl World {
    pub(crate) fn new(seed: u64, config: Config) -> Self {
        // Now and then one sector holds a whole small segment.
        let sector = if seed % 4 == 3 { Sector::Bytes4096 } else { Sector::Bytes512 };
        let disk = SimDisk::with_sector(seed, sector);
        let wal = Some(create(&disk, &config).unwrap());
        Self { disk, config, wal, twin: Twin::default(), term: 1, counter: 0 }
    }

    pub(crate) fn wal(&mut self) -> &mut Wal {
        self.wal.as_mut().expect("the log is open")
    }

    /// `count` entries of `bytes` each, replacing the last `back`, with a hard state if asked.
    pub(crate) fn append(
        &mut self,
        count: u64,
        back: u64,
        bytes: usize,
        vote: bool,
    ) -> Result<(), Error> {
        let now = self.twin.now();
        let back = back.min(now.entries.len() as u64);
        let first = now.last().index.0 + 1 - back;
        if back > 0 {
            self.term += 1;
        }
        let mut entries = Vec::new();
        for index in first..first + count {
            self.counter += 1;
            let mut data = format!("<{}>", self.counter).into_bytes();
            data.resize(bytes, b'.');
            entries.push(entry(index, self.term, data));
        }
        let state = HardState {
            term: Term(self.term),
            vote: MemberId(self.counter),
            commit: LogIndex(first - 1),
        };
        let state = vote.then_some(state);
        self.wal().append(&entries, state)?;
        self.twin.pending.extend(entries.into_iter().map(Record::Entry));
        self.twin.pending.extend(state.map(Record::State));
        Ok(())
    }

    /// Compacts the given quarter of the entries.
    pub(crate) fn compact(&mut self, quarters: usize) -> Result<(), Error> {
        let now = self.twin.now();
        let drop = now.entries.len() * quarters / 4;
        if drop == 0 {
            return Ok(());
        }
        let last = &now.entries[drop - 1];
        self.wal().compact(last.index)?;
        let at = Marker { index: last.index, term: last.term };
        self.twin.pending.push(Record::Compact(at));
        Ok(())
    }

    /// Marks a snapshot of this log's own, or one from elsewhere that lies `ahead`, or with
    /// `foreign` one from elsewhere that contradicts entries of this log.
    pub(crate) fn snapshot(
        &mut self,
        quarters: usize,
        ahead: Option<u64>,
        foreign: bool,
    ) -> Result<(), Error> {
        let now = self.twin.now();
        let at = match ahead {
            Some(ahead) => {
                self.term += 1;
                // One on the start mark itself would have to be of the mark's own term.
                let ahead = ahead.max(u64::from(now.entries.is_empty()));
                mark(now.last().index.0 + ahead, self.term)
            }
            None => match (now.entries.len() * quarters / 4).checked_sub(1) {
                Some(n) if foreign => {
                    self.term += 1;
                    mark(now.entries[n].index.0, self.term)
                }
                Some(n) => mark(now.entries[n].index.0, now.entries[n].term.0),
                None => now.start,
            },
        };
        self.counter += 1;
        let snapshot = SnapshotMark { at, conf: format!("conf {}", self.counter).into() };
        self.wal().mark_snapshot(&snapshot)?;
        self.twin.pending.push(Record::Snapshot(snapshot));
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let durable = self.wal().sync()?;
        self.twin.synced();
        assert_eq!(durable.last, self.twin.durable.last());
        assert_eq!(durable.hard_state, self.twin.durable.hard_state);
        Ok(())
    }

    /// Opens what the last crash or kill left and holds it against the twin.
    pub(crate) fn reopen(&mut self) -> Result<(), Error> {
        let (wal, recovered) = open(&self.disk, &self.config)?;
        self.twin.check(&recovered).unwrap_or_else(|wrong| panic!("{wrong}"));
        self.twin = Twin { durable: Model::found(&recovered), pending: Vec::new() };
        assert_eq!(recovered.last, self.twin.durable.last());
        assert_eq!(wal.last(), recovered.last);
        assert_eq!(wal.start(), recovered.start);
        let names = self.disk.list(Path::new(DIR)).unwrap();
        let count = |suffix| names.iter().filter(|name| name.ends_with(suffix)).count();
        assert_eq!(count(".wal"), wal.segments(), "nothing is left over");
        assert!(count(".free") <= self.config.recycle_segments_max);
        self.wal = Some(wal);
        Ok(())
    }

    pub(crate) fn crash(&mut self, mode: CrashMode) {
        self.wal = None;
        self.disk.crash(mode);
    }

    pub(crate) fn kill(&mut self) {
        self.wal = None;
        self.disk.kill();
    }
}
