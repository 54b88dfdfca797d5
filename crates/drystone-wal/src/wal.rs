//! The log itself: appending, syncing, marking, dropping.

use crate::Error;
use crate::buffer::{Buffer, Place};
use crate::config::{CONF_BYTES_MAX, Config, Identity};
use crate::disk::{DirLock, Disk, DiskFile};
use crate::format::{Kind, RECORD_HEADER, SegmentHeader, VERSION, record_bytes};
use crate::outcome::{Durable, Position, Recovered, SnapshotMark};
use crate::pool::{Fresh, Pool};
use crate::recover::{self, Listing, Named, Sealed};
use crate::state::{Base, LogState, Marker};
use drystone_probe::{mark, planted};
use drystone_types::{Entry, HardState, LogIndex, Term};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Payload of a hard state record: the vote. Term and commit lie in the header.
const STATE_BYTES: usize = 8;
/// The sequence of the first segment. Not 0, which is what a file that was never written says.
const FIRST_SEGMENT: u64 = 1;

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    named: Named,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    salt: u32,
    /// Where the next record goes.
    end: u32,
    /// Everything before this is durable.
    synced: u32,
    /// The largest value of `synced` that a record in the file carries.
    attested: u32,
    chain: u32,
    index_max: u64,
    /// True when the segment holds nothing but its base.
    bare: bool,
}

