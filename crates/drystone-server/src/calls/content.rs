//! What may be told of a request: its shape and the folders of its keys, never a value.
//!
//! What is not in the tables here is not told. The bytes may be the beginning of a message only.

use std::fmt::Write as _;

/// Bytes of a key's folder that are told.
const FOLDER_BYTES_MAX: usize = 64;
/// Transactions within transactions that are looked into.
const DEPTH_MAX: usize = 8;

/// A part of a message that may be told.
#[derive(Debug)]
struct Field {
    number: u64,
    name: &'static str,
    kind: Kind,
}

/// How a part is told.
#[derive(Debug)]
enum Kind {
    /// By its folder and how long it is.
    Key,
    /// By how long it is.
    Size,
    Number,
    Bool,
    /// By the name of its number.
    Word(&'static [&'static str]),
    Message(&'static [Field]),
    /// A message that may come any number of times; it is told that it has none, too.
    Messages(&'static [Field]),
}

const fn field(number: u64, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind }
}

static RANGE: [Field; 13] = [
    field(1, "key", Kind::Key),
    field(2, "range_end", Kind::Key),
    field(3, "limit", Kind::Number),
    field(4, "revision", Kind::Number),
    field(5, "sort_order", Kind::Word(&["NONE", "ASCEND", "DESCEND"])),
    field(6, "sort_target", Kind::Word(&["KEY", "VERSION", "CREATE", "MOD", "VALUE"])),
    field(7, "serializable", Kind::Bool),
    field(8, "keys_only", Kind::Bool),
    field(9, "count_only", Kind::Bool),
    field(10, "min_mod_revision", Kind::Number),
    field(11, "max_mod_revision", Kind::Number),
    field(12, "min_create_revision", Kind::Number),
    field(13, "max_create_revision", Kind::Number),
];

static PUT: [Field; 6] = [
    field(1, "key", Kind::Key),
    field(2, "value", Kind::Size),
    field(3, "lease", Kind::Number),
    field(4, "prev_kv", Kind::Bool),
    field(5, "ignore_value", Kind::Bool),
    field(6, "ignore_lease", Kind::Bool),
];

static DELETE_RANGE: [Field; 3] =
    [field(1, "key", Kind::Key), field(2, "range_end", Kind::Key), field(3, "prev_kv", Kind::Bool)];

static COMPARE: [Field; 9] = [
    field(1, "result", Kind::Word(&["EQUAL", "GREATER", "LESS", "NOT_EQUAL"])),
    field(2, "target", Kind::Word(&["VERSION", "CREATE", "MOD", "VALUE", "LEASE"])),
    field(3, "key", Kind::Key),
    field(4, "version", Kind::Number),
    field(5, "create_revision", Kind::Number),
    field(6, "mod_revision", Kind::Number),
    field(7, "value", Kind::Size),
    field(8, "lease", Kind::Number),
    field(64, "range_end", Kind::Key),
];

static OPERATION: [Field; 4] = [
    field(1, "request_range", Kind::Message(&RANGE)),
    field(2, "request_put", Kind::Message(&PUT)),
    field(3, "request_delete_range", Kind::Message(&DELETE_RANGE)),
    field(4, "request_txn", Kind::Message(&TXN)),
];

static TXN: [Field; 3] = [
    field(1, "compare", Kind::Messages(&COMPARE)),
    field(2, "success", Kind::Messages(&OPERATION)),
    field(3, "failure", Kind::Messages(&OPERATION)),
];

/// Messages of which nothing but a key is of interest.
static KEYED: [Field; 1] = [field(1, "key", Kind::Key)];
/// Messages that hold one of those.
static HOLDING: [Field; 1] = [field(1, "", Kind::Message(&KEYED))];

/// The first key in a request, as far as its bytes reach; none where the method takes no key.
pub(super) fn first_key<'a>(service: &str, method: &str, message: &'a [u8]) -> Option<&'a [u8]> {
    let fields: &[Field] = match (service, method) {
        ("etcdserverpb.KV", "RangeStream") => &RANGE,
        ("etcdserverpb.KV", method) => fields(method),
        // A watch begins with the request to make it, a proclamation with the leader's key.
        ("etcdserverpb.Watch", _) | ("v3electionpb.Election", "Proclaim" | "Resign") => &HOLDING,
        ("v3lockpb.Lock" | "v3electionpb.Election", _) => &KEYED,
        _ => &[],
    };
    key_in(fields, message, 0)
}

fn key_in<'a>(fields: &[Field], message: &'a [u8], depth: usize) -> Option<&'a [u8]> {
    if depth > DEPTH_MAX {
        return None;
    }
    fields.iter().find_map(|field| {
        let mut items = Wire(message).filter(|(number, _)| *number == field.number);
        items.find_map(|(_, item)| match (&field.kind, item) {
            (Kind::Key, Item::Bytes { held, .. }) => Some(held),
            (Kind::Message(inner) | Kind::Messages(inner), Item::Bytes { held, .. }) => {
                key_in(inner, held, depth + 1)
            }
            _ => None,
        })
    })
}

/// A field that is a number.
pub(super) fn number(message: &[u8], field: u64) -> Option<i64> {
    Wire(message).find_map(|(number, item)| match item {
        Item::Number(value) if number == field => Some(value.cast_signed()),
        _ => None,
    })
}

