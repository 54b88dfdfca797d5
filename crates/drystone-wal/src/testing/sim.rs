//! A disk that lives in memory and misbehaves from a seed.

mod state;

use crate::disk::{DirLock, Disk, DiskFile};
use state::{Change, NameChange, SimFile, State};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What a crash does to everything that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMode {
    /// All of it had reached the disk.
    Keep,
    /// None of it had.
    Lose,
    /// Of each file the first few writes had, and of the next one the first few sectors;
    /// likewise the first few changes of names.
    Prefix,
    /// Each sector stands as some write had left it, each by itself, so that later writes are
    /// there and earlier ones are not; each change of a name happened or did not.
    Scatter,
    /// One of the others.
    Any,
}

/// An operation that can be counted and made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// [`DiskFile::read_at`].
    Read,
    /// [`DiskFile::write_at`]; a failing one writes a part.
    Write,
    /// [`DiskFile::lay_out`] and [`DiskFile::truncate`].
    Resize,
    /// [`DiskFile::sync_data`]; a failing one loses what it was to sync.
    SyncData,
    /// [`Disk::create`].
    Create,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::remove`].
    Remove,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// Any of them but [`Op::Read`].
    AnyChange,
}

/// A simulated disk. Clones are the same disk.
///
/// The same calls after the same seed give the same results. Directories themselves are
/// durable at once; names in them, and bytes, are not.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: seed,
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
            faults: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Another disk that is as this one is now, with its own `seed`. What is open or locked on
    /// this one is neither there.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let mut state = self.state().clone();
        state.random = seed;
        let fork = Self { state: Arc::new(Mutex::new(state)) };
        fork.kill();
        fork
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Cuts the power: what was not synced goes as `mode` says, open files and locks are dead,
    /// faults that were ordered are forgotten.
    pub fn crash(&self, mode: CrashMode) {
        let mut state = self.state();
        state.epoch += 1;
        state.locks.clear();
        state.faults.clear();
        let mode = state.choose(mode);
        let pending = std::mem::take(&mut state.pending_names);
        let keep = match mode {
            CrashMode::Keep => pending.len(),
            CrashMode::Prefix => state.below(pending.len() + 1),
            _ => 0,
        };
        let mut names = std::mem::take(&mut state.durable_names);
        for (n, change) in pending.iter().enumerate() {
            if n < keep || (mode == CrashMode::Scatter && state.below(2) == 1) {
                change.apply(&mut names);
            }
        }
        let mut files = std::mem::take(&mut state.files);
        let named: BTreeSet<u64> = names.values().copied().collect();
        files.retain(|id, _| named.contains(id));
        for file in files.values_mut() {
            state.settle(file, mode);
            file.visible.clone_from(&file.durable);
        }
        state.names.clone_from(&names);
        state.durable_names = names;
        state.files = files;
    }

    /// Ends the process without cutting the power: open files and locks are dead, nothing is
    /// lost.
    pub fn kill(&self) {
        let mut state = self.state();
        state.epoch += 1;
        state.locks.clear();
        state.faults.clear();
    }

    /// Forgets cached pages that are clean. What a failed sync marked clean reads from now on
    /// as the disk has it.
    pub fn drop_caches(&self) {
        for file in self.state().files.values_mut() {
            let mut bytes = file.durable.clone();
            file.pending.iter().for_each(|change| change.apply(&mut bytes));
            file.visible = bytes;
        }
    }

    /// Lets the `n`-th operation of a kind from now on fail, counted from 1, with an I/O error.
    pub fn fail_nth(&self, op: Op, n: u64) {
        self.state().faults.push((op, n));
    }

    /// Bounds the bytes of all files together; `None` lifts the bound.
    pub fn set_capacity_bytes(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state().used()
    }

    /// How many operations of a kind were asked for so far.
    #[must_use]
    pub fn count(&self, op: Op) -> u64 {
        self.state().done.get(&op).copied().unwrap_or(0)
    }

    /// The bytes of a file as a process sees them; `None` when there is no such file.
    #[must_use]
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.files.get(state.names.get(path)?)?;
        Some(file.visible.clone())
    }

    /// Replaces the bytes of a file behind everyone's back, durably, creating it if need be.
    pub fn set_contents(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let id = match state.names.get(path) {
            Some(id) => *id,
            None => {
                let id = state.new_file();
                state.names.insert(path.to_owned(), id);
                id
            }
        };
        state.durable_names.insert(path.to_owned(), id);
        let file = state.files.entry(id).or_default();
        *file = SimFile { durable: bytes.to_vec(), visible: bytes.to_vec(), pending: Vec::new() };
    }

    /// Damages a file: flips one bit, durably. False when there is no such bit.
    pub fn flip_bit(&self, path: &Path, byte: usize, bit: u8) -> bool {
        let mut state = self.state();
        let Some(id) = state.names.get(path).copied() else { return false };
        let Some(file) = state.files.get_mut(&id) else { return false };
        let mut flipped = false;
        for image in [&mut file.durable, &mut file.visible] {
            if let Some(byte) = image.get_mut(byte) {
                *byte ^= 1 << (bit % 8);
                flipped = true;
            }
        }
        flipped
    }
}

fn length(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| ErrorKind::FileTooLarge.into())
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.state().dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn DirLock>> {
        let mut state = self.state();
        if !state.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        if !state.locks.insert(dir.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), dir: dir.to_owned(), epoch: state.epoch }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        if !state.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let names = state.names.keys().filter(|path| path.parent() == Some(dir));
        let mut names: Vec<String> =
            names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.enter(Op::Create)?;
        if path.parent().is_none_or(|dir| !state.dirs.contains(dir)) {
            return Err(ErrorKind::NotFound.into());
        }
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.new_file();
        let change = NameChange::Link { path: path.to_owned(), file };
        change.apply(&mut state.names);
        state.pending_names.push(change);
        Ok(Box::new(SimHandle { disk: self.clone(), file, epoch: state.epoch }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        let file = *state.names.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(SimHandle { disk: self.clone(), file, epoch: state.epoch }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Op::Rename)?;
        let file = *state.names.get(from).ok_or(ErrorKind::NotFound)?;
        let change = NameChange::Rename { from: from.to_owned(), to: to.to_owned(), file };
        change.apply(&mut state.names);
        state.pending_names.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Op::Remove)?;
        if !state.names.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        let change = NameChange::Unlink { path: path.to_owned() };
        change.apply(&mut state.names);
        state.pending_names.push(change);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Op::SyncDir)?;
        let pending = std::mem::take(&mut state.pending_names);
        for change in pending {
            if change.dir() == Some(dir) {
                change.apply(&mut state.durable_names);
            } else {
                state.pending_names.push(change);
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    dir: PathBuf,
    epoch: u64,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.epoch == self.epoch {
            state.locks.remove(&self.dir);
        }
    }
}

#[derive(Debug)]
struct SimHandle {
    disk: SimDisk,
    file: u64,
    epoch: u64,
}

impl SimHandle {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.alive(self.epoch)?;
        Ok(state)
    }
}

impl DiskFile for SimHandle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.file(self.file).visible.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state()?;
        state.enter(Op::Read)?;
        let bytes = &state.file(self.file).visible;
        let from = length(offset)?.min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        let offset = length(offset)?;
        let end = offset + bytes.len();
        let growth = end.saturating_sub(state.file(self.file).visible.len());
        let failed = state.fails(Op::Write);
        let full = !state.room(growth);
        if !failed && !full {
            state.change(self.file, Change::Write { offset, bytes: bytes.to_vec() });
            return Ok(());
        }
        let part = state.below(bytes.len() + 1);
        if part > 0 && state.room((offset + part).saturating_sub(end - growth)) {
            state.change(self.file, Change::Write { offset, bytes: bytes[..part].to_vec() });
        }
        Err(if failed {
            io::Error::other("a simulated write error")
        } else {
            ErrorKind::StorageFull.into()
        })
    }

    fn lay_out(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.enter(Op::Resize)?;
        let (now, goal) = (state.file(self.file).visible.len(), length(bytes)?);
        if goal <= now {
            return Ok(());
        }
        if !state.room(goal - now) {
            return Err(ErrorKind::StorageFull.into());
        }
        state.change(self.file, Change::Length(goal));
        Ok(())
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.enter(Op::Resize)?;
        let goal = length(bytes)?;
        if goal < state.file(self.file).visible.len() {
            state.change(self.file, Change::Length(goal));
        }
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.state()?;
        let failed = state.fails(Op::SyncData);
        let mut file = std::mem::take(state.file(self.file));
        let mode = if failed { CrashMode::Scatter } else { CrashMode::Keep };
        // A failed sync may have written some sectors; the rest counts as clean and is lost.
        state.settle(&mut file, mode);
        *state.file(self.file) = file;
        if failed { Err(io::Error::other("a simulated sync error")) } else { Ok(()) }
    }
}
