//! What is on the simulated disk, what is on its way there, and what a crash makes of it.

use super::{CrashMode, Op};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    pub(super) fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset..end].copy_from_slice(bytes);
            }
            Self::Length(len) => to.resize(*len, 0),
        }
    }
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
    /// What the process sees.
    pub(super) visible: Vec<u8>,
    /// What leads from one to the other, in order. After a failed sync it does not any more.
    pub(super) pending: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) random: u64,
    pub(super) files: BTreeMap<u64, SimFile>,
    pub(super) next_file: u64,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) durable_names: BTreeMap<PathBuf, u64>,
    pub(super) pending_names: Vec<NameChange>,
    pub(super) locks: BTreeSet<PathBuf>,
    /// Raised by a crash: handles of before are dead.
    pub(super) epoch: u64,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) done: BTreeMap<Op, u64>,
    /// Operations of a kind to go before one fails.
    pub(super) faults: Vec<(Op, u64)>,
}

impl State {
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

    pub(super) fn choose(&mut self, mode: CrashMode) -> CrashMode {
        match mode {
            CrashMode::Any => match self.below(4) {
                0 => CrashMode::Keep,
                1 => CrashMode::Lose,
                2 => CrashMode::Prefix,
                _ => CrashMode::Scatter,
            },
            other => other,
        }
    }

    /// Brings some of a file's pending changes to its durable image and forgets the rest.
    pub(super) fn settle(&mut self, file: &mut SimFile, mode: CrashMode) {
        let pending = std::mem::take(&mut file.pending);
        if mode == CrashMode::Keep {
            // Every successful sync comes here, so it does no more than it must.
            pending.iter().for_each(|change| change.apply(&mut file.durable));
            return;
        }
        let all = pending.len();
        let whole = match mode {
            CrashMode::Lose => 0,
            _ => self.below(all + 1),
        };
        // For each sector: how many of the changes reached it.
        let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
        for (n, change) in pending.iter().enumerate() {
            let Change::Write { offset, bytes } = change else { continue };
            let sectors = offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR);
            match mode {
                CrashMode::Scatter => {
                    for sector in sectors {
                        reached.entry(sector).or_insert_with(|| self.below(all + 1));
                    }
                }
                CrashMode::Prefix if n == whole => {
                    let kept = self.below(sectors.len() + 1);
                    reached.extend(sectors.take(kept).map(|sector| (sector, whole + 1)));
                }
                _ => {}
            }
        }
        let length = if mode == CrashMode::Scatter { self.below(all + 1) } else { whole };
        for (n, change) in pending.iter().enumerate() {
            match change {
                Change::Length(_) if n < length => change.apply(&mut file.durable),
                Change::Length(_) => {}
                Change::Write { offset, bytes } => {
                    for (at, piece) in sector_pieces(*offset, bytes) {
                        if n < reached.get(&(at / SECTOR)).copied().unwrap_or(whole) {
                            let piece = Change::Write { offset: at, bytes: piece.to_vec() };
                            piece.apply(&mut file.durable);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn used(&self) -> u64 {
        let named = self.names.values().filter_map(|id| self.files.get(id));
        named.map(|file| file.visible.len() as u64).sum()
    }

    pub(super) fn new_file(&mut self) -> u64 {
        self.next_file += 1;
        self.files.insert(self.next_file, SimFile::default());
        self.next_file
    }

    /// Counts an operation and says whether it fails.
    pub(super) fn fails(&mut self, op: Op) -> bool {
        *self.done.entry(op).or_default() += 1;
        let change = op != Op::Read;
        if change {
            *self.done.entry(Op::AnyChange).or_default() += 1;
        }
        let mut failed = false;
        self.faults.retain_mut(|(which, left)| {
            if *which == op || (*which == Op::AnyChange && change) {
                *left = left.saturating_sub(1);
                failed |= *left == 0;
            }
            *left > 0
        });
        failed
    }

    pub(super) fn enter(&mut self, op: Op) -> io::Result<()> {
        if self.fails(op) { Err(io::Error::other("a simulated disk error")) } else { Ok(()) }
    }

    pub(super) fn alive(&self, epoch: u64) -> io::Result<()> {
        if self.epoch == epoch {
            Ok(())
        } else {
            Err(io::Error::other("the process that opened this is gone"))
        }
    }

    pub(super) fn file(&mut self, id: u64) -> &mut SimFile {
        self.files.entry(id).or_default()
    }

    pub(super) fn change(&mut self, id: u64, change: Change) {
        let file = self.file(id);
        change.apply(&mut file.visible);
        file.pending.push(change);
    }

    pub(super) fn room(&self, more: usize) -> bool {
        self.capacity_bytes.is_none_or(|bound| self.used() + more as u64 <= bound)
    }
}

/// Cuts a write where sectors end.
pub(super) fn sector_pieces(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = offset + at;
        let len = (SECTOR - from % SECTOR).min(bytes.len() - at);
        let piece = &bytes[at..at + len];
        at += len;
        (len > 0).then_some((from, piece))
    })
}