/// A field that is bytes, as far as they are there.
pub(super) fn bytes(message: &[u8], field: u64) -> Option<&[u8]> {
    Wire(message).find_map(|(number, item)| match item {
        Item::Bytes { held, .. } if number == field => Some(held),
        _ => None,
    })
}

/// What may be told of requests to the KV service.
fn fields(method: &str) -> &'static [Field] {
    match method {
        "Range" => &RANGE,
        "Put" => &PUT,
        "DeleteRange" => &DELETE_RANGE,
        "Txn" => &TXN,
        _ => &[],
    }
}

/// A request to a method of the KV service, in the form of protobuf's texts. `message` is its
/// beginning, `bytes` says how long it is.
pub(super) fn told(method: &str, message: &[u8], bytes: u64) -> String {
    let mut out = String::new();
    write(&mut out, fields(method), message, 0);
    if (message.len() as u64) < bytes {
        out.push_str("...");
    }
    out
}

/// How often a field comes in a message.
pub(super) fn occurrences(message: &[u8], field: u64) -> i64 {
    let found = Wire(message).filter(|(number, _)| *number == field);
    i64::try_from(found.count()).unwrap_or(i64::MAX)
}

fn write(out: &mut String, fields: &[Field], message: &[u8], depth: usize) {
    if depth > DEPTH_MAX {
        out.push_str("...");
        return;
    }
    for field in fields {
        let items = Wire(message).filter(|(number, _)| *number == field.number);
        let items = items.map(|(_, item)| item);
        if let Kind::Messages(inner) = field.kind {
            let _ = write!(out, "{}:<", field.name);
            for (place, item) in items.enumerate() {
                if let Item::Bytes { held, .. } = item {
                    out.push_str(if place > 0 { " " } else { "" });
                    write(out, inner, held, depth + 1);
                }
            }
            out.push_str("> ");
        } else if let Some(last) = items.last() {
            // Of what should be there once, the last counts.
            write_one(out, field, last, depth);
        }
    }
}

fn write_one(out: &mut String, field: &Field, item: Item<'_>, depth: usize) {
    let name = field.name;
    // Texts can always be written.
    let _ = match (&field.kind, item) {
        (Kind::Key, Item::Bytes { length, held }) => {
            let _ = write!(out, "{name}:\"");
            quote(out, folder(held));
            write!(out, "...\" {name}_size:{length} ")
        }
        (Kind::Size, Item::Bytes { length, .. }) => write!(out, "{name}_size:{length} "),
        (Kind::Number, Item::Number(number)) => write!(out, "{name}:{} ", number.cast_signed()),
        (Kind::Bool, Item::Number(number)) => write!(out, "{name}:{} ", number != 0),
        (Kind::Word(words), Item::Number(number)) => {
            let word = usize::try_from(number).ok().and_then(|at| words.get(at));
            write!(out, "{name}:{} ", word.unwrap_or(&"?"))
        }
        (Kind::Message(inner), Item::Bytes { held, .. }) => {
            let _ = write!(out, "{name}:<");
            write(out, inner, held, depth + 1);
            write!(out, "> ")
        }
        _ => Ok(()),
    };
}

/// What lies before a key's last part: up to the last slash, one at its very end aside.
fn folder(key: &[u8]) -> &[u8] {
    let before_last = &key[..key.len().saturating_sub(1).min(FOLDER_BYTES_MAX)];
    let slash = before_last.iter().rposition(|byte| *byte == b'/');
    &key[..slash.map_or(0, |slash| slash + 1)]
}

/// What several keys may have in common: up to and with the last slash.
pub(super) fn prefix(key: &[u8]) -> &[u8] {
    let begin = &key[..key.len().min(FOLDER_BYTES_MAX)];
    let slash = begin.iter().rposition(|byte| *byte == b'/');
    &key[..slash.map_or(0, |slash| slash + 1)]
}

/// Bytes as protobuf's texts have them.
fn quote(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => drop(write!(out, "\\{byte:03o}")),
        }
    }
}

/// The fields of a message, as far as they can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire<'a>(pub(super) &'a [u8]);

/// One field's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Number(u64),
    /// Bytes, of which the last ones may be missing.
    Bytes {
        length: u64,
        held: &'a [u8],
    },
    /// What no message here has.
    Other,
}

impl<'a> Iterator for Wire<'a> {
    type Item = (u64, Item<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.0;
        self.0 = &[];
        let tag = prost::encoding::decode_varint(&mut rest).ok()?;
        let item = match tag & 7 {
            0 => Item::Number(prost::encoding::decode_varint(&mut rest).ok()?),
            2 => {
                let length = prost::encoding::decode_varint(&mut rest).ok()?;
                let end = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
                let (held, after) = rest.split_at(end);
                rest = after;
                Item::Bytes { length, held }
            }
            kind @ (1 | 5) => {
                rest = rest.get(if kind == 1 { 8 } else { 4 }..)?;
                Item::Other
            }
            _ => return None,
        };
        self.0 = rest;
        Some((tag >> 3, item))
    }
}

#[cfg(test)]
mod tests;
