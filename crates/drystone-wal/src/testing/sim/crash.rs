//! What becomes of what was not synced, when the power goes and when a sync ends.

use super::state::{Change, SimFile, State, put, sectors};
use super::{CrashMode, Injected};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl State {
    pub(super) fn crash(&mut self, mode: CrashMode) {
        self.end_process();
        let mode = self.choose(mode);
        self.note(Injected::Crash(mode));
        self.crash_names(mode);
        let mut files = std::mem::take(&mut self.files);
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        files.retain(|id, _| named.contains(id));
        for file in files.values_mut().filter(|file| file.is_dirty()) {
            self.crash_file(Arc::make_mut(file), mode);
        }
        self.files = files;
    }

    fn choose(&mut self, mode: CrashMode) -> CrashMode {
        match mode {
            CrashMode::Any => match self.below(5) {
                0 => CrashMode::Keep,
                1 => CrashMode::Lose,
                2 => CrashMode::Prefix,
                3 => CrashMode::Zeros,
                _ => CrashMode::Scatter,
            },
            other => other,
        }
    }

    fn crash_names(&mut self, mode: CrashMode) {
        let pending = std::mem::take(&mut self.pending_names);
        let keep = match mode {
            CrashMode::Keep => pending.len(),
            CrashMode::Prefix | CrashMode::Zeros => self.below(pending.len() + 1),
            _ => 0,
        };
        for (n, change) in pending.iter().enumerate() {
            if n < keep || (mode == CrashMode::Scatter && self.below(2) == 1) {
                change.apply(&mut self.durable_names);
            } else {
                self.note(Injected::LostName);
            }
        }
        self.names.clone_from(&self.durable_names);
    }

    fn crash_file(&mut self, file: &mut SimFile, mode: CrashMode) {
        // What was written may be another thing now; all else already is what is durable.
        let mut written = Vec::new();
        let mut same = !file.split;
        for change in &file.pending {
            match change {
                Change::Write { offset, bytes } => written.push(*offset..offset + bytes.len()),
                Change::Length(_) => same = false,
            }
        }
        let seen = file.visible.len();
        self.settle(file, mode);
        if mode == CrashMode::Zeros && file.durable.len() < seen {
            file.durable.resize(seen, 0);
            self.note(Injected::ZeroedTail);
        }
        file.split = false;
        if !same {
            file.visible.clone_from(&file.durable);
            return;
        }
        file.visible.resize(file.durable.len(), 0);
        for range in written {
            let range = range.start.min(file.durable.len())..range.end.min(file.durable.len());
            file.visible[range.clone()].copy_from_slice(&file.durable[range]);
        }
    }

    /// Brings some of a file's pending changes to its durable image and forgets the rest.
    pub(super) fn settle(&mut self, file: &mut SimFile, mode: CrashMode) {
        let pending = std::mem::take(&mut file.pending);
        if mode == CrashMode::Keep {
            // Every successful sync comes here, so it does no more than it must.
            self.keep_older(file, &pending);
            pending.iter().for_each(|change| change.apply(&mut file.durable));
            return;
        }
        let all = pending.len();
        let whole = match mode {
            CrashMode::Lose => 0,
            _ => self.below(all + 1),
        };
        let reached = self.reached(&pending, mode, whole);
        let length = if mode == CrashMode::Scatter { self.below(all + 1) } else { whole };
        for (n, change) in pending.iter().enumerate() {
            match change {
                Change::Length(_) if n < length => change.apply(&mut file.durable),
                Change::Length(_) => {}
                Change::Write { offset, bytes } => {
                    let (mut kept, mut lost) = (false, false);
                    for piece in sectors(self.sector, *offset..offset + bytes.len()) {
                        let sector = piece.start / self.sector;
                        if n < reached.get(&sector).copied().unwrap_or(whole) {
                            let from = piece.start - offset;
                            put(&mut file.durable, piece.start, &bytes[from..piece.end - offset]);
                            kept = true;
                        } else {
                            lost = true;
                        }
                    }
                    match (kept, lost) {
                        (true, true) => self.note(Injected::TornWrite),
                        (false, true) => self.note(Injected::LostWrite),
                        (_, false) => {}
                    }
                }
            }
        }
    }

    /// For sectors that differ from the first `whole` changes: how many changes reached them.
    fn reached(
        &mut self,
        pending: &[Change],
        mode: CrashMode,
        whole: usize,
    ) -> BTreeMap<usize, usize> {
        let mut reached = BTreeMap::new();
        for (n, change) in pending.iter().enumerate() {
            let Change::Write { offset, bytes } = change else { continue };
            let sectors = offset / self.sector..(offset + bytes.len()).div_ceil(self.sector);
            match mode {
                CrashMode::Scatter => {
                    for sector in sectors {
                        let all = pending.len();
                        reached.entry(sector).or_insert_with(|| self.below(all + 1));
                    }
                }
                CrashMode::Prefix | CrashMode::Zeros if n == whole => {
                    let kept = self.below(sectors.len() + 1);
                    reached.extend(sectors.take(kept).map(|sector| (sector, whole + 1)));
                }
                _ => {}
            }
        }
        reached
    }

    /// Remembers what is about to be overwritten, whole sectors of it.
    fn keep_older(&self, file: &mut SimFile, pending: &[Change]) {
        for change in pending {
            let Change::Write { offset, bytes } = change else { continue };
            let from = offset / self.sector * self.sector;
            let to = (offset + bytes.len()).next_multiple_of(self.sector).min(file.durable.len());
            if from < to {
                put(&mut file.older, from, &file.durable[from..to]);
            }
        }
    }
}
