//! What a command printed, with everything hidden that may differ between two good servers:
//! ids, addresses, sizes, terms, log positions, versions and durations.
//!
//! What stands for a hidden thing is the same wherever that thing appears, so that a wrong id
//! in the right place still shows.

use serde_json::Value;

/// Words that are hidden, and what stands for them.
#[derive(Clone, Debug)]
pub struct Mask {
    words: Vec<(String, String)>,
    ids: Vec<(u64, String)>,
    members: usize,
}

/// What stands for a thing that has no identity worth keeping.
const HIDDEN: &str = "#";

/// JSON members whose values are hidden wherever they appear.
const JSON_HIDDEN: &[&str] = &[
    "cluster_id",
    "member_id",
    "raft_term",
    "raftTerm",
    "raftIndex",
    "raftAppliedIndex",
    "dbSize",
    "dbSizeInUse",
    "took",
];
/// Names of `-w fields` whose values are hidden.
const FIELDS_HIDDEN: &[&str] =
    &["ClusterID", "MemberID", "RaftTerm", "RaftIndex", "RaftAppliedIndex", "DBSize", "Took"];
/// Columns of tables whose cells are hidden.
const COLUMNS_HIDDEN: &[&str] =
    &["VERSION", "DB SIZE", "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX", "TOOK"];

/// One finished command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The exit code; `None` when a signal or a timeout ended it.
    pub code: Option<i32>,
}

impl Mask {
    /// A mask that hides nothing by name yet, for a cluster of `members`.
    pub fn new(members: usize) -> Mask {
        Mask { words: Vec::new(), ids: Vec::new(), members }
    }

    /// Hides `word` wherever it appears.
    pub fn hide(&mut self, word: &str, as_: &str) {
        self.words.push((word.to_owned(), as_.to_owned()));
        // A word that holds another one goes first.
        self.words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
    }

    /// Hides a 64-bit id in each way it is printed: hexadecimal, padded, decimal.
    pub fn hide_id(&mut self, id: u64, as_: &str) {
        if id < 1 << 32 {
            // Too short to be told from other numbers; no server chooses such ids.
            return;
        }
        self.hide(&format!("{id:016x}"), as_);
        self.hide(&format!("{id:x}"), as_);
        self.hide(&id.to_string(), as_);
        self.ids.push((id, as_.to_owned()));
    }

