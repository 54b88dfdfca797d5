//! The simulated disk's side of [`Disk`] and [`DiskFile`].

use super::state::{Change, NameChange, State};
use super::{CrashMode, Op, SimDisk};
use crate::disk::{DirLock, Disk, DiskFile};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

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
        if state.names.contains_key(path) || state.dirs.contains(path) {
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
        if !state.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
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
        let misreads = state.enter(Op::Read)?;
        let bytes = &state.file(self.file).visible;
        let from = length(offset)?.min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        for misread in misreads {
            state.misread(misread, self.file, from, &mut buffer[..read]);
        }
        Ok(read)
    }

    fn drop_cached(&self) {
        if let Ok(mut state) = self.state()
            && state.file(self.file).is_dirty()
        {
            state.file_mut(self.file).drop_cached();
        }
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        let offset = length(offset)?;
        let end = offset.checked_add(bytes.len()).ok_or(ErrorKind::FileTooLarge)?;
        let growth = end.saturating_sub(state.file(self.file).visible.len());
        let failed = state.enter(Op::Write);
        if bytes.is_empty() {
            return failed.map(drop);
        }
        let room = state.take_room(growth);
        if failed.is_ok() && room.is_ok() {
            state.change(self.file, Change::Write { offset, bytes: bytes.to_vec() });
            return Ok(());
        }
        let part = state.below(bytes.len() + 1);
        if part > 0 && state.room((offset + part).saturating_sub(end - growth)) {
            state.change(self.file, Change::Write { offset, bytes: bytes[..part].to_vec() });
        }
        failed.and(room)
    }

    fn lay_out(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.enter(Op::Resize)?;
        let (now, goal) = (state.file(self.file).visible.len(), length(bytes)?);
        if goal <= now {
            return Ok(());
        }
        state.take_room(goal - now)?;
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
        let synced = state.enter(Op::SyncData).map(drop);
        let mut file = std::mem::take(state.file_mut(self.file));
        // A failed sync may have written some sectors; the rest counts as clean and is lost.
        let mode = if synced.is_ok() { CrashMode::Keep } else { CrashMode::Scatter };
        file.split |= synced.is_err();
        state.settle(&mut file, mode);
        *state.file_mut(self.file) = file;
        synced
    }
}
