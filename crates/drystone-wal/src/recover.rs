//! Reads a log directory: which segments belong to the log, what they say, where it ends.

use crate::Error;
use crate::config::Identity;
use crate::disk::{Disk, DiskFile};
use crate::format::{
    Kind, SEGMENT_HEADER, SegmentHeader, VERSION, get64, parse_free_name, parse_segment_name,
    segment_name,
};
use crate::outcome::{Recovered, TornTail};
use crate::scan::{Behind, Cursor, Record};
use crate::state::{Base, LogState, Marker};
use bytes::Bytes;
use drystone_probe::{mark, planted};
use drystone_types::{Entry, EntryKind, LogIndex, MemberId, Term};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// An entry's bytes are copied out of their segment when less than this part of it is kept,
/// so that a few entries do not hold a whole segment in memory.
const SHARED_PART_MIN: usize = 4;

/// How often a log is read before an opening gives up.
const READINGS_MAX: u32 = 4;

/// One segment by its name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) segment: u64,
    pub(crate) first_index: u64,
}

impl Named {
    pub(crate) fn name(&self) -> String {
        segment_name(self.segment, self.first_index)
    }
}

/// The files of a log directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The segments of the log, in order and without gap.
    pub(crate) segments: Vec<Named>,
    /// Segments before a gap: a crash undid some of the steps that dropped them.
    pub(crate) leftovers: Vec<Named>,
    /// Files that wait to become segments.
    pub(crate) free: Vec<u64>,
}

impl Listing {
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, Error> {
        let mut listing = Self::default();
        for name in disk.list(dir).map_err(Error::io("list", dir))? {
            if let Some((segment, first_index)) = parse_segment_name(&name) {
                listing.segments.push(Named { segment, first_index });
            } else if let Some(number) = parse_free_name(&name) {
                listing.free.push(number);
            }
        }
        let continues = |pair: &[Named]| pair[0].segment.checked_add(1) == Some(pair[1].segment);
        let gap = listing.segments.windows(2).rposition(|pair| !continues(pair));
        if let Some(gap) = gap {
            mark!("wal.dropped_segment_came_back");
            let log = listing.segments.split_off(gap + 1);
            listing.leftovers = std::mem::replace(&mut listing.segments, log);
        }
        Ok(listing)
    }
}

/// A segment before the last one.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) named: Named,
    /// The highest index of an entry in it that may still count.
    pub(crate) index_max: u64,
}

/// All that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) state: LogState,
    pub(crate) recovered: Recovered,
    pub(crate) sealed: VecDeque<Sealed>,
    pub(crate) last: Named,
    pub(crate) last_index_max: u64,
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) header: SegmentHeader,
    /// The last segment up to the end of its valid records.
    pub(crate) cursor: Cursor,
}

/// Reads the log that `segments` (not empty) hold, keeping entries from index `from` on.
///
/// Bytes may be right on the disk and wrong in one reading. So damage is believed when two
/// readings in a row report it at the same place, and an end when it reads the same twice.
pub(crate) fn read(
    disk: &dyn Disk,
    dir: &Path,
    segments: &[Named],
    identity: Identity,
    from: LogIndex,
) -> Result<Read, Error> {
    let mut reported = None;
    let mut readings = 1;
    loop {
        let error = match read_once(disk, dir, segments, identity, from, readings > 1) {
            Err(error @ (Error::Corrupt { .. } | Error::Unsteady { .. })) => error,
            other => return other,
        };
        let place = match &error {
            Error::Corrupt { file, offset, .. } => Some((file.clone(), *offset)),
            _ => None,
        };
        if readings == READINGS_MAX || (place.is_some() && place == reported) {
            return Err(error);
        }
        mark!("wal.read_anew");
        reported = place;
        readings += 1;
    }
}