    /// The text with words and ids hidden.
    pub fn text(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (word, as_)| text.replace(word, as_))
    }

    /// A finished command as lines to compare: output, errors marked with `!`, exit code.
    pub fn output(&self, output: &Output) -> Vec<String> {
        let mut lines = self.stdout(&output.stdout);
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            let line = match serde_json::from_str::<Value>(line) {
                // The client's own log: time, address and place in its source do not matter.
                Ok(Value::Object(log)) => ["msg", "error"]
                    .iter()
                    .filter_map(|name| log.get(*name).and_then(Value::as_str))
                    .collect::<Vec<_>>()
                    .join(": "),
                _ => line.to_owned(),
            };
            lines.push(format!("! {}", durations_hidden(&self.text(&line))));
        }
        lines.push(match output.code {
            Some(code) => format!("exit {code}"),
            None => "did not end".to_owned(),
        });
        lines
    }

    /// Standard output as lines to compare.
    pub fn stdout(&self, stdout: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(stdout);
        let mut lines = Vec::new();
        let mut header: Option<Vec<String>> = None;
        for line in text.lines() {
            if line.starts_with("+-") {
                continue;
            }
            if line.starts_with('|') && line.ends_with('|') && line.len() > 1 {
                lines.push(self.row(line, &mut header));
                continue;
            }
            header = None;
            lines.push(self.line(line));
        }
        lines
    }

    fn line(&self, line: &str) -> String {
        if line.starts_with(['{', '['])
            && let Ok(mut value) = serde_json::from_str::<Value>(line)
        {
            self.json(&mut value);
            return value.to_string();
        }
        if let Some((name, value)) = line.split_once(" : ")
            && name.starts_with('"')
        {
            return self.field(name, value);
        }
        let line = self.text(line);
        let cells: Vec<&str> = line.split(", ").collect();
        if cells.len() >= 9 && cells[1].starts_with("ID") {
            return self.status(&cells);
        }
        lease_keys_sorted(&durations_hidden(&line))
    }

    /// A line of `endpoint status`: address, id, version, size, leader, learner, term, index,
    /// applied index, errors.
    fn status(&self, cells: &[&str]) -> String {
        let hidden = |n: &usize| matches!(n, 2 | 3 | 6 | 7 | 8) || (*n == 4 && self.members > 1);
        let cells = cells.iter().enumerate();
        let cells: Vec<&str> =
            cells.map(|(n, cell)| if hidden(&n) { HIDDEN } else { *cell }).collect();
        cells.join(", ")
    }

    fn row(&self, line: &str, header: &mut Option<Vec<String>>) -> String {
        let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        let mut cells: Vec<String> = cells.collect();
        match header {
            None => *header = Some(cells.clone()),
            Some(names) => {
                for (name, cell) in names.iter().zip(&mut cells) {
                    let leader = name == "IS LEADER" && self.members > 1;
                    *cell = if leader || COLUMNS_HIDDEN.contains(&name.as_str()) {
                        HIDDEN.to_owned()
                    } else {
                        self.text(cell)
                    };
                }
            }
        }
        format!("| {} |", cells.join(" | "))
    }

    fn field(&self, name: &str, value: &str) -> String {
        let bare = name.trim_matches('"');
        let hidden = FIELDS_HIDDEN.contains(&bare)
            || (bare == "TTL" && value != "0" && value != "-1")
            // A server's version is a text, a key's a number.
            || (bare == "Version" && value.starts_with('"'))
            || (bare == "Leader" && self.members > 1);
        let value = if hidden { HIDDEN.to_owned() } else { self.text(value) };
        format!("{name} : {value}")
    }

    fn json(&self, value: &mut Value) {
        match value {
            Value::Object(object) => {
                let status = object.contains_key("dbSize");
                let lease = object.contains_key("granted-ttl");
                for (name, value) in object.iter_mut() {
                    let hidden = JSON_HIDDEN.contains(&name.as_str())
                        || (status && name == "version")
                        || (status && name == "leader" && self.members > 1)
                        || (lease && name == "ttl" && value.as_i64().is_some_and(|ttl| ttl > 0));
                    if hidden {
                        *value = HIDDEN.into();
                    } else {
                        self.json(value);
                    }
                    if lease && let Value::Array(keys) = value {
                        keys.sort_by_key(Value::to_string);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Number(number) => {
                let known = self.ids.iter().find(|(id, _)| number.as_u64() == Some(*id));
                if let Some((_, as_)) = known {
                    *value = as_.as_str().into();
                }
            }
            Value::String(text) => *text = self.text(text),
            Value::Null | Value::Bool(_) => {}
        }
    }
}

fn durations_hidden(line: &str) -> String {
    hide_after(&hide_after(line, "took = ", None), "remaining(", Some("s)"))
}

/// A lease's keys in order: servers list them in none.
fn lease_keys_sorted(line: &str) -> String {
    let start = "attached keys([";
    let Some((before, rest)) = line.split_once(start) else { return line.to_owned() };
    let Some((keys, after)) = rest.split_once("])") else { return line.to_owned() };
    let mut keys: Vec<&str> = keys.split(' ').collect();
    keys.sort_unstable();
    format!("{before}{start}{}]){after}", keys.join(" "))
}

/// Hides what follows `start`: up to `end`, or the whole rest.
fn hide_after(line: &str, start: &str, end: Option<&str>) -> String {
    let Some(at) = line.find(start).map(|at| at + start.len()) else { return line.to_owned() };
    let stop = match end {
        Some(end) => line[at..].find(end).map(|len| at + len),
        None => Some(line.len()),
    };
    match stop {
        Some(stop) => format!("{}{HIDDEN}{}", &line[..at], &line[stop..]),
        None => line.to_owned(),
    }
}

/// Where two transcripts part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line's number, from 1.
    pub line: usize,
    /// The last line before it, which both have.
    pub after: String,
    /// The first's line, if it has so many.
    pub first: Option<String>,
    /// The second's line, if it has so many.
    pub second: Option<String>,
}

/// The first line in which two transcripts differ.
pub fn difference(first: &[String], second: &[String]) -> Option<Difference> {
    let lines = first.len().max(second.len());
    let n = (0..lines).find(|n| first.get(*n) != second.get(*n))?;
    Some(Difference {
        line: n + 1,
        after: n.checked_sub(1).and_then(|n| first.get(n)).cloned().unwrap_or_default(),
        first: first.get(n).cloned(),
        second: second.get(n).cloned(),
    })
}

#[cfg(test)]
mod tests;
