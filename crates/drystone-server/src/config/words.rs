//! The command line, read as Go's `flag` package reads it.

use super::flags::{Flag, find};
use super::kind::Kind;
use super::numbers::{PARSE_ERROR, parse_bool};
use super::usage::UsageError;
use super::values::{Given, Source, Values};

/// What the words of a command line ask for.
#[derive(Debug)]
pub(super) enum Asked {
    Help,
    Version,
    Run(Values),
}

/// Reads the words: `-f v`, `--f v`, `-f=v` and `--f=v` are the same, a boolean never takes a
/// separate word, the last of repeated flags counts, and the first word that is no flag ends
/// them.
///
/// # Errors
/// Go's texts for what cannot be read.
pub(super) fn read(words: impl IntoIterator<Item = String>) -> Result<Asked, UsageError> {
    let mut words = words.into_iter();
    let mut values = Values::default();
    let mut version = false;
    while let Some(word) = words.next() {
        if word == "--" {
            match words.next() {
                Some(left) => return Err(no_flag(&left)),
                None => break,
            }
        }
        if word.len() < 2 || !word.starts_with('-') {
            return Err(no_flag(&word));
        }
        let body = word.strip_prefix("--").unwrap_or(&word[1..]);
        if body.starts_with(['-', '=']) {
            return Err(UsageError::flag(format!("bad flag syntax: {word}")));
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        match name {
            "h" | "help" => return Ok(Asked::Help),
            "version" => {
                version = bool_value("version", value)?;
                continue;
            }
            _ => {}
        }
        let flag = find(name)
            .ok_or_else(|| UsageError::flag(format!("flag provided but not defined: -{name}")))?;
        let text = value_of(flag, name, value, &mut words)?;
        let given = Given { text, source: Source::Flag, spelled: format!("--{name}") };
        if let Some(before) = values.set(flag, given) {
            refuse_two_names(flag, &before.spelled, &format!("--{name}"))?;
        }
    }
    Ok(if version { Asked::Version } else { Asked::Run(values) })
}

fn no_flag(word: &str) -> UsageError {
    UsageError::config(format!("{word:?} is not a valid flag"))
}

fn bool_value(name: &str, value: Option<String>) -> Result<bool, UsageError> {
    let Some(text) = value else { return Ok(true) };
    parse_bool(&text).ok_or_else(|| {
        UsageError::flag(format!("invalid boolean value {text:?} for -{name}: {PARSE_ERROR}"))
    })
}

fn value_of(
    flag: &Flag,
    name: &str,
    value: Option<String>,
    words: &mut impl Iterator<Item = String>,
) -> Result<String, UsageError> {
    if flag.kind == Kind::Bool {
        return bool_value(name, value).map(|value| value.to_string());
    }
    let text = value
        .or_else(|| words.next())
        .ok_or_else(|| UsageError::flag(format!("flag needs an argument: -{name}")))?;
    flag.kind.check(&text).map_err(|reason| {
        let hint = flag.kind.expects();
        UsageError::flag(format!("invalid value {text:?} for flag -{name}: {reason}"))
            .with_hint(format!("-{name} takes {hint}"))
    })?;
    Ok(text)
}

/// A flag may be given again, but not under its old name and its new one.
pub(super) fn refuse_two_names(flag: &Flag, one: &str, other: &str) -> Result<(), UsageError> {
    if one == other {
        return Ok(());
    }
    let today = format!("--{}", flag.name);
    let old = if one == today { other } else { one };
    Err(UsageError::config(format!(
        "cannot set {old} and {today} at the same time, please use {today} only"
    )))
}