fn read_once(
    disk: &dyn Disk,
    dir: &Path,
    segments: &[Named],
    identity: Identity,
    from: LogIndex,
    from_device: bool,
) -> Result<Read, Error> {
    let mut files = Vec::with_capacity(segments.len());
    for named in segments {
        files.push(OpenSegment::open(disk, dir, named.clone(), identity, from_device)?);
    }
    let mut replay = Replay::new(from);
    let mut sealed = VecDeque::new();
    let mut files = files.into_iter().peekable();
    while let Some(segment) = files.next() {
        let bytes = segment.read_all()?;
        let bytes_len = bytes.len();
        let mut cursor = Cursor::new(bytes, segment.header);
        replay.read_base(&mut cursor, &segment)?;
        let Some(next) = files.peek() else {
            let torn = replay.read_to_end(&mut cursor, &segment)?;
            segment.confirm_end(&cursor)?;
            replay.finish_segment(segment.named.segment, bytes_len, &mut sealed);
            replay.check_whole(&segment)?;
            let last_index_max = replay.index_max;
            let recovered = replay.recovered(torn);
            return Ok(Read {
                state: replay.state.unwrap_or_default(),
                recovered,
                sealed,
                last: segment.named,
                last_index_max,
                file: segment.file,
                path: segment.path,
                header: segment.header,
                cursor,
            });
        };
        replay.read_to(&mut cursor, &segment, next)?;
        replay.finish_segment(segment.named.segment, bytes_len, &mut sealed);
        sealed.push_back(Sealed { named: segment.named, index_max: replay.index_max });
    }
    Err(Error::Missing { dir: dir.to_owned() })
}

#[derive(Debug)]
struct OpenSegment {
    named: Named,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    header: SegmentHeader,
}

impl OpenSegment {
    fn open(
        disk: &dyn Disk,
        dir: &Path,
        named: Named,
        expected: Identity,
        from_device: bool,
    ) -> Result<Self, Error> {
        let path = dir.join(named.name());
        let file = disk.open(&path).map_err(Error::io("open", &path))?;
        if from_device {
            file.drop_cached();
        }
        let mut head = [0; SEGMENT_HEADER];
        let read = file.read_at(0, &mut head).map_err(Error::io("read", &path))?;
        let header = SegmentHeader::decode(&head[..read]).map_err(|reason| {
            let known = "; a segment gets its name after its header was synced";
            Error::corrupt(&path, 0, format!("{reason}{known}"))
        })?;
        if header.version != VERSION {
            return Err(Error::Version { file: path, found: header.version, supported: VERSION });
        }
        if header.identity != expected {
            return Err(Error::Foreign { file: path, found: header.identity, expected });
        }
        if (header.segment, header.first_index) != (named.segment, named.first_index) {
            return Err(Error::corrupt(&path, 0, "the segment header belongs to another file"));
        }
        Ok(Self { named, path, file, header })
    }

    fn read_all(&self) -> Result<Bytes, Error> {
        let len = self.file.len().map_err(Error::io("measure", &self.path))?;
        let Some(len) = u32::try_from(len).ok().and_then(|len| usize::try_from(len).ok()) else {
            return Err(Error::corrupt(&self.path, u32::MAX, "the segment is longer than 4 GiB"));
        };
        let mut bytes = vec![0; len];
        let read = self.file.read_at(0, &mut bytes).map_err(Error::io("read", &self.path))?;
        bytes.truncate(read);
        Ok(Bytes::from(bytes))
    }

    /// Reads the record once more that ended the log. Everything from there on is about to be
    /// cut off for good, and that must not rest on one reading.
    fn confirm_end(&self, cursor: &Cursor) -> Result<(), Error> {
        let seen = cursor.rejected();
        let mut again = vec![0; seen.len()];
        self.file.drop_cached();
        let offset = u64::from(cursor.at);
        let read = self.file.read_at(offset, &mut again).map_err(Error::io("read", &self.path))?;
        if again[..read] == *seen {
            return Ok(());
        }
        Err(Error::Unsteady { file: self.path.clone(), offset })
    }

    fn corrupt(&self, offset: u32, reason: impl Into<String>) -> Error {
        Error::corrupt(&self.path, offset, reason)
    }
}