impl Active {
    fn new(fresh: Fresh, salt: u32) -> Self {
        Self {
            named: fresh.named,
            path: fresh.path,
            file: fresh.file,
            salt,
            end: fresh.end,
            synced: fresh.end,
            // The base needs no record to vouch for it: it was synced before it had a name.
            attested: fresh.end,
            chain: fresh.chain,
            index_max: 0,
            bare: true,
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        self.synced = self.end;
        Ok(())
    }
}

/// A replicated log on disk.
///
/// One holder, one thread. Calls that append only fill a buffer; [`Wal::sync`] writes the
/// buffer at once and syncs once. All I/O blocks.
#[derive(Debug)]
pub struct Wal {
    dir: PathBuf,
    config: Config,
    identity: Identity,
    pool: Pool,
    sealed: VecDeque<Sealed>,
    active: Active,
    generation: u32,
    buffer: Buffer,
    /// With what waits in the buffer.
    state: LogState,
    /// Without it.
    durable: Base,
    poisoned: bool,
    // Last, so that it is the last thing to go.
    _lock: Box<dyn DirLock>,
}

impl Wal {
    /// True when `dir` holds a log.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory exists and cannot be read.
    pub fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool, Error> {
        match disk.list(dir) {
            Ok(names) => {
                Ok(names.iter().any(|name| crate::format::parse_segment_name(name).is_some()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("list", dir)(error)),
        }
    }

    /// Creates an empty log. It is durable when this returns; a crash before that leaves a
    /// directory in which a log can be created.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is a log, [`Error::Locked`] when another process has the
    /// directory, [`Error::Config`], [`Error::Io`].
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: Config,
        identity: Identity,
    ) -> Result<Self, Error> {
        config.check()?;
        disk.create_dir_all(dir).map_err(Error::io("create the directory", dir))?;
        let lock = lock(&*disk, dir)?;
        let listing = Listing::read(&*disk, dir)?;
        if !listing.segments.is_empty() || !listing.leftovers.is_empty() {
            return Err(Error::Exists { dir: dir.to_owned() });
        }
        // Files of an earlier log in this place could hold records with the sequences that
        // this one is about to use. They must not come back.
        let mut pool = Pool::new(Arc::clone(&disk), dir, listing.free);
        pool.trim(0)?;
        disk.sync_dir(dir).map_err(Error::io("sync the directory", dir))?;

        let salt = config.salt(FIRST_SEGMENT);
        let header = SegmentHeader {
            version: VERSION,
            identity,
            segment: FIRST_SEGMENT,
            first_index: 1,
            salt,
            generation: 1,
            previous_end: 0,
            previous_chain: 0,
        };
        let fresh = pool.make_segment(&config, header, &Base::default())?;
        Ok(Self {
            dir: dir.to_owned(),
            config,
            identity,
            pool,
            sealed: VecDeque::new(),
            active: Active::new(fresh, salt),
            generation: header.generation,
            buffer: Buffer::default(),
            state: LogState::default(),
            durable: Base::default(),
            poisoned: false,
            _lock: lock,
        })
    }

    /// Opens a log and reads it: entries from index `from` on (0 for all) are returned, the
    /// others only checked. A torn write at the end is cut off. What is returned is durable,
    /// whatever the reason for which the log had not been closed.
    ///
    /// Nothing is cut off and no damage is reported on the word of one reading: what does not
    /// hold is read again, from the device where the disk can ([`DiskFile::drop_cached`]).
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no log; [`Error::Corrupt`] when bytes that had been
    /// synced do not hold, and [`Error::Unsteady`] when they read differently each time; after
    /// these, and after a read that failed, nothing was changed; [`Error::Foreign`],
    /// [`Error::Version`], [`Error::Locked`], [`Error::Config`], [`Error::Io`].
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: Config,
        identity: Identity,
        from: LogIndex,
    ) -> Result<(Self, Recovered), Error> {
        config.check()?;
        if !Self::exists(&*disk, dir)? {
            return Err(Error::Missing { dir: dir.to_owned() });
        }
        let lock = lock(&*disk, dir)?;
        // Names that an earlier process saw need not be durable if it was killed.
        disk.sync_dir(dir).map_err(Error::io("sync the directory", dir))?;
        let Listing { segments, leftovers, free } = Listing::read(&*disk, dir)?;
        let read = recover::read(&*disk, dir, &segments, identity, from)?;
        let generation = read.cursor.generation.checked_add(1);
        let generation = generation.ok_or_else(|| {
            Error::corrupt(&read.path, 0, "the log has no generation left to be opened in")
        })?;

        let mut active = Active {
            bare: false,
            named: read.last,
            path: read.path,
            file: read.file,
            salt: read.header.salt,
            end: read.cursor.at,
            synced: read.cursor.claimed,
            attested: read.cursor.claimed,
            chain: read.cursor.chain,
            index_max: read.last_index_max,
        };
        // What no record vouches for may be in the page cache alone, even marked clean there
        // after a sync that failed. Writing it again makes the following sync mean something.
        let unproven = read.cursor.accepted(active.synced);
        if !unproven.is_empty() {
            mark!("wal.unproven_written_again");
        }
        let rewritten = active.file.write_at(u64::from(active.synced), &unproven);
        rewritten.map_err(Error::io("write", &active.path))?;
        active.sync()?;

        let mut wal = Self {
            pool: Pool::new(disk, dir, free),
            dir: dir.to_owned(),
            config,
            identity,
            sealed: read.sealed,
            active,
            generation,
            buffer: Buffer::default(),
            durable: read.state.base.clone(),
            state: read.state,
            poisoned: false,
            _lock: lock,
        };
        wal.buffer.push(Kind::Open, 0, wal.durable.last, &[]);
        wal.write_buffer()?;
        wal.active.sync()?;
        wal.pool.trim(wal.config.recycle_segments_max)?;
        wal.pool.take_in(&leftovers, wal.config.recycle_segments_max)?;
        wal.drop_segments()?;
        Ok((wal, read.recovered))
    }

    /// Appends entries and a hard state to what waits for a sync. Consecutive entries only;
    /// the first may lie anywhere from behind the start mark to behind the last entry, and
    /// everything from it on is replaced. A hard state comes behind the entries, so that it
    /// never outlives them. Nothing is durable before [`Wal::sync`].
    ///
    /// # Errors
    /// [`Error::OutOfOrder`], [`Error::RecordTooLarge`] and [`Error::BufferFull`] take nothing
    /// of the call; [`Error::Poisoned`].
    pub fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<HardState>,
    ) -> Result<(), Error> {
        self.usable()?;
        let hard_state = hard_state.filter(|state| *state != self.state.base.hard_state);
        self.check_entries(entries)?;
        let asked = append_bytes(entries, hard_state);
        self.check_room(asked, entries.len() <= 1)?;
        if entries.first().is_some_and(|first| first.index <= self.state.base.last.index) {
            mark!("wal.entries_overruled");
        }
        for entry in entries {
            let at = Marker { index: entry.index, term: entry.term };
            self.buffer.push(Kind::Entry, entry.kind as u8, at, &[&entry.data]);
            self.state.push(entry.index, entry.term);
        }
        if let Some(state) = hard_state {
            let at = Marker { index: state.commit, term: state.term };
            self.buffer.push(Kind::State, 0, at, &[&state.vote.0.to_le_bytes()]);
            self.state.base.hard_state = state;
        }
        Ok(())
    }

