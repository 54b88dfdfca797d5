//! Go's text forms, as far as a command line shows or reads them: numbers, durations and
//! quoted strings. Scripts depend on these texts, so they are made byte for byte.

mod duration;
mod number;
mod quote;

pub(crate) use duration::{format_duration, parse_duration};
pub(crate) use number::{parse_hex_i64, parse_hex_u64, parse_i64, parse_i64_any_base};
pub(crate) use quote::{is_space, quote, scan_quoted, split_words};
