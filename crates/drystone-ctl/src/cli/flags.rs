//! pflag's rules: `--f v`, `--f=v`, `-wv`, `-w=v`, bundled letters, flags anywhere until `--`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::go;

/// A flag that a command knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    pub(crate) about: &'static str,
}

/// What a flag's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `--f` or `--f=true`; never takes the next word.
    Bool,
    Text,
    /// Go's integer literals.
    Int,
    /// Go's durations.
    Duration,
    /// Comma-separated; repeating appends.
    List,
}

impl Flag {
    pub(crate) const fn bool(name: &'static str, about: &'static str) -> Flag {
        Flag { name, short: None, kind: Kind::Bool, default: "false", about }
    }
    pub(crate) const fn text(
        name: &'static str,
        default: &'static str,
        about: &'static str,
    ) -> Flag {
        Flag { name, short: None, kind: Kind::Text, default, about }
    }
    pub(crate) const fn int(name: &'static str, about: &'static str) -> Flag {
        Flag { name, short: None, kind: Kind::Int, default: "0", about }
    }
    pub(crate) const fn duration(
        name: &'static str,
        default: &'static str,
        about: &'static str,
    ) -> Flag {
        Flag { name, short: None, kind: Kind::Duration, default, about }
    }
    pub(crate) const fn short(mut self, short: char) -> Flag {
        self.short = Some(short);
        self
    }

    /// The flag as pflag's messages name it.
    fn shown(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}, --{}", self.name),
            None => format!("--{}", self.name),
        }
    }
}

/// Flags and arguments of one command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parsed {
    values: BTreeMap<&'static str, Value>,
    changed: BTreeSet<&'static str>,
    /// What is not a flag, in order. Keys and values need not be UTF-8.
    pub(crate) args: Vec<Vec<u8>>,
    /// How many of [`args`](Parsed::args) stand before `--`, if it was given.
    pub(crate) dash: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Bool(bool),
    Text(String),
    Int(i64),
    Duration(Duration),
    List(Vec<String>),
}

/// Why a command line was not parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// `-h` or `--help` was given.
    Help,
    /// pflag's message.
    Bad(String),
}

impl Parsed {
    /// Sets a flag from text, as `--name text` does. Not counted as changed.
    pub(crate) fn set(&mut self, flag: &Flag, text: &str) -> Result<(), String> {
        let value = match flag.kind {
            Kind::Bool => Value::Bool(parse_bool(text)?),
            Kind::Text => Value::Text(text.to_owned()),
            Kind::Int => Value::Int(go::parse_i64_any_base(text)?),
            Kind::Duration => Value::Duration(go::parse_duration(text)?),
            Kind::List => {
                let words = text.split(',').filter(|_| !text.is_empty()).map(str::to_owned);
                match self.values.get_mut(flag.name) {
                    Some(Value::List(list)) if self.changed.contains(flag.name) => {
                        list.extend(words);
                        return Ok(());
                    }
                    _ => Value::List(words.collect()),
                }
            }
        };
        self.values.insert(flag.name, value);
        Ok(())
    }

    /// Whether the flag stood on the command line.
    pub(crate) fn changed(&self, name: &str) -> bool {
        self.changed.contains(name)
    }

    pub(crate) fn bool(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Value::Bool(true)))
    }
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }
    pub(crate) fn int(&self, name: &str) -> i64 {
        match self.values.get(name) {
            Some(Value::Int(int)) => *int,
            _ => 0,
        }
    }
    pub(crate) fn duration(&self, name: &str) -> Duration {
        match self.values.get(name) {
            Some(Value::Duration(duration)) => *duration,
            _ => Duration::ZERO,
        }
    }
    pub(crate) fn list(&self, name: &str) -> &[String] {
        match self.values.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// A flag's value as text, for `--debug`.
    pub(crate) fn shown(&self, name: &str) -> String {
        match self.values.get(name) {
            Some(Value::Bool(value)) => value.to_string(),
            Some(Value::Text(value)) => value.clone(),
            Some(Value::Int(value)) => value.to_string(),
            Some(Value::Duration(value)) => go::format_duration(*value),
            Some(Value::List(value)) => format!("[{}]", value.join(",")),
            None => String::new(),
        }
    }
}

/// `strconv.ParseBool`.
fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!(
            "strconv.ParseBool: parsing {}: invalid syntax",
            go::quote(text.as_bytes())
        )),
    }
}

/// Parses the words that follow the command's name.
pub(crate) fn parse(flags: &[Flag], words: &[Vec<u8>]) -> Result<Parsed, ParseError> {
    let mut parser = Parser { flags, parsed: Parsed::default(), words: words.iter() };
    for flag in flags {
        parser.parsed.set(flag, flag.default).map_err(ParseError::Bad)?;
    }
    while let Some(word) = parser.words.next() {
        match word.as_slice() {
            b"--" => {
                parser.parsed.dash = Some(parser.parsed.args.len());
                parser.parsed.args.extend(parser.words.by_ref().cloned());
            }
            [b'-', b'-', long @ ..] => parser.long(&lossy(long))?,
            [b'-', short @ ..] if !short.is_empty() => parser.short(&lossy(short))?,
            _ => parser.parsed.args.push(word.clone()),
        }
    }
    Ok(parser.parsed)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Parser<'a> {
    flags: &'a [Flag],
    parsed: Parsed,
    words: std::slice::Iter<'a, Vec<u8>>,
}

