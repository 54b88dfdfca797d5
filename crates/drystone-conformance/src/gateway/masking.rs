//! What two good servers may say differently is hidden, and what later requests need is kept.

use std::collections::HashMap;

/// Members of JSON whose values are hidden wherever they stand.
const HIDDEN: [&str; 14] = [
    "raft_term",
    "raftTerm",
    "raftIndex",
    "raftAppliedIndex",
    "dbSize",
    "dbSizeInUse",
    "dbSizeQuota",
    "hash",
    "token",
    "blob",
    "remaining_bytes",
    "TTL",
    "version",
    "storageVersion",
];
/// Decimals of so many digits are ids: of members, clusters and leases that servers choose.
const ID_DIGITS: usize = 10;

/// Bytes that `$long` stands for, as base64: more than a message may have.
const LONG_BYTES: usize = 2_400_000;

/// Hides ids behind names that are the same wherever the same id stands.
#[derive(Debug)]
pub(crate) struct Masking {
    words: [(String, &'static str); 2],
    ids: HashMap<String, String>,
}

impl Masking {
    pub(crate) fn new(client_address: &str, peer_address: &str) -> Self {
        let words = [(client_address.to_owned(), "CLIENT"), (peer_address.to_owned(), "PEER")];
        Self { words, ids: HashMap::new() }
    }

    /// A body with everything hidden that is of the moment. Snapshots become one line.
    pub(crate) fn text(&mut self, body: &str) -> String {
        let mut text = body.to_owned();
        for (word, name) in &self.words {
            text = text.replace(word, name);
        }
        let text = members_in_order(&values_hidden(&without_gaps(&text)));
        let text = self.ids_named(&text);
        let mut lines: Vec<&str> = text.split('\n').collect();
        lines.dedup_by(|line, last| line.contains("\"blob\"") && last.contains("\"blob\""));
        lines.join("\n")
    }

    /// Names each long number that stands in quotes.
    fn ids_named(&mut self, text: &str) -> String {
        let pieces: Vec<String> = text
            .split('"')
            .map(|piece| {
                let is_id =
                    piece.len() >= ID_DIGITS && piece.bytes().all(|byte| byte.is_ascii_digit());
                if !is_id {
                    return piece.to_owned();
                }
                let next = format!("id{}", self.ids.len() + 1);
                self.ids.entry(piece.to_owned()).or_insert(next).clone()
            })
            .collect();
        pieces.join("\"")
    }
}

/// Members stand in the order of their ids, which are of the moment: here in that of the rest.
fn members_in_order(text: &str) -> String {
    const START: &str = "\"members\":[";
    let Some((before, rest)) = text.split_once(START) else { return text.to_owned() };
    let Some((list, after)) = rest.split_once("}]") else { return text.to_owned() };
    let mut members: Vec<&str> = list.split("},").collect();
    members.sort_by_key(|member| member.split_once(',').map(|(_, rest)| rest));
    format!("{before}{START}{}}}]{after}", members.join("},"))
}

/// Go's newer writers put spaces behind some commas, on purpose and at random.
fn without_gaps(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for letter in text.chars() {
        if letter == ' ' && !quoted && out.ends_with([',', ':']) {
            continue;
        }
        quoted ^= letter == '"' && !escaped;
        escaped = quoted && letter == '\\' && !escaped;
        out.push(letter);
    }
    out
}

/// Hides the values of [`HIDDEN`]. A time to live that was asked for stays, and so does the
/// version of a key.
fn values_hidden(text: &str) -> String {
    let keeps_ttl = !text.contains("\"grantedTTL\"");
    let mut out = text.to_owned();
    for name in HIDDEN {
        let start = format!("\"{name}\":");
        let mut from = 0;
        while let Some(at) = out[from..].find(&start).map(|at| from + at + start.len()) {
            from = at;
            let rest = &out[at..];
            let length = match rest.strip_prefix('"') {
                Some(value) => value.find('"').map_or(rest.len(), |end| end + 2),
                None => rest.find([',', '}']).unwrap_or(rest.len()),
            };
            let value = &rest[..length];
            let stays = (name == "TTL" && keeps_ttl) || (name == "version" && !value.contains('.'));
            if !stays {
                out.replace_range(at..at + length, "\"#\"");
            }
        }
    }
    out
}

/// What later requests may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    found: HashMap<&'static str, String>,
}

impl Names {
    /// Keeps what an answer names.
    pub(crate) fn learn(&mut self, body: &str) {
        for (name, start) in [
            ("$token", "\"token\":\""),
            ("$member", "\"member_id\":\""),
            ("$added", "\"member\":{\"ID\":\""),
        ] {
            let value = body.split_once(start).and_then(|(_, rest)| rest.split_once('"'));
            if let Some((value, _)) = value {
                self.found.insert(name, value.to_owned());
            }
        }
    }

    /// A text of a request with names replaced by what they stand for.
    pub(crate) fn filled_in(&self, text: &str) -> String {
        let text = match text.contains("$long") {
            true => &text.replace("$long", &"QUFB".repeat(LONG_BYTES / 3)),
            false => text,
        };
        self.found.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}