    /// Appends and syncs, in as many batches as the buffer's bound asks for. After an error
    /// other than those of [`Wal::append`] for the first batch, a prefix may be durable.
    ///
    /// # Errors
    /// Those of [`Wal::append`] without [`Error::BufferFull`], and those of [`Wal::sync`].
    pub fn append_and_sync(
        &mut self,
        entries: &[Entry],
        hard_state: Option<HardState>,
    ) -> Result<Durable, Error> {
        self.usable()?;
        self.check_entries(entries)?;
        let mut rest = entries;
        loop {
            let limit = self.config.buffer_bytes_max.saturating_sub(self.buffer.len());
            let fits = batch_len(rest, limit.saturating_sub(record_bytes(STATE_BYTES)));
            if fits == rest.len() && self.has_room(append_bytes(rest, hard_state), rest.len() <= 1)
            {
                self.append(rest, hard_state)?;
                return self.sync();
            }
            if fits == 0 && !self.buffer.is_empty() {
                self.sync()?;
                continue;
            }
            // With an empty buffer one entry goes alone, whatever its size.
            let (batch, behind) = rest.split_at(fits.max(1).min(rest.len()));
            self.append(batch, None)?;
            self.sync()?;
            rest = behind;
        }
    }

    /// Makes everything that was appended durable, with one write and one sync, and then drops
    /// segments that no entry behind the durable start mark needs. Does no I/O when nothing
    /// waits.
    ///
    /// # Errors
    /// [`Error::Io`]: the log is poisoned, and what waited may or may not be found by the next
    /// opening, up to any record of it. [`Error::Poisoned`].
    pub fn sync(&mut self) -> Result<Durable, Error> {
        self.guarded(|wal| {
            if wal.buffer.is_empty() {
                return Ok(());
            }
            let rolled = wal.roll_if_full()?;
            wal.write_buffer()?;
            if !(rolled && planted!("wal.sync_skipped_in_new_segment")) {
                wal.active.sync()?;
            }
            wal.durable.clone_from(&wal.state.base);
            wal.drop_segments()
        })?;
        Ok(self.durable())
    }

    /// Says that entries up to `upto` are not needed any more. An index before the start mark
    /// changes nothing. The next [`Wal::sync`] drops the segments that hold nothing newer; the
    /// configuration of the last mark stays.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] when the log does not reach to `upto`, [`Error::BufferFull`],
    /// [`Error::Poisoned`].
    pub fn compact(&mut self, upto: LogIndex) -> Result<(), Error> {
        self.usable()?;
        if upto <= self.state.base.start.index {
            return Ok(());
        }
        let Some(term) = self.state.term(upto) else {
            return Err(self.out_of_order(upto, "the log does not reach there"));
        };
        self.check_room(RECORD_HEADER, true)?;
        let at = Marker { index: upto, term };
        self.state.compact(at).map_err(|reason| self.out_of_order(upto, reason))?;
        self.buffer.push(Kind::Compact, 0, at, &[]);
        Ok(())
    }