impl Parser<'_> {
    fn long(&mut self, word: &str) -> Result<(), ParseError> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(ParseError::Bad(format!("bad flag syntax: --{word}")));
        }
        let Some(flag) = self.flags.iter().find(|flag| flag.name == name) else {
            return Err(match name {
                "help" => ParseError::Help,
                _ => ParseError::Bad(format!("unknown flag: --{name}")),
            });
        };
        let value = match value {
            Some(value) => value,
            None if flag.kind == Kind::Bool => "true".to_owned(),
            None => match self.words.next() {
                Some(word) => lossy(word),
                None => {
                    return Err(ParseError::Bad(format!("flag needs an argument: --{name}")));
                }
            },
        };
        self.assign(flag, &value)
    }

    /// Letters of one word: switches in a row, the last of which may take a value.
    fn short(&mut self, word: &str) -> Result<(), ParseError> {
        for (at, letter) in word.char_indices() {
            let rest = &word[at + letter.len_utf8()..];
            let Some(flag) = self.flags.iter().find(|flag| flag.short == Some(letter)) else {
                return Err(match letter {
                    'h' => ParseError::Help,
                    _ => ParseError::Bad(format!(
                        "unknown shorthand flag: '{letter}' in -{}",
                        &word[at..]
                    )),
                });
            };
            if let Some(value) = rest.strip_prefix('=') {
                return self.assign(flag, value);
            }
            if flag.kind == Kind::Bool {
                self.assign(flag, "true")?;
                continue;
            }
            if !rest.is_empty() {
                return self.assign(flag, rest);
            }
            return match self.words.next() {
                Some(value) => self.assign(flag, &lossy(value)),
                None => Err(ParseError::Bad(format!(
                    "flag needs an argument: '{letter}' in -{}",
                    &word[at..]
                ))),
            };
        }
        Ok(())
    }

    fn assign(&mut self, flag: &Flag, text: &str) -> Result<(), ParseError> {
        self.parsed.set(flag, text).map_err(|reason| {
            let (shown, text) = (flag.shown(), go::quote(text.as_bytes()));
            ParseError::Bad(format!("invalid argument {text} for \"{shown}\" flag: {reason}"))
        })?;
        self.parsed.changed.insert(flag.name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLAGS: &[Flag] = &[
        Flag::bool("prefix", ""),
        Flag::bool("interactive", "").short('i'),
        Flag::int("rev", ""),
        Flag::duration("command-timeout", "5s", ""),
        Flag::text("write-out", "simple", "").short('w'),
        Flag { name: "endpoints", short: None, kind: Kind::List, default: "a:1", about: "" },
    ];

    fn run(line: &str) -> Result<Parsed, ParseError> {
        let words: Vec<Vec<u8>> = line.split_whitespace().map(|w| w.as_bytes().to_vec()).collect();
        parse(FLAGS, &words)
    }

    fn args(parsed: &Parsed) -> Vec<String> {
        parsed.args.iter().map(|arg| lossy(arg)).collect()
    }

    fn bad(line: &str) -> String {
        match run(line).unwrap_err() {
            ParseError::Bad(message) => message,
            ParseError::Help => "help".to_owned(),
        }
    }

    #[test]
    fn forms() {
        for line in ["-w json", "-wjson", "-w=json", "--write-out json", "--write-out=json"] {
            assert_eq!(run(line).unwrap().text("write-out"), "json", "{line}");
        }
        for (line, value) in [("--prefix", true), ("--prefix=true", true), ("--prefix=0", false)] {
            assert_eq!(run(line).unwrap().bool("prefix"), value, "{line}");
        }
        let parsed = run("a --prefix false -iwjson -- -x --y").unwrap();
        assert_eq!(args(&parsed), ["a", "false", "-x", "--y"]);
        assert_eq!(parsed.dash, Some(2));
        assert!(parsed.bool("prefix") && parsed.bool("interactive"));
        assert_eq!(parsed.text("write-out"), "json");
        assert_eq!(args(&run("- a").unwrap()), ["-", "a"]);
    }

    #[test]
    fn last_one_wins_and_lists_append() {
        let parsed = run("--rev 1 --rev 0x10 --endpoints b:1,c:1 --endpoints d:1").unwrap();
        assert_eq!(parsed.int("rev"), 16);
        assert_eq!(parsed.list("endpoints"), ["b:1", "c:1", "d:1"]);
        assert_eq!(run("").unwrap().list("endpoints"), ["a:1"]);
        assert_eq!(run("--endpoints=").unwrap().list("endpoints"), [""; 0]);
        assert!(!run("").unwrap().changed("rev") && parsed.changed("rev"));
    }

    #[test]
    fn messages() {
        assert_eq!(bad("--bad"), "unknown flag: --bad");
        assert_eq!(bad("--pre"), "unknown flag: --pre");
        assert_eq!(bad("-v"), "unknown shorthand flag: 'v' in -v");
        assert_eq!(bad("-iv"), "unknown shorthand flag: 'v' in -v");
        assert_eq!(bad("--rev"), "flag needs an argument: --rev");
        assert_eq!(bad("-w"), "flag needs an argument: 'w' in -w");
        assert_eq!(bad("--=x"), "bad flag syntax: --=x");
        assert_eq!(
            bad("--command-timeout 1"),
            r#"invalid argument "1" for "--command-timeout" flag: time: missing unit in duration "1""#
        );
        assert_eq!(
            bad("--rev x"),
            r#"invalid argument "x" for "--rev" flag: strconv.ParseInt: parsing "x": invalid syntax"#
        );
        assert_eq!(
            bad("-i=x"),
            "invalid argument \"x\" for \"-i, --interactive\" flag: \
             strconv.ParseBool: parsing \"x\": invalid syntax"
        );
        assert_eq!((bad("-h"), bad("a --help")), ("help".into(), "help".into()));
    }

    proptest! {
        #[test]
        fn never_panics(words: Vec<Vec<u8>>) {
            let _ = parse(FLAGS, &words);
        }
    }
}
