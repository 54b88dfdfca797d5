//! The keys and values of the load, small enough to be kept by the million.

use bytes::Bytes;
use drystone_api::mvccpb;
use drystone_api::mvccpb::event::EventType;
use std::fmt;

/// What all keys of the load begin with.
pub(crate) const PREFIX: &str = "torture/";
/// The end of the range of all keys with [`PREFIX`].
pub(crate) const PREFIX_END: &str = "torture0";
/// Most keys, each with a shadow: their names sort as their numbers do.
pub(crate) const KEYS_MAX: u16 = 9_999;

/// One key of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    // First, so that keys sort as their names.
    shadow: bool,
    number: u16,
}

impl Key {
    /// The key of that number.
    pub(crate) fn plain(number: u16) -> Key {
        Key { shadow: false, number }
    }

    /// The key that guarded transactions write together with this one.
    pub(crate) fn shadow(self) -> Key {
        Key { shadow: true, ..self }
    }

    /// The key `distance` places on; plain keys only meet plain keys.
    pub(crate) fn plus(self, distance: u16) -> Key {
        Key { number: self.number.saturating_add(distance), ..self }
    }

    /// The name on the wire.
    pub(crate) fn name(self) -> Bytes {
        self.to_string().into()
    }

    /// Reads a name.
    pub(crate) fn parse(name: &[u8]) -> Result<Key, String> {
        let strange = || format!("a key that nobody wrote: {:?}", String::from_utf8_lossy(name));
        let text = std::str::from_utf8(name).map_err(|_| strange())?;
        let rest = text.strip_prefix(PREFIX).ok_or_else(strange)?;
        let (shadow, digits) = match rest.split_at_checked(1) {
            Some(("k", digits)) => (false, digits),
            Some(("s", digits)) => (true, digits),
            _ => return Err(strange()),
        };
        let number = digits.parse().map_err(|_| strange())?;
        let key = Key { shadow, number };
        if key.to_string() == text { Ok(key) } else { Err(strange()) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}{:04}", if self.shadow { 's' } else { 'k' }, self.number)
    }
}

/// A value that is written by one operation of the load and by no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Value(u64);

/// Lengths of values go round up to this, in bytes.
const FILLER_BYTES_MAX: u64 = 300;
const DIGITS: usize = 16;
/// Operations of one client.
const SERIAL_BITS: u32 = 40;

impl Value {
    /// The value of a client's operation.
    pub(crate) fn new(client: u16, serial: u64) -> Value {
        Value((u64::from(client) << SERIAL_BITS) | (serial & ((1 << SERIAL_BITS) - 1)))
    }

    /// The bytes on the wire: the number, and a filler that follows from it.
    pub(crate) fn render(self) -> Bytes {
        let digits = format!("{:0DIGITS$x}", self.0);
        let filler = usize::try_from(self.0 % FILLER_BYTES_MAX).unwrap_or(0);
        digits.bytes().cycle().take(DIGITS + filler).collect()
    }

    /// Reads the bytes; every one must be as [`Value::render`] makes it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Value, String> {
        let mangled = || format!("a mangled value: {:?}", String::from_utf8_lossy(bytes));
        let digits = bytes.get(..DIGITS).ok_or_else(mangled)?;
        let digits = std::str::from_utf8(digits).map_err(|_| mangled())?;
        let value = u64::from_str_radix(digits, 16).map(Value).map_err(|_| mangled())?;
        if value.render() == bytes { Ok(value) } else { Err(mangled()) }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.0 >> SERIAL_BITS, self.0 & ((1 << SERIAL_BITS) - 1))
    }
}

/// A key with its value, as a server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    pub(crate) key: Key,
    pub(crate) value: Value,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) version: i64,
}

impl Pair {
    pub(crate) fn read(kv: &mvccpb::KeyValue) -> Result<Pair, String> {
        let key = Key::parse(&kv.key)?;
        let value = Value::parse(&kv.value).map_err(|why| format!("{key} has {why}"))?;
        if kv.lease != 0 {
            return Err(format!("{key} has lease {}, and nobody gave it one", kv.lease));
        }
        Ok(Pair {
            key,
            value,
            created: kv.create_revision,
            modified: kv.mod_revision,
            version: kv.version,
        })
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pair { key, value, created, modified, version } = self;
        write!(f, "{key}={value} (created {created}, modified {modified}, version {version})")
    }
}

/// What happened to one key at one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) revision: i64,
    pub(crate) key: Key,
    /// What was put; `None` for a deletion.
    pub(crate) put: Option<Pair>,
}

impl Change {
    pub(crate) fn read(event: &mvccpb::Event) -> Result<Change, String> {
        let kv = event.kv.as_ref().ok_or("an event without a key")?;
        let revision = kv.mod_revision;
        if event.r#type == i32::from(EventType::Put) {
            let pair = Pair::read(kv)?;
            return Ok(Change { revision, key: pair.key, put: Some(pair) });
        }
        let key = Key::parse(&kv.key)?;
        if event.r#type != i32::from(EventType::Delete) {
            return Err(format!("an event of {key} of type {}", event.r#type));
        }
        let bare = kv.value.is_empty() && kv.create_revision == 0 && kv.version == 0;
        if !bare || kv.lease != 0 {
            return Err(format!("the deletion of {key} at {revision} carries a value"));
        }
        Ok(Change { revision, key, put: None })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.put {
            Some(pair) => write!(f, "{}: put {pair}", self.revision),
            None => write!(f, "{}: delete {}", self.revision, self.key),
        }
    }
}

#[cfg(test)]
mod tests;
