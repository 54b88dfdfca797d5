//! The values that were given, each with the place it came from.

use super::flags::{Flag, all, find};
use super::numbers::{parse_bool, parse_duration, parse_int, parse_nanoseconds, parse_uint};
use super::parse_urls;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Flag,
    Variable,
    File,
}

/// A value as it was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) source: Source,
    /// The name it was given under: a flag, a variable, or a key of the file.
    pub(super) spelled: String,
}

/// The values in force, by the name of their flag. What is missing has its default.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    set: BTreeMap<&'static str, Given>,
}

impl Values {
    pub(super) fn set(&mut self, flag: &Flag, given: Given) -> Option<Given> {
        self.set.insert(flag.name, given)
    }

    pub(super) fn given(&self, name: &str) -> Option<&Given> {
        self.set.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static Flag, &Given)> {
        all().filter_map(|flag| Some((flag, self.set.get(flag.name)?)))
    }

    pub(super) fn text(&self, name: &str) -> &str {
        match self.set.get(name) {
            Some(given) => &given.text,
            None => find(name).map_or("", |flag| flag.default),
        }
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.set.contains_key(name)
    }

    /// Whether the values were read from a file, where some rules are others.
    pub(super) fn is_from_file(&self) -> bool {
        self.set.values().any(|given| given.source == Source::File)
    }

    pub(super) fn bool(&self, name: &str) -> bool {
        parse_bool(self.text(name)).unwrap_or_default()
    }

    pub(super) fn uint(&self, name: &str) -> u64 {
        parse_uint(self.text(name)).unwrap_or_default()
    }

    pub(super) fn size(&self, name: &str) -> usize {
        usize::try_from(self.uint(name)).unwrap_or(usize::MAX)
    }

    pub(super) fn int(&self, name: &str) -> i64 {
        parse_int(self.text(name)).unwrap_or_default()
    }

    /// A duration; a negative one is none.
    pub(super) fn duration(&self, name: &str) -> Duration {
        parse_duration(self.text(name)).unwrap_or_default()
    }

    pub(super) fn nanoseconds(&self, name: &str) -> i64 {
        parse_nanoseconds(self.text(name)).unwrap_or_default()
    }

    pub(super) fn urls(&self, name: &str) -> Vec<String> {
        parse_urls(self.text(name)).unwrap_or_default()
    }

    /// The items of a list with commas between them, trimmed, without empty ones.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let items = self.text(name).split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(str::to_owned).collect()
    }
}
