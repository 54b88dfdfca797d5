//! How a story is written: cases, each a request and what is answered.
//!
//! ```text
//! ## a pair is put
//! POST /v3/kv/put
//! Authorization: $token
//! | {"key":"YQ==","value":"MQ=="}
//! > 200 application/json grpc
//! > {"header":{"cluster_id":"id1", …}}
//! ~ 3.4 3.5 why these rightly answer otherwise
//! ```
//!
//! Lines of a body begin with `|`; there may be none. `lines=2` behind the path reads two lines
//! of an answer that does not end. `$token`, `$member` and `$added` stand for what earlier
//! answers named, `$long` for bytes that are too many. A line with `!` says why Drystone rightly answers otherwise than etcd 3.7.

use std::fmt::Write as _;
use thiserror::Error;

/// A file of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The file's name.
    pub name: String,
    /// Its cases, which run one after the other on one member.
    pub cases: Vec<Case>,
    /// What stands before the first case.
    preface: String,
}

/// A request and its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The method of HTTP.
    pub method: String,
    /// The path of HTTP.
    pub path: String,
    /// How many lines of the answer are read; none reads to its end.
    pub lines: Option<usize>,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<String>,
    /// The answer, as lines.
    pub expected: Vec<String>,
    /// Why etcd 3.7 answers otherwise than is expected here.
    pub ours: Option<String>,
    /// Beginnings of versions of etcd that rightly answer otherwise, each with the reason.
    pub older: Vec<(String, String)>,
}

/// A story that cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{story}, line {line}: {what}")]
pub struct ScriptError {
    story: String,
    line: usize,
    what: &'static str,
}

impl Case {
    /// Why this etcd may answer otherwise, when it may.
    pub(crate) fn otherwise(&self, version: &str) -> Option<String> {
        let older = self.older.iter().find(|(start, _)| version.starts_with(start.as_str()));
        older.map(|(_, reason)| reason.clone()).or_else(|| self.ours.clone())
    }
}

impl Story {
    /// Reads a file.
    ///
    /// # Errors
    /// A line that means nothing where it stands.
    pub fn parse(name: &str, text: &str) -> Result<Story, ScriptError> {
        let mut story = Story { name: name.to_owned(), cases: Vec::new(), preface: String::new() };
        for (number, line) in text.lines().enumerate() {
            let wrong = |what| ScriptError { story: name.to_owned(), line: number + 1, what };
            if let Some(name) = line.strip_prefix("## ") {
                story.cases.push(Case { name: name.to_owned(), ..Case::default() });
                continue;
            }
            match story.cases.last_mut() {
                None => story.preface.extend([line, "\n"]),
                Some(case) => case.take(line).map_err(wrong)?,
            }
        }
        Ok(story)
    }

    /// The file with other answers, except where Drystone goes its own way.
    #[must_use]
    pub fn with_answers(mut self, answers: Vec<Vec<String>>) -> Story {
        for (case, answer) in self.cases.iter_mut().zip(answers) {
            if case.ours.is_none() {
                case.expected = answer;
            }
        }
        self
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = self.preface.clone();
        for (at, case) in self.cases.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { "\n" });
            case.write(&mut text);
        }
        text
    }
}

impl Case {
    fn take(&mut self, line: &str) -> Result<(), &'static str> {
        let (mark, rest) = line.split_at(line.len().min(1));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        match mark {
            "" => {}
            ">" => self.expected.push(rest.to_owned()),
            "!" => self.ours = Some(rest.to_owned()),
            "~" => self.take_note(rest)?,
            "|" => match &mut self.body {
                Some(body) => body.extend(["\n", rest]),
                None => self.body = Some(rest.to_owned()),
            },
            _ if self.method.is_empty() => self.take_request(line)?,
            _ => {
                let (name, value) = line.split_once(": ").ok_or("neither a header nor a mark")?;
                self.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }

    fn take_request(&mut self, line: &str) -> Result<(), &'static str> {
        let mut words = line.split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Err("a request is a method and a path");
        };
        (self.method, self.path) = (method.to_owned(), path.to_owned());
        if let Some(word) = words.next() {
            let count = word.strip_prefix("lines=").and_then(|count| count.parse().ok());
            self.lines = Some(count.ok_or("only lines=NUMBER may follow a path")?);
        }
        Ok(())
    }

    fn take_note(&mut self, note: &str) -> Result<(), &'static str> {
        let words: Vec<&str> = note.split(' ').collect();
        let is_version = |word: &&&str| word.starts_with(|c: char| c.is_ascii_digit());
        let count = words.iter().take_while(is_version).count();
        let reason = words[count..].join(" ");
        if count == 0 || reason.is_empty() {
            return Err("a note is versions and a reason");
        }
        let versions = words[..count].iter();
        self.older.extend(versions.map(|version| ((*version).to_owned(), reason.clone())));
        Ok(())
    }

    fn write(&self, text: &mut String) {
        let lines = self.lines.map(|count| format!(" lines={count}")).unwrap_or_default();
        let _ = writeln!(text, "## {}\n{} {}{lines}", self.name, self.method, self.path);
        for (name, value) in &self.headers {
            let _ = writeln!(text, "{name}: {value}");
        }
        for line in self.body.iter().flat_map(|body| body.split('\n')) {
            text.push_str(format!("| {line}").trim_end());
            text.push('\n');
        }
        for line in &self.expected {
            text.push_str(format!("> {line}").trim_end());
            text.push('\n');
        }
        if let Some(reason) = &self.ours {
            let _ = writeln!(text, "! {reason}");
        }
        let mut notes: Vec<(&str, Vec<&str>)> = Vec::new();
        for (version, reason) in &self.older {
            match notes.iter_mut().find(|(known, _)| known == reason) {
                Some((_, versions)) => versions.push(version),
                None => notes.push((reason, vec![version])),
            }
        }
        for (reason, versions) in notes {
            let _ = writeln!(text, "~ {} {reason}", versions.join(" "));
        }
    }
}