/// Applies records in the order in which they were written.
struct Replay {
    from: LogIndex,
    state: Option<LogState>,
    /// All entries from this index to the last one were read.
    held_from: LogIndex,
    /// Entries that are kept, each with the sequence of its segment.
    entries: VecDeque<(Entry, u64)>,
    /// The highest index of an entry of the current segment, since the last restart.
    index_max: u64,
    /// True when the log begins anew in the current segment.
    restarted: bool,
}

impl Replay {
    fn new(from: LogIndex) -> Self {
        Self {
            from,
            state: None,
            held_from: LogIndex(0),
            entries: VecDeque::new(),
            index_max: 0,
            restarted: false,
        }
    }

    /// The first record. It was synced before the segment got its name.
    fn read_base(&mut self, cursor: &mut Cursor, segment: &OpenSegment) -> Result<(), Error> {
        let at = cursor.at;
        let record = cursor.next().map_err(|reason| {
            let known = "; a segment gets its name after its first record was synced";
            segment.corrupt(at, format!("{reason}{known}"))
        })?;
        let last = marker(&record);
        let base = (record.kind == Kind::Base)
            .then(|| Base::decode(last, &record.payload))
            .flatten()
            .ok_or_else(|| segment.corrupt(at, "the first record is not a segment's base"))?;
        cursor.claimed = cursor.at;
        (self.index_max, self.restarted) = (0, false);
        match &self.state {
            None => {
                self.held_from = base.last.index.next();
                self.state = Some(LogState::from_base(base));
            }
            Some(state) if state.base == base => mark!("wal.read_on_in_next_segment"),
            Some(_) => {
                let reason = "the segment's base disagrees with the segment before it";
                return Err(segment.corrupt(at, reason));
            }
        }
        Ok(())
    }

    /// A segment that another follows: it was synced as a whole, up to where that one says.
    fn read_to(
        &mut self,
        cursor: &mut Cursor,
        segment: &OpenSegment,
        next: &OpenSegment,
    ) -> Result<(), Error> {
        let end = next.header.previous_end;
        while cursor.at < end {
            let at = cursor.at;
            let record = cursor.next().map_err(|reason| {
                let known = format!("; the next segment says that {end} bytes were synced");
                segment.corrupt(at, format!("{reason}{known}"))
            })?;
            self.apply(segment.named.segment, record).map_err(|r| segment.corrupt(at, r))?;
        }
        if cursor.at != end || cursor.chain != next.header.previous_chain {
            return Err(next.corrupt(0, "the segment does not continue the one before it"));
        }
        Ok(())
    }

    /// The last segment. Its end is where the records end, if nothing proves otherwise.
    fn read_to_end(
        &mut self,
        cursor: &mut Cursor,
        segment: &OpenSegment,
    ) -> Result<Option<TornTail>, Error> {
        loop {
            let at = cursor.at;
            match cursor.next() {
                Ok(record) => {
                    self.apply(segment.named.segment, record)
                        .map_err(|reason| segment.corrupt(at, reason))?;
                }
                Err(reason) => {
                    return match cursor.behind() {
                        Behind::Nothing => Ok(None),
                        Behind::Torn => {
                            mark!("wal.torn_tail_cut");
                            Ok(Some(TornTail { file: segment.path.clone(), offset: u64::from(at) }))
                        }
                        Behind::Proof(proof) => {
                            let known =
                                format!("; the record at byte {proof} was written after its sync");
                            Err(segment.corrupt(at, format!("{reason}{known}")))
                        }
                    };
                }
            }
        }
    }

