//! Which key and which value comes next, from a seed alone.

use bytes::Bytes;

use crate::args::Common;

/// Bytes that values are cut from.
const POOL_BYTES: usize = 4 << 20;

/// The key space and a pool of values.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: Vec<u8>,
    digits: usize,
    number: u64,
    sequential: bool,
    seed: u64,
    val_size: usize,
    pool: Bytes,
}

impl Keys {
    pub(crate) fn new(common: &Common) -> Keys {
        let prefix = common.prefix.clone().into_bytes();
        let digits = (common.key_size as usize).saturating_sub(prefix.len());
        let mut state = common.seed;
        let mut pool = vec![0; POOL_BYTES];
        for word in pool.chunks_exact_mut(8) {
            state = state.wrapping_add(1);
            word.copy_from_slice(&mix(state).to_le_bytes());
        }
        Keys {
            prefix,
            // All keys must differ, whatever size was asked for.
            digits: digits.max(decimal_digits(common.keys - 1)),
            number: common.keys,
            sequential: common.sequential,
            seed: common.seed,
            val_size: common.val_size as usize,
            pool: pool.into(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The key that the n-th request is about.
    pub(crate) fn pick(&self, request: u64) -> u64 {
        let place = if self.sequential { request } else { mix(request ^ mix(self.seed)) };
        place % self.number
    }

    /// A key by its place in the order of keys.
    pub(crate) fn key(&self, place: u64) -> Bytes {
        let digits = self.digits;
        let mut key = self.prefix.clone();
        key.extend_from_slice(format!("{place:0digits$}").as_bytes());
        key.into()
    }

    /// The value that the n-th request writes.
    pub(crate) fn value(&self, request: u64) -> Bytes {
        let room = (self.pool.len() - self.val_size) as u64;
        let at = usize::try_from(mix(request) % room).unwrap_or(0);
        self.pool.slice(at..at + self.val_size)
    }

    /// The value of the n-th request, beginning with a number.
    pub(crate) fn stamped_value(&self, request: u64, stamp: u64) -> Bytes {
        let mut value = stamp.to_be_bytes().to_vec();
        value.extend_from_slice(self.value(request).get(8..).unwrap_or_default());
        value.into()
    }

    /// The range of exactly these keys, from the first to just after the last.
    pub(crate) fn all(&self) -> (Bytes, Bytes) {
        let mut end = self.key(self.number - 1).to_vec();
        end.push(0);
        (self.key(0), end.into())
    }

    /// The range of everything that begins with the prefix, also of other runs.
    pub(crate) fn under_prefix(&self) -> (Bytes, Bytes) {
        let mut end = self.prefix.clone();
        while end.pop_if(|last| *last == u8::MAX).is_some() {}
        match end.last_mut() {
            Some(last) => *last += 1,
            None => end.push(0),
        }
        let start = if self.prefix.is_empty() { vec![0] } else { self.prefix.clone() };
        (start.into(), end.into())
    }
}

fn decimal_digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Spreads numbers evenly over all others (the finalizer of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn keys(line: &str) -> Keys {
        let line = format!("bench put {line}");
        Keys::new(&crate::Bench::try_parse_from(line.split_whitespace()).unwrap().common)
    }

    #[test]
    fn sizes() {
        let keys = keys("--key-size 10 --val-size 7 --keys 1000 --prefix p/");
        assert_eq!(keys.key(5), "p/00000005");
        assert_eq!(keys.value(3).len(), 7);
        assert_eq!(keys.stamped_value(3, 1).len(), 8);
        assert_eq!(keys.all(), (Bytes::from("p/00000000"), Bytes::from("p/00000999\0")));
        assert_eq!(keys.under_prefix(), (Bytes::from("p/"), Bytes::from("p0")));
    }

    #[test]
    fn keys_differ_even_if_they_are_to_be_short() {
        let keys = keys("--key-size 1 --keys 1000 --prefix p/");
        assert_eq!((keys.key(0), keys.key(999)), (Bytes::from("p/000"), Bytes::from("p/999")));
    }

    #[test]
    fn picks_cover_the_space_and_follow_the_seed() {
        let picks = |keys: Keys| (0..1000).map(move |i| keys.pick(i)).collect::<Vec<_>>();
        let mut seen = picks(keys("--keys 50"));
        assert_eq!(seen, picks(keys("--keys 50")));
        assert_ne!(seen, picks(keys("--keys 50 --seed 2")));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 50);
        let in_order = keys("--keys 3 --sequential");
        assert_eq!([0, 1, 2, 3].map(|i| in_order.pick(i)), [0, 1, 2, 0]);
    }
}
