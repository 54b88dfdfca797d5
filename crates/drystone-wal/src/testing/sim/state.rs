//! What is on the simulated disk, what is on its way there, and which faults are ordered.

use super::{Injected, Misread, Op};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    pub(super) fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(to, *offset, bytes),
            Self::Length(len) => to.resize(*len, 0),
        }
    }
}

/// Writes into an image, which grows if it must.
pub(super) fn put(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[offset..end].copy_from_slice(bytes);
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link { path: PathBuf, file: u64 },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, file: u64 },
}

impl NameChange {
    pub(super) fn dir(&self) -> Option<&Path> {
        match self {
            Self::Link { path, .. } | Self::Unlink { path } => path.parent(),
            Self::Rename { to, .. } => to.parent(),
        }
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link { path, file } => {
                names.insert(path.clone(), *file);
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
            Self::Rename { from, to, file } => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct SimFile {
    /// What a crash cannot take.
    pub(super) durable: Vec<u8>,
    /// Each sector as it was durably before it was synced the last time; zeros behind the end.
    pub(super) older: Vec<u8>,
    /// What the process sees.
    pub(super) visible: Vec<u8>,
    /// What leads from `durable` to `visible`, in order.
    pub(super) pending: Vec<Change>,
    /// After a failed sync: it does not any more.
    pub(super) split: bool,
}

impl SimFile {
    /// True when a crash could change it.
    pub(super) fn is_dirty(&self) -> bool {
        self.split || !self.pending.is_empty()
    }

    /// Forgets what is cached and clean. Free unless a sync has failed.
    pub(super) fn drop_cached(&mut self) {
        if self.split {
            self.visible.clone_from(&self.durable);
            self.pending.iter().for_each(|change| change.apply(&mut self.visible));
            self.split = false;
        }
    }
}

/// What an ordered fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Fail,
    Misread(Misread),
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) random: u64,
    /// Bytes that are written as a whole or not at all.
    pub(super) sector: usize,
    /// Shared with forks until one side changes them.
    pub(super) files: BTreeMap<u64, Arc<SimFile>>,
    next_file: u64,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) durable_names: BTreeMap<PathBuf, u64>,
    pub(super) pending_names: Vec<NameChange>,
    pub(super) locks: BTreeSet<PathBuf>,
    /// Raised by a crash: handles of before are dead.
    pub(super) epoch: u64,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) done: BTreeMap<Op, u64>,
    pub(super) injected: BTreeMap<Injected, u64>,
    /// Operations of a kind to go before something happens to one.
    pub(super) faults: Vec<(Op, u64, Effect)>,
}

impl State {
    pub(super) fn new(seed: u64, sector: usize) -> Self {
        Self {
            random: seed,
            sector,
            files: BTreeMap::new(),
            next_file: 0,
            dirs: BTreeSet::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            locks: BTreeSet::new(),
            epoch: 0,
            capacity_bytes: None,
            done: BTreeMap::new(),
            injected: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// The next number of splitmix64.
    pub(super) fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.random;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    pub(super) fn used(&self) -> u64 {
        let named = self.names.values().filter_map(|id| self.files.get(id));
        named.map(|file| file.visible.len() as u64).sum()
    }

    pub(super) fn new_file(&mut self) -> u64 {
        self.next_file += 1;
        self.files.insert(self.next_file, Arc::default());
        self.next_file
    }

    pub(super) fn note(&mut self, injected: Injected) {
        *self.injected.entry(injected).or_default() += 1;
    }

    /// What was open or locked is dead, and no fault waits any more.
    pub(super) fn end_process(&mut self) {
        self.epoch += 1;
        self.locks.clear();
        self.faults.clear();
    }

    /// Counts an operation, fails it if that was ordered, and says how else it goes wrong.
    pub(super) fn enter(&mut self, op: Op) -> io::Result<Vec<Misread>> {
        *self.done.entry(op).or_default() += 1;
        let change = op != Op::Read;
        if change {
            *self.done.entry(Op::AnyChange).or_default() += 1;
        }
        let (mut failed, mut misreads) = (false, Vec::new());
        self.faults.retain_mut(|(which, left, effect)| {
            if *which == op || (*which == Op::AnyChange && change) {
                *left = left.saturating_sub(1);
                match effect {
                    Effect::Fail => failed |= *left == 0,
                    Effect::Misread(misread) if *left == 0 => misreads.push(*misread),
                    Effect::Misread(_) => {}
                }
            }
            *left > 0
        });
        if !failed {
            return Ok(misreads);
        }
        self.note(Injected::Failed(op));
        Err(io::Error::other("a simulated disk error"))
    }

    pub(super) fn alive(&self, epoch: u64) -> io::Result<()> {
        if self.epoch == epoch {
            Ok(())
        } else {
            Err(io::Error::other("the process that opened this is gone"))
        }
    }

    /// A file that has a name or an open handle, which all have that are asked for.
    pub(super) fn file(&self, id: u64) -> &SimFile {
        &self.files[&id]
    }

    pub(super) fn file_mut(&mut self, id: u64) -> &mut SimFile {
        Arc::make_mut(self.files.entry(id).or_default())
    }

    pub(super) fn change(&mut self, id: u64, change: Change) {
        let file = self.file_mut(id);
        change.apply(&mut file.visible);
        file.pending.push(change);
    }

    pub(super) fn room(&self, more: usize) -> bool {
        self.capacity_bytes.is_none_or(|bound| self.used() + more as u64 <= bound)
    }

    /// Fails when `more` bytes do not fit.
    pub(super) fn take_room(&mut self, more: usize) -> io::Result<()> {
        if self.room(more) {
            return Ok(());
        }
        self.note(Injected::Full);
        Err(ErrorKind::StorageFull.into())
    }
}

/// Cuts a range of bytes where sectors of `sector` bytes end.
pub(super) fn sectors(sector: usize, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let from = at;
        at = range.end.min((from / sector + 1) * sector);
        (from < range.end).then_some(from..at)
    })
}
