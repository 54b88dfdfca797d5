//! Files that wait to become segments, and how one becomes a segment.

use crate::Error;
use crate::buffer::{Buffer, Place};
use crate::config::Config;
use crate::disk::{Disk, DiskFile};
use crate::format::{Kind, SEGMENT_HEADER, SegmentHeader, free_name, segment_name};
use crate::recover::Named;
use crate::state::Base;
use drystone_probe::mark;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much zero is written at once.
const ZERO_BYTES: usize = 1 << 20;
/// A waiting file that one oversized batch made longer than this many segments is cut back.
const LONG_SEGMENTS: u64 = 2;

/// A file whose blocks are being written for the first time.
#[derive(Debug)]
struct Laying {
    number: u64,
    file: Box<dyn DiskFile>,
    zeroed: u64,
}

/// The waiting files of one directory.
#[derive(Debug)]
pub(crate) struct Pool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    ready: Vec<u64>,
    laying: Option<Laying>,
    next: u64,
}

/// A segment that has just been made.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) named: Named,
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) end: u32,
    pub(crate) chain: u32,
}

impl Pool {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, found: Vec<u64>) -> Self {
        let next = found.iter().max().map_or(0, |max| max.saturating_add(1));
        Self { disk, dir: dir.to_owned(), ready: found, laying: None, next }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(free_name(number))
    }

    fn sync_dir(&self) -> Result<(), Error> {
        self.disk.sync_dir(&self.dir).map_err(Error::io("sync the directory", &self.dir))
    }

    /// How many files wait, laid out.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Removes waiting files beyond `keep`. Not durable yet.
    pub(crate) fn trim(&mut self, keep: usize) -> Result<(), Error> {
        while self.ready.len() > keep
            && let Some(number) = self.ready.pop()
        {
            let path = self.path(number);
            self.disk.remove(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }

    /// Takes dropped segments in, or removes them when `keep` files wait already. Durable when
    /// it returns: a file must not be overwritten while a crash could give it its old name.
    pub(crate) fn take_in(&mut self, dropped: &[Named], keep: usize) -> Result<(), Error> {
        if dropped.is_empty() {
            return Ok(());
        }
        for named in dropped {
            let path = self.dir.join(named.name());
            if self.ready.len() < keep {
                mark!("wal.segment_recycled");
                let number = self.next;
                self.next += 1;
                let free = self.path(number);
                self.disk.rename(&path, &free).map_err(Error::io("recycle", &path))?;
                self.ready.push(number);
            } else {
                mark!("wal.segment_removed");
                self.disk.remove(&path).map_err(Error::io("remove", &path))?;
            }
        }
        self.sync_dir()
    }

    /// Readies one file for the next segment, writing at most `budget_bytes`. True when one
    /// is ready. The file is no part of the log yet, so a failure harms nothing.
    pub(crate) fn tend(&mut self, config: &Config, budget_bytes: u64) -> Result<bool, Error> {
        if !self.ready.is_empty() || config.recycle_segments_max == 0 {
            return Ok(true);
        }
        let mut laying = match self.laying.take() {
            Some(laying) => laying,
            None => self.begin_laying(config)?,
        };
        match self.lay(&mut laying, config, budget_bytes) {
            Ok(false) => {
                self.laying = Some(laying);
                Ok(false)
            }
            Ok(true) => {
                self.ready.push(laying.number);
                Ok(true)
            }
            Err(error) => {
                // Best effort: what stays is taken up when the log is opened next.
                let _ = self.disk.remove(&self.path(laying.number));
                Err(error)
            }
        }
    }

    fn begin_laying(&mut self, config: &Config) -> Result<Laying, Error> {
        let number = self.next;
        self.next += 1;
        let path = self.path(number);
        let mut file = self.disk.create(&path).map_err(Error::io("create", &path))?;
        if let Err(error) = file.lay_out(u64::from(config.segment_bytes)) {
            let _ = self.disk.remove(&path);
            return Err(Error::io("lay out", &path)(error));
        }
        Ok(Laying { number, file, zeroed: 0 })
    }

    /// Writes zeros: a block that was written once costs a later sync no change of metadata.
    fn lay(&self, laying: &mut Laying, config: &Config, budget: u64) -> Result<bool, Error> {
        let path = self.path(laying.number);
        let end = u64::from(config.segment_bytes);
        let goal = end.min(laying.zeroed.saturating_add(budget));
        let zeros = vec![0; ZERO_BYTES.min(config.segment_bytes as usize)];
        while laying.zeroed < goal {
            let left = usize::try_from(goal - laying.zeroed).unwrap_or(usize::MAX);
            let piece = left.min(zeros.len());
            let written = laying.file.write_at(laying.zeroed, &zeros[..piece]);
            written.map_err(Error::io("lay out", &path))?;
            laying.zeroed += piece as u64;
        }
        if laying.zeroed < end {
            return Ok(false);
        }
        laying.file.sync_data().map_err(Error::io("sync", &path))?;
        Ok(true)
    }

    /// A waiting file, or a new one.
    fn take(&mut self) -> Result<(PathBuf, Box<dyn DiskFile>), Error> {
        if let Some(number) = self.ready.pop() {
            let path = self.path(number);
            let file = self.disk.open(&path).map_err(Error::io("open", &path))?;
            return Ok((path, file));
        }
        if let Some(laying) = self.laying.take() {
            mark!("wal.segment_taken_half_laid");
            return Ok((self.path(laying.number), laying.file));
        }
        let path = self.path(self.next);
        self.next += 1;
        let file = self.disk.create(&path).map_err(Error::io("create", &path))?;
        Ok((path, file))
    }

    /// Makes a segment: header and base are synced before the file gets its name, and the name
    /// is durable before this returns. Whoever finds the name may rely on both.
    pub(crate) fn make_segment(
        &mut self,
        config: &Config,
        header: SegmentHeader,
        base: &Base,
    ) -> Result<Fresh, Error> {
        let (free, mut file) = self.take()?;
        let size = u64::from(config.segment_bytes);
        if file.len().map_err(Error::io("measure", &free))? > size * LONG_SEGMENTS {
            file.truncate(size).map_err(Error::io("cut", &free))?;
        }
        file.lay_out(size).map_err(Error::io("lay out", &free))?;

        let mut head = Buffer::default();
        head.push(Kind::Base, 0, base.last, &[&base.head(), &base.conf]);
        let offset = u32::try_from(SEGMENT_HEADER).expect("the header is short");
        let chain = head.seal(Place {
            segment: header.segment,
            salt: header.salt,
            generation: header.generation,
            offset,
            synced: 0,
            chain: header.chain(),
        });
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(head.bytes());
        file.write_at(0, &bytes).map_err(Error::io("write", &free))?;
        file.sync_data().map_err(Error::io("sync", &free))?;

        let named = Named { segment: header.segment, first_index: header.first_index };
        let path = self.dir.join(segment_name(named.segment, named.first_index));
        self.disk.rename(&free, &path).map_err(Error::io("name", &path))?;
        self.sync_dir()?;
        let end = u32::try_from(bytes.len()).expect("a configuration is at most 1 MiB");
        Ok(Fresh { named, path, file, end, chain })
    }
}
