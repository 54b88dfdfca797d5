//! What the index knows of one key.

use crate::codec::Numbers;
use drystone_probe::{mark, planted};
use drystone_types::Revision;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// The length that stands for every length above it.
const LENGTH_MAX: usize = 0xff_ffff;

/// How many older versions one piece of a [`History`] holds.
const PIECE_VERSIONS: usize = 64;

/// One version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) main: i64,
    pub(crate) sub: u32,
    pub(crate) tombstone: bool,
}

impl Version {
    pub(crate) fn revision(self) -> Revision {
        Revision { main: self.main, sub: i64::from(self.sub) }
    }
}

/// One key: its newest version with its numbers, and the versions before it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    main: i64,
    create_revision: i64,
    version: i64,
    lease: i64,
    older: Option<Arc<History>>,
    sub: u32,
    /// Bytes of the newest version's stored pair, little-endian, at most [`LENGTH_MAX`]. They
    /// lie where the fields around them would leave a gap.
    length: [u8; 3],
    tombstone: bool,
}

/// What compaction leaves of a key.
#[derive(Debug)]
pub(crate) enum Pruned {
    /// All of it.
    Same,
    /// Less.
    Less(Entry),
    /// Nothing.
    Gone,
}

impl Entry {
    /// The entry after a put of a pair of `length` bytes, given the one before it.
    /// `numbers.mod_revision` is `newest.main`.
    pub(crate) fn put(
        before: Option<Self>,
        newest: Version,
        numbers: Numbers,
        length: usize,
    ) -> Self {
        let Numbers { create_revision, version, lease, .. } = numbers;
        let Version { main, sub, tombstone } = newest;
        let older = before.and_then(Self::into_history);
        let [a, b, c, ..] = length.min(LENGTH_MAX).to_le_bytes();
        Self { main, create_revision, version, lease, older, sub, length: [a, b, c], tombstone }
    }

    /// The entry after a delete, given the one before it.
    pub(crate) fn delete(before: Option<Self>, main: i64, sub: u32) -> Self {
        let newest = Version { main, sub, tombstone: true };
        let numbers = match &before {
            Some(before) if planted!("mvcc.version_survives_delete") => before.numbers(),
            _ => Numbers::default(),
        };
        Self::put(before, newest, numbers, 0)
    }

    fn into_history(self) -> Option<Arc<History>> {
        let newest = self.newest();
        let mut older = self.older.unwrap_or_default();
        Arc::make_mut(&mut older).push(newest);
        Some(older)
    }

    pub(crate) fn newest(&self) -> Version {
        Version { main: self.main, sub: self.sub, tombstone: self.tombstone }
    }

    pub(crate) fn is_live(&self) -> bool {
        !self.tombstone
    }

    /// The numbers of the newest version; all but `mod_revision` zero for a tombstone.
    pub(crate) fn numbers(&self) -> Numbers {
        Numbers {
            create_revision: self.create_revision,
            mod_revision: self.main,
            version: self.version,
            lease: self.lease,
        }
    }

    /// Bytes of the newest version's stored pair, unless there are too many to be known here.
    pub(crate) fn length(&self) -> Option<usize> {
        let [a, b, c] = self.length;
        let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        (length < LENGTH_MAX).then_some(length)
    }

    /// The newest version whose main revision is not above `main`, tombstones included.
    pub(crate) fn at(&self, main: i64) -> Option<Version> {
        if self.main <= main {
            return Some(self.newest());
        }
        self.older.as_ref()?.at(main)
    }

    /// The version a read at `main` sees.
    pub(crate) fn live_at(&self, main: i64) -> Option<Version> {
        self.at(main).filter(|version| !version.tombstone)
    }

    /// All versions, oldest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = Version> {
        self.older.iter().flat_map(|older| older.iter()).chain([self.newest()])
    }

    /// Applies compaction at `compact`: drops what no read at or above it can see, and hands
    /// every revision up to `compact` that stays to `keep`.
    ///
    /// Of the versions up to `compact` the newest stays if it is a put, and every tombstone
    /// exactly at `compact` stays, for the watchers that start there (etcd 3.4.34 and 3.5.16 on).
    /// A put at `compact` stays although a tombstone of the same revision precedes it.
    pub(crate) fn prune(&self, compact: i64, keep: &mut Vec<Revision>) -> Pruned {
        let Some(newest) = self.at(compact) else { return Pruned::Same };
        let stays = |version: Version| {
            let replaced = version != self.newest();
            let lost = replaced && planted!("mvcc.compaction_removes_what_is_visible");
            let forgotten = planted!("mvcc.tombstone_at_compaction_lost");
            version.main > compact
                || (version == newest && !version.tombstone && !lost)
                || (version.tombstone && version.main == compact && !forgotten)
        };
        let mut dropped = false;
        for version in self.versions().take_while(|version| version.main <= compact) {
            if stays(version) {
                if version.tombstone {
                    mark!("mvcc.tombstone_kept_at_compaction");
                }
                keep.push(version.revision());
            } else {
                dropped = true;
            }
        }
        if !dropped {
            return Pruned::Same;
        }
        if !stays(self.newest()) {
            mark!("mvcc.key_left_the_index");
            return Pruned::Gone;
        }
        let mut history = History::default();
        if let Some(older) = &self.older {
            older
                .iter()
                .filter(|version| stays(*version))
                .for_each(|version| history.push(version));
        }
        let older = (!history.is_empty()).then(|| Arc::new(history));
        Pruned::Less(Self { older, ..self.clone() })
    }

    /// Bytes of memory held beyond the entry itself.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        let Some(older) = &self.older else { return 0 };
        let sealed: usize =
            older.sealed.iter().flat_map(|sealed| sealed.iter()).map(|p| p.len()).sum();
        size_of::<History>() + (older.tail.capacity() + sealed) * size_of::<Version>()
    }
}

/// Versions of one key, oldest first, in pieces: adding one copies at most one piece, however
/// many versions there are and whoever still reads the older state.
#[derive(Clone, Debug, Default)]
struct History {
    /// Full pieces.
    sealed: Option<Arc<Vec<Arc<[Version]>>>>,
    tail: Vec<Version>,
}

impl History {
    fn is_empty(&self) -> bool {
        self.sealed.is_none() && self.tail.is_empty()
    }

    fn push(&mut self, version: Version) {
        if self.tail.len() == PIECE_VERSIONS {
            mark!("mvcc.history_in_pieces");
            let piece = std::mem::take(&mut self.tail).into();
            Arc::make_mut(self.sealed.get_or_insert_default()).push(piece);
        }
        if self.tail.capacity() == self.tail.len() {
            self.tail.reserve_exact(self.tail.len().clamp(1, 16));
        }
        self.tail.push(version);
    }

    fn iter(&self) -> impl Iterator<Item = Version> {
        let sealed = self.sealed.iter().flat_map(|sealed| sealed.iter());
        sealed.flat_map(|piece| piece.iter()).chain(&self.tail).copied()
    }

    fn at(&self, main: i64) -> Option<Version> {
        let newest = |piece: &[Version]| {
            let at = piece.partition_point(|version| version.main <= main);
            piece[..at].last().copied()
        };
        newest(&self.tail).or_else(|| {
            let sealed = self.sealed.as_ref()?;
            let at = sealed.partition_point(|piece| piece[0].main <= main);
            newest(sealed[..at].last()?)
        })
    }
}