    fn apply(&mut self, segment: u64, record: Record) -> Result<(), &'static str> {
        let mark = marker(&record);
        let state = self.state.as_mut().ok_or("a record came before the segment's base")?;
        match record.kind {
            Kind::Entry => {
                let kind = EntryKind::from_number(record.header.flag)
                    .ok_or("the entry is of an unknown kind")?;
                state.check_entry(mark.index, mark.term)?;
                state.push(mark.index, mark.term);
                self.held_from = self.held_from.min(mark.index);
                self.index_max = self.index_max.max(mark.index.0);
                while self.entries.back().is_some_and(|(entry, _)| entry.index >= mark.index) {
                    mark!("wal.overruled_entry_read");
                    self.entries.pop_back();
                }
                if mark.index >= self.from {
                    let entry =
                        Entry { term: mark.term, index: mark.index, kind, data: record.payload };
                    self.entries.push_back((entry, segment));
                }
            }
            Kind::State => {
                if record.payload.len() != 8 {
                    return Err("the hard state has the wrong length");
                }
                state.base.hard_state.term = mark.term;
                state.base.hard_state.commit = mark.index;
                state.base.hard_state.vote = MemberId(get64(&record.payload, 0));
            }
            Kind::Compact => {
                state.compact(mark)?;
                if record.header.flag != 0 {
                    state.base.conf = Bytes::copy_from_slice(&record.payload);
                }
                while self.entries.front().is_some_and(|(entry, _)| entry.index <= mark.index) {
                    self.entries.pop_front();
                }
            }
            Kind::Restart => {
                mark!("wal.snapshot_mark_read");
                state.restart(mark)?;
                state.base.conf = Bytes::copy_from_slice(&record.payload);
                self.entries.clear();
                self.held_from = mark.index.next();
                (self.index_max, self.restarted) = (0, true);
            }
            Kind::Base => return Err("a segment's base is not its first record"),
            Kind::Open if state.base.last != mark => {
                return Err("the log was opened with another last entry");
            }
            Kind::Open | Kind::Attest => {}
        }
        Ok(())
    }

    /// Lets nothing in older segments count behind a restart, and stops entries from holding
    /// a segment in memory of which they are a small part.
    fn finish_segment(&mut self, segment: u64, bytes_len: usize, older: &mut VecDeque<Sealed>) {
        if self.restarted {
            older.iter_mut().for_each(|sealed| sealed.index_max = 0);
        }
        let of_segment = self.entries.iter().rev().take_while(|(_, from)| *from == segment);
        let kept: usize = of_segment.map(|(entry, _)| entry.data.len()).sum();
        if kept < bytes_len / SHARED_PART_MIN {
            for (entry, _) in self.entries.iter_mut().rev().take_while(|(_, from)| *from == segment)
            {
                entry.data = Bytes::copy_from_slice(&entry.data);
            }
        }
    }

    /// Every entry behind the start mark must have been read.
    fn check_whole(&self, segment: &OpenSegment) -> Result<(), Error> {
        let start = self.state.as_ref().map(|state| state.base.start.index).unwrap_or_default();
        if self.held_from > start.next() {
            let reason = format!(
                "the log must begin behind index {start}, but begins at {}: a segment is missing",
                self.held_from
            );
            return Err(segment.corrupt(0, reason));
        }
        Ok(())
    }

    fn recovered(&mut self, torn: Option<TornTail>) -> Recovered {
        let state = self.state.clone().unwrap_or_default();
        // The last whole record goes with the torn one behind it.
        if torn.is_some() && self.entries.len() > 1 && planted!("wal.torn_tail_cut_early") {
            self.entries.pop_back();
        }
        let entries: Vec<Entry> =
            std::mem::take(&mut self.entries).into_iter().map(|(entry, _)| entry).collect();
        let before = entries.first().map_or(state.base.last, |first| {
            let index = LogIndex(first.index.0 - 1);
            Marker { index, term: state.term(index).unwrap_or_default() }
        });
        Recovered {
            hard_state: state.base.hard_state,
            start: state.base.start,
            conf: state.base.conf,
            last: state.base.last,
            before,
            entries,
            torn,
        }
    }
}

fn marker(record: &Record) -> Marker {
    Marker { index: LogIndex(record.header.index), term: Term(record.header.term) }
}

#[cfg(test)]
mod tests;
