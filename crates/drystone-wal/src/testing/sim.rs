//! A disk that lives in memory and misbehaves from a seed.

mod crash;
mod files;
mod misread;
mod state;

use state::{Effect, SimFile, State};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a crash does to everything that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// As `Prefix`, but each file is as long as it was seen to be: what was written behind the
    /// durable end and did not reach the disk reads as zeros, as file systems show it that
    /// allocate late. What was durable is never zeroed.
    Zeros,
    /// One of the others.
    Any,
}

/// What the disk writes as a whole or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sector {
    /// 512 bytes.
    #[default]
    Bytes512,
    /// 4096 bytes.
    Bytes4096,
}

impl Sector {
    fn bytes(self) -> usize {
        match self {
            Self::Bytes512 => 512,
            Self::Bytes4096 => 4096,
        }
    }
}

/// An operation that can be counted and made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// [`DiskFile::read_at`](crate::DiskFile::read_at).
    Read,
    /// [`DiskFile::write_at`](crate::DiskFile::write_at); a failing one writes a part.
    Write,
    /// [`DiskFile::lay_out`](crate::DiskFile::lay_out) and
    /// [`DiskFile::truncate`](crate::DiskFile::truncate).
    Resize,
    /// [`DiskFile::sync_data`](crate::DiskFile::sync_data); a failing one loses what it was to
    /// sync.
    SyncData,
    /// [`Disk::create`](crate::Disk::create).
    Create,
    /// [`Disk::rename`](crate::Disk::rename).
    Rename,
    /// [`Disk::remove`](crate::Disk::remove).
    Remove,
    /// [`Disk::sync_dir`](crate::Disk::sync_dir).
    SyncDir,
    /// Any of them but [`Op::Read`].
    AnyChange,
}

/// How a read goes wrong without an error. What is on the disk stays as it is, so that the next
/// read is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misread {
    /// One bit is flipped, in a sector that is not all zeros if there is one.
    Flip,
    /// One sector reads as it durably was before it was synced the last time.
    Stale,
    /// One sector reads as another sector of the disk.
    Misdirected,
}

/// What was done to a disk, or to whoever uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Injected {
    /// The power was cut; never with [`CrashMode::Any`], but with what came of it.
    Crash(CrashMode),
    /// The process was ended.
    Kill,
    /// A write that a crash or a failed sync lost as a whole.
    LostWrite,
    /// A write of which a crash or a failed sync left some sectors.
    TornWrite,
    /// A file whose tail reads as zeros after a crash.
    ZeroedTail,
    /// A change of a name that a crash undid.
    LostName,
    /// An operation that was made to fail.
    Failed(Op),
    /// A write or a layout that found no room.
    Full,
    /// A read that gave wrong bytes.
    Misread(Misread),
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
    /// An empty disk with sectors of 512 bytes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_sector(seed, Sector::default())
    }

    /// An empty disk.
    #[must_use]
    pub fn with_sector(seed: u64, sector: Sector) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed, sector.bytes()))) }
    }

    /// Another disk that is as this one is now, with its own `seed`, on which nothing was
    /// counted yet. What is open or locked on this one is neither there. A fork that is kept
    /// aside is an old image of the disk: use it in the disk's place, after a
    /// [`SimDisk::crash`] if it was taken while the disk was written to. The two share their
    /// files in memory until one of them changes one.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let mut state = self.state().clone();
        state.random = seed;
        state.done.clear();
        state.injected.clear();
        state.end_process();
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Cuts the power: what was not synced goes as `mode` says, open files and locks are dead,
    /// faults that were ordered are forgotten.
    pub fn crash(&self, mode: CrashMode) {
        self.state().crash(mode);
    }

    /// Ends the process without cutting the power: open files and locks are dead, faults that
    /// were ordered are forgotten, nothing is lost.
    pub fn kill(&self) {
        let mut state = self.state();
        state.note(Injected::Kill);
        state.end_process();
    }

    /// Forgets cached pages that are clean. What a failed sync marked clean reads from now on
    /// as the disk has it.
    pub fn drop_caches(&self) {
        let mut state = self.state();
        let dirty = state.files.values_mut().filter(|file| file.is_dirty());
        dirty.for_each(|file| Arc::make_mut(file).drop_cached());
    }

    /// Lets the `n`-th operation of a kind from now on fail, counted from 1, with an I/O error.
    pub fn fail_nth(&self, op: Op, n: u64) {
        self.state().faults.push((op, n, Effect::Fail));
    }

    /// Lets the `n`-th read from now on, counted from 1, give wrong bytes; or, when there is
    /// nothing in it that could be wrong in that way, the first read behind it that has such.
    pub fn misread_nth(&self, misread: Misread, n: u64) {
        self.state().faults.push((Op::Read, n, Effect::Misread(misread)));
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

    /// How often what was done to this disk so far. What never happened is not in it.
    #[must_use]
    pub fn injected(&self) -> BTreeMap<Injected, u64> {
        self.state().injected.clone()
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
        *state.file_mut(id) =
            SimFile { durable: bytes.to_vec(), visible: bytes.to_vec(), ..SimFile::default() };
    }

    /// Damages a file: flips one bit, durably. False when there is no such bit.
    pub fn flip_bit(&self, path: &Path, byte: usize, bit: u8) -> bool {
        let mut state = self.state();
        let Some(id) = state.names.get(path).copied() else { return false };
        let file = state.file_mut(id);
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
