//! What the values of flags look like.

use super::numbers::{
    OUT_OF_RANGE, PARSE_ERROR, parse_bool, parse_int, parse_nanoseconds, parse_uint,
};
use super::{gates::Gates, parse_urls};

/// What a flag's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`; the bare flag means `true`, a separate word is never its value.
    Bool,
    /// A number from 0 on; `0x` and the like are understood.
    Uint,
    /// A number from 0 on that fits 32 bits.
    Uint32,
    /// A number of either sign.
    Int,
    /// A duration as Go writes it: `1h30m`, `100ms`, `0`.
    Duration,
    /// URLs with commas between them.
    Urls,
    /// URLs with commas between them, or `*`.
    Origins,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words, with commas between them.
    SomeOf(&'static [&'static str]),
    /// Feature gates: `NAME=true,NAME=false`.
    Gates,
}

impl Kind {
    /// Whether a flag of this kind can have this value.
    ///
    /// # Errors
    /// Go's reason, as it stands behind `invalid value "x" for flag -name: `.
    pub(super) fn check(self, value: &str) -> Result<(), String> {
        let told = |reason: &'static str| Err(reason.to_owned());
        match self {
            Kind::Text => Ok(()),
            Kind::Bool if parse_bool(value).is_none() => told(PARSE_ERROR),
            Kind::Uint => parse_uint(value).map(drop).or_else(told),
            Kind::Uint32 => match parse_uint(value) {
                Ok(number) if u32::try_from(number).is_err() => told(OUT_OF_RANGE),
                other => other.map(drop).or_else(told),
            },
            Kind::Int => parse_int(value).map(drop).or_else(told),
            Kind::Duration if parse_nanoseconds(value).is_err() => told(PARSE_ERROR),
            Kind::Urls if !value.is_empty() => parse_urls(value).map(drop),
            Kind::Origins if !matches!(value, "" | "*") => parse_urls(value).map(drop),
            Kind::OneOf(words) if !words.contains(&value) => told("invalid value"),
            Kind::SomeOf(words) => match value.split(',').find(|word| !words.contains(word)) {
                Some(word) => Err(format!("invalid value {word:?}")),
                None => Ok(()),
            },
            Kind::Gates => Gates::parse(value, &mut Vec::new()).map(drop),
            Kind::Bool | Kind::Duration | Kind::Urls | Kind::Origins | Kind::OneOf(_) => Ok(()),
        }
    }

    /// The value in its one spelling.
    pub(super) fn canonical(self, value: &str) -> String {
        match parse_bool(value).filter(|_| self == Kind::Bool) {
            Some(value) => value.to_string(),
            None => value.to_owned(),
        }
    }

    /// What a value of this kind is, for the operator who gave another.
    pub(super) fn expects(self) -> String {
        match self {
            Kind::Text => "text".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Uint => "a number from 0 on".to_owned(),
            Kind::Uint32 => "a number from 0 to 4294967295".to_owned(),
            Kind::Int => "a number".to_owned(),
            Kind::Duration => "a duration such as 100ms or 1h30m".to_owned(),
            Kind::Urls => "URLs such as http://host:port, with commas between them".to_owned(),
            Kind::Origins => {
                "* or URLs such as http://host:port, with commas between them".to_owned()
            }
            Kind::OneOf(words) => format!("one of {}", words.join(", ")),
            Kind::Gates => "NAME=true or NAME=false, with commas between them".to_owned(),
            Kind::SomeOf(words) => format!("one or more of {}", words.join(", ")),
        }
    }
}
