//! The keys of one lease.

use bytes::Bytes;
use std::collections::BTreeSet;

/// An ordered set that is small while it holds one key, as the leases of locks and sessions do.
#[derive(Clone, Debug, Default)]
pub(crate) enum Keys {
    #[default]
    None,
    One(Bytes),
    Many(BTreeSet<Bytes>),
}

impl Keys {
    pub(crate) fn insert(&mut self, key: Bytes) {
        match self {
            Self::None => *self = Self::One(key),
            Self::One(one) if *one == key => {}
            Self::One(one) => *self = Self::Many([std::mem::take(one), key].into()),
            Self::Many(many) => {
                many.insert(key);
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        match self {
            Self::One(one) if one == key => *self = Self::None,
            Self::None | Self::One(_) => {}
            Self::Many(many) => {
                many.remove(key);
                if many.len() <= 1 {
                    *self = many.pop_first().map_or(Self::None, Self::One);
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(many) => many.len(),
        }
    }

    /// The keys, ascending.
    pub(crate) fn to_vec(&self) -> Vec<Bytes> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one.clone()],
            Self::Many(many) => many.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(changes in proptest::collection::vec((any::<bool>(), 0_u8..5), 0..40)) {
            let (mut keys, mut twin) = (Keys::default(), BTreeSet::new());
            for (insert, key) in changes {
                let key = Bytes::copy_from_slice(&[key]);
                if insert {
                    keys.insert(key.clone());
                    twin.insert(key);
                } else {
                    keys.remove(&key);
                    twin.remove(&key);
                }
                prop_assert_eq!(keys.len(), twin.len());
                prop_assert_eq!(keys.to_vec(), twin.iter().cloned().collect::<Vec<_>>());
            }
        }
    }
}