    /// Says that a snapshot stands for everything up to its index. If the log holds that entry
    /// with that term, entries behind it stay (a snapshot of one's own); else the log begins
    /// anew behind it (a snapshot from another member; Raft, section 7). Make the snapshot
    /// durable first, then mark it, then [`Wal::sync`].
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] when the mark lies before the start mark, or on it with another
    /// term; [`Error::RecordTooLarge`], [`Error::BufferFull`], [`Error::Poisoned`].
    pub fn mark_snapshot(&mut self, mark: &SnapshotMark) -> Result<(), Error> {
        self.usable()?;
        if mark.conf.len() > CONF_BYTES_MAX {
            return Err(Error::RecordTooLarge {
                bytes: mark.conf.len(),
                limit_bytes: CONF_BYTES_MAX,
            });
        }
        let index = mark.at.index;
        let start = self.state.base.start;
        if index == start.index && mark.at.term != start.term {
            return Err(self.out_of_order(index, "the start mark has another term"));
        }
        self.check_room(record_bytes(mark.conf.len()), true)?;
        let kind = if self.state.term(index) == Some(mark.at.term) {
            self.state.compact(mark.at).map_err(|reason| self.out_of_order(index, reason))?;
            Kind::Compact
        } else {
            mark!("wal.restarted_by_snapshot");
            self.state.restart(mark.at).map_err(|reason| self.out_of_order(index, reason))?;
            Kind::Restart
        };
        self.buffer.push(kind, 1, mark.at, &[&mark.conf]);
        self.state.base.conf = mark.conf.clone();
        Ok(())
    }

    /// Writes, without a sync, a record which says that everything so far is synced. The next
    /// batch says so too; a caller that has no next batch soon (a tenth of a second is a good
    /// measure) calls this, so that damage to the last batch is told from a torn write. Does
    /// nothing when it is said already or when something waits for a sync.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Poisoned`].
    pub fn attest(&mut self) -> Result<(), Error> {
        self.guarded(|wal| {
            let said = wal.active.attested == wal.active.synced;
            if said || !wal.buffer.is_empty() || wal.active.end >= wal.config.segment_bytes {
                return Ok(());
            }
            mark!("wal.attested");
            wal.buffer.push(Kind::Attest, 0, wal.durable.last, &[]);
            wal.write_buffer()
        })
    }

    /// Work for idle moments: readies the file of the next segment, writing at most
    /// `budget_bytes`. True when there is nothing left to do. Without it the log works, but
    /// pauses longer when it begins a segment for which no file was recycled.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no room or the disk fails; the log itself is not touched and
    /// goes on. [`Error::Poisoned`].
    pub fn tend(&mut self, budget_bytes: u64) -> Result<bool, Error> {
        self.usable()?;
        self.pool.tend(&self.config, budget_bytes)
    }

    /// Syncs what waits and leaves a durable record that says so, after which any damage is
    /// recognised. Dropping the log instead is safe; it loses what waits.
    ///
    /// # Errors
    /// Those of [`Wal::sync`].
    pub fn close(mut self) -> Result<(), Error> {
        self.sync()?;
        self.attest()?;
        self.guarded(|wal| wal.active.sync())
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is durable now.
    #[must_use]
    pub fn durable(&self) -> Durable {
        let offset = self.active.synced;
        Durable {
            last: self.durable.last,
            hard_state: self.durable.hard_state,
            position: Position { segment: self.active.named.segment, offset },
        }
    }

    /// The entry before the first that the log holds, with marks that wait for a sync.
    #[must_use]
    pub fn start(&self) -> Marker {
        self.state.base.start
    }

    /// The last entry, with those that wait for a sync.
    #[must_use]
    pub fn last(&self) -> Marker {
        self.state.base.last
    }

    /// The term of the entry at `index`, also of the one at the start mark; `None` outside.
    #[must_use]
    pub fn term(&self, index: LogIndex) -> Option<Term> {
        self.state.term(index)
    }

    /// Encoded bytes that wait for a sync.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// How many segments the log has.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.sealed.len() + 1
    }

    /// How many files wait, laid out, to become segments.
    #[must_use]
    pub fn segments_spare(&self) -> usize {
        self.pool.ready()
    }

    /// True when an earlier failure has made the log refuse everything.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    fn usable(&self) -> Result<(), Error> {
        if self.poisoned { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Runs something that writes. If it fails, it is unknown what reached the disk.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.usable()?;
        let done = work(self);
        self.poisoned = done.is_err();
        done
    }

    fn out_of_order(&self, index: LogIndex, reason: &'static str) -> Error {
        Error::OutOfOrder {
            index,
            first: LogIndex(self.state.base.start.index.0.saturating_add(1)),
            last: self.state.base.last.index,
            reason,
        }
    }

    fn check_entries(&self, entries: &[Entry]) -> Result<(), Error> {
        if let Some(first) = entries.first() {
            let checked = self.state.check_entry(first.index, first.term);
            checked.map_err(|reason| self.out_of_order(first.index, reason))?;
        }
        for pair in entries.windows(2) {
            if Some(pair[1].index.0) != pair[0].index.0.checked_add(1) {
                return Err(self.out_of_order(pair[1].index, "entries must be consecutive"));
            }
            if pair[1].term < pair[0].term {
                return Err(self.out_of_order(pair[1].index, "terms must not fall"));
            }
        }
        let limit_bytes = self.config.record_bytes_max as usize;
        match entries.iter().map(|entry| entry.data.len()).find(|bytes| *bytes > limit_bytes) {
            Some(bytes) => Err(Error::RecordTooLarge { bytes, limit_bytes }),
            None => Ok(()),
        }
    }

    fn has_room(&self, asked: usize, indivisible: bool) -> bool {
        let alone = indivisible && self.buffer.is_empty();
        alone || asked <= self.config.buffer_bytes_max.saturating_sub(self.buffer.len())
    }

    fn check_room(&self, asked_bytes: usize, indivisible: bool) -> Result<(), Error> {
        if self.has_room(asked_bytes, indivisible) {
            return Ok(());
        }
        Err(Error::BufferFull {
            buffered_bytes: self.buffer.len(),
            asked_bytes,
            limit_bytes: self.config.buffer_bytes_max,
        })
    }

    /// Begins a new segment when the batch would make this one longer than it was laid out.
    /// True when it did.
    fn roll_if_full(&mut self) -> Result<bool, Error> {
        let fits =
            self.active.end as usize + self.buffer.len() <= self.config.segment_bytes as usize;
        if fits || self.active.bare {
            if !fits {
                mark!("wal.batch_longer_than_segment");
            }
            return Ok(false);
        }
        // The next header says that this segment is synced to its end.
        if self.active.synced < self.active.end {
            mark!("wal.synced_before_rolling");
            self.active.sync()?;
        }
        let segment = self.active.named.segment + 1;
        let salt = self.config.salt(segment);
        let header = SegmentHeader {
            version: VERSION,
            identity: self.identity,
            segment,
            first_index: self.durable.last.index.0 + 1,
            salt,
            generation: self.generation,
            previous_end: self.active.end,
            previous_chain: self.active.chain,
        };
        let fresh = self.pool.make_segment(&self.config, header, &self.durable)?;
        let full = std::mem::replace(&mut self.active, Active::new(fresh, salt));
        self.sealed.push_back(Sealed { named: full.named, index_max: full.index_max });
        mark!("wal.segment_rolled");
        Ok(true)
    }

    /// Writes the buffer behind the last record. Durable with the next sync of the segment.
    fn write_buffer(&mut self) -> Result<(), Error> {
        let active = &mut self.active;
        let chain = self.buffer.seal(Place {
            segment: active.named.segment,
            salt: active.salt,
            generation: self.generation,
            offset: active.end,
            synced: active.synced,
            chain: active.chain,
        });
        let written = active.file.write_at(u64::from(active.end), self.buffer.bytes());
        written.map_err(Error::io("write", &active.path))?;
        let len = u32::try_from(self.buffer.len()).expect("a buffer is below 2 GiB");
        active.end += len;
        active.chain = chain;
        active.attested = active.synced;
        active.bare = false;
        if self.buffer.restarted {
            self.sealed.iter_mut().for_each(|sealed| sealed.index_max = 0);
            active.index_max = 0;
        }
        active.index_max = active.index_max.max(self.buffer.index_max);
        self.buffer.clear(self.config.buffer_bytes_max);
        Ok(())
    }

    /// Drops the oldest segments whose entries all lie at or before the durable start mark.
    fn drop_segments(&mut self) -> Result<(), Error> {
        let start = self.durable.start.index.0;
        let unneeded = self.sealed.iter().take_while(|sealed| sealed.index_max <= start).count();
        let unneeded = if unneeded > 0 && planted!("wal.segment_dropped_too_far") {
            self.sealed.len().min(unneeded + 1)
        } else {
            unneeded
        };
        let dropped: Vec<Named> =
            self.sealed.drain(..unneeded).map(|sealed| sealed.named).collect();
        self.pool.take_in(&dropped, self.config.recycle_segments_max)
    }
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DirLock>, Error> {
    disk.lock(dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { dir: dir.to_owned() },
        _ => Error::io("lock", dir)(error),
    })
}

fn append_bytes(entries: &[Entry], hard_state: Option<HardState>) -> usize {
    let state = hard_state.map_or(0, |_| record_bytes(STATE_BYTES));
    entries.iter().map(|entry| record_bytes(entry.data.len())).sum::<usize>() + state
}

/// How many of the first entries fit into `limit` bytes.
fn batch_len(entries: &[Entry], limit: usize) -> usize {
    let mut bytes = 0;
    let fitting = entries.iter().take_while(|entry| {
        bytes += record_bytes(entry.data.len());
        bytes <= limit
    });
    fitting.count()
}
