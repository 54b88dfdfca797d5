//! Keys, values and passwords that nobody can mistake, and how they are found in bytes.

use rand::Rng;
use rand::rngs::StdRng;
use std::collections::HashSet;

/// What keys begin with. Rights end at these, or are about one plain key.
pub(super) const AREAS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Marked names in one area: plain keys, then a lock, then an election.
const NAMES: usize = 6;
const LOCK: usize = 4;
const ELECTION: usize = 5;
/// All marked names.
pub(super) const MARKED: usize = AREAS.len() * NAMES;
/// Letters that all marks of a run begin with.
const SENTINEL: usize = 10;
/// Digits of a key's number, and of a write's.
const KEY_DIGITS: usize = 2;
const SERIAL_DIGITS: usize = 9;
/// Letters of a simple token before its dot.
const TOKEN_LETTERS: usize = 16;

/// What was found in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A key, or the name of a lock or an election.
    Key(usize),
    /// What a write left in a key.
    Value { key: usize, serial: usize },
    /// A password, or what is none of these.
    Other,
}

/// The marks of one run.
#[derive(Debug)]
pub(super) struct Marks {
    sentinel: String,
}

impl Marks {
    pub(super) fn new(random: &mut StdRng) -> Self {
        let letter = |_| char::from(b"BCDFGHJKLMNPQRSTVWXZ"[random.random_range(0..20)]);
        Self { sentinel: (0..SENTINEL).map(letter).collect() }
    }

    /// A plain key, or the name of a lock or an election.
    pub(super) fn name(&self, key: usize) -> String {
        format!("{}/{}k{key:0KEY_DIGITS$}", AREAS[key / NAMES], self.sentinel)
    }

    pub(super) fn value(&self, key: usize, serial: usize) -> String {
        format!("{}v{key:0KEY_DIGITS$}{serial:0SERIAL_DIGITS$}", self.sentinel)
    }

    pub(super) fn password(&self, user: usize, turn: usize) -> String {
        format!("{}p{user}.{turn}", self.sentinel)
    }

    /// The keys that a name stands for: itself, or what queues up below it.
    pub(super) fn span(&self, key: usize) -> (String, String) {
        let name = self.name(key);
        match key % NAMES {
            LOCK | ELECTION => (format!("{name}/"), format!("{name}0")),
            _ => (name.clone(), format!("{name}\0")),
        }
    }

    pub(super) fn plain(random: &mut StdRng) -> usize {
        random.random_range(0..AREAS.len()) * NAMES + random.random_range(0..LOCK)
    }

    pub(super) fn lock(random: &mut StdRng) -> usize {
        random.random_range(0..AREAS.len()) * NAMES + LOCK
    }

    pub(super) fn election(random: &mut StdRng) -> usize {
        random.random_range(0..AREAS.len()) * NAMES + ELECTION
    }

    /// All marks in `bytes`.
    pub(super) fn find(&self, bytes: &[u8]) -> Vec<Mark> {
        let places = places(bytes, self.sentinel.as_bytes());
        places.into_iter().map(|place| read(&bytes[place + SENTINEL..])).collect()
    }

    /// What a mark looks like where bytes are shown: as they are, as numbers, as hexadecimal.
    pub(super) fn shown(&self) -> Vec<String> {
        let bytes = self.sentinel.as_bytes();
        let numbers = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        vec![self.sentinel.clone(), numbers, digits.to_uppercase(), digits]
    }
}

fn places(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    let begins = bytes.iter().enumerate().filter(|(_, byte)| **byte == needle[0]);
    begins.map(|(place, _)| place).filter(|place| bytes[*place..].starts_with(needle)).collect()
}

fn read(rest: &[u8]) -> Mark {
    let number = |from: usize, digits: usize| -> Option<usize> {
        std::str::from_utf8(rest.get(from..from + digits)?).ok()?.parse().ok()
    };
    let key = number(1, KEY_DIGITS).filter(|key| *key < MARKED);
    match (rest.first(), key, number(1 + KEY_DIGITS, SERIAL_DIGITS)) {
        (Some(b'k'), Some(key), _) => Mark::Key(key),
        (Some(b'v'), Some(key), Some(serial)) => Mark::Value { key, serial },
        _ => Mark::Other,
    }
}

/// Everything in `bytes` that may be a simple token.
pub(super) fn tokens(bytes: &[u8]) -> HashSet<String> {
    let mut found = HashSet::new();
    for (place, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'.') {
        let Some(begin) = place.checked_sub(TOKEN_LETTERS) else { continue };
        let word = &bytes[begin..place];
        let digits = bytes[place + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 && word.iter().all(u8::is_ascii_alphabetic) {
            found.insert(String::from_utf8_lossy(&bytes[begin..=place + digits]).into_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn marks_are_found_wherever_they_are() {
        let marks = Marks::new(&mut StdRng::seed_from_u64(1));
        let text = format!("x{}y{}{}", marks.name(7), marks.value(3, 12), marks.password(1, 2));
        let found = [Mark::Key(7), Mark::Value { key: 3, serial: 12 }, Mark::Other];
        assert_eq!(marks.find(text.as_bytes()), found);
        assert_eq!(marks.find(&text.as_bytes()[4..]), found[1..]);
        assert_eq!(marks.find(b"nothing"), []);
        let line = b"token=hsuEZDJyIutCAcuV.44, and e.g. v3.5.1";
        assert_eq!(tokens(line), HashSet::from(["hsuEZDJyIutCAcuV.44".to_owned()]));
    }
}
