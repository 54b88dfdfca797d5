//! Revisions and the key under which a revision is stored.

use std::fmt;

/// Length of the stored key of a put: two big-endian numbers around a separator.
const KEY_BYTES: usize = 17;
/// Length of the stored key of a tombstone: one marker byte more.
const TOMBSTONE_KEY_BYTES: usize = 18;

/// One change of the store: the store-wide `main` revision and the change's place inside it.
///
/// Ordered by `main`, then `sub`; the stored form sorts the same way as bytes
/// (etcd's `server/storage/mvcc/revision.go`).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The store-wide revision, 1 for an empty store, 2 for the first write.
    pub main: i64,
    /// The place of this change among those of the same `main`, from 0.
    pub sub: i64,
}

impl Revision {
    /// The first change of `main`.
    #[must_use]
    pub fn first(main: i64) -> Self {
        Self { main, sub: 0 }
    }

    /// The stored key: `main` big-endian, `_`, `sub` big-endian, and `t` after a tombstone's.
    #[must_use]
    pub fn to_key(self, tombstone: bool) -> Vec<u8> {
        let mut key = Vec::with_capacity(TOMBSTONE_KEY_BYTES);
        key.extend_from_slice(&self.main.to_be_bytes());
        key.push(b'_');
        key.extend_from_slice(&self.sub.to_be_bytes());
        if tombstone {
            key.push(b't');
        }
        key
    }

    /// Reads a stored key back: the revision, and whether it marks a tombstone. `None` when
    /// the bytes are not such a key.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<(Self, bool)> {
        let tombstone = match key.len() {
            KEY_BYTES => false,
            TOMBSTONE_KEY_BYTES if key[KEY_BYTES] == b't' => true,
            _ => return None,
        };
        if key[8] != b'_' {
            return None;
        }
        let main = i64::from_be_bytes(key[..8].try_into().ok()?);
        let sub = i64::from_be_bytes(key[9..KEY_BYTES].try_into().ok()?);
        Some((Self { main, sub }, tombstone))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.main, self.sub)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_like_revisions_and_read_back() {
        let revisions = [(1, 0), (2, 0), (2, 1), (255, 9), (256, 0), (1 << 40, 3)];
        let mut last: Option<Vec<u8>> = None;
        for (main, sub) in revisions {
            let revision = Revision { main, sub };
            for tombstone in [false, true] {
                let key = revision.to_key(tombstone);
                assert_eq!(Revision::from_key(&key), Some((revision, tombstone)));
                if let Some(last) = &last {
                    assert!(last < &key);
                }
                last = Some(key);
            }
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(Revision::from_key(b""), None);
        assert_eq!(Revision::from_key(&[0; 17]), None);
        let mut key = Revision::first(3).to_key(true);
        key[17] = b'x';
        assert_eq!(Revision::from_key(&key), None);
    }
}
