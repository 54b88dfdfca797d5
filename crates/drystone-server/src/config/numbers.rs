//! Booleans, numbers and durations as Go's flags write them.

use std::num::IntErrorKind;
use std::time::Duration;

/// What Go says of a value that is no number of the kind asked for.
pub(super) const PARSE_ERROR: &str = "parse error";
/// What Go says of a number that does not fit.
pub(super) const OUT_OF_RANGE: &str = "value out of range";

/// Reads the words for true and false.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reads a number from 0 on: `0x`, `0o`, `0b` and a leading `0` (octal) are understood, and
/// single underscores between digits.
///
/// # Errors
/// Go's word for what is wrong.
pub(super) fn parse_uint(text: &str) -> Result<u64, &'static str> {
    let (radix, digits) = match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &text[2..]),
        Some("0b") => (2, &text[2..]),
        Some("0o") => (8, &text[2..]),
        _ if text.len() > 1 && text.starts_with('0') => (8, &text[1..]),
        _ => (10, text),
    };
    if digits.starts_with(['+', '-']) || digits.ends_with('_') || digits.contains("__") {
        return Err(PARSE_ERROR);
    }
    if digits.contains('_') && radix == 10 {
        return Err(PARSE_ERROR);
    }
    u64::from_str_radix(&digits.replace('_', ""), radix).map_err(|error| match error.kind() {
        IntErrorKind::PosOverflow => OUT_OF_RANGE,
        _ => PARSE_ERROR,
    })
}

/// Reads a number of either sign, written as [`parse_uint`] says.
///
/// # Errors
/// Go's word for what is wrong.
pub(super) fn parse_int(text: &str) -> Result<i64, &'static str> {
    match text.strip_prefix('-') {
        Some(rest) => 0_i64.checked_sub_unsigned(parse_uint(rest)?).ok_or(OUT_OF_RANGE),
        None => {
            let rest = text.strip_prefix('+').unwrap_or(text);
            i64::try_from(parse_uint(rest)?).map_err(|_| OUT_OF_RANGE)
        }
    }
}

const UNITS: &[(&str, u64)] = &[
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

/// Digits of a fraction that can matter: an hour has fewer nanoseconds than this many zeros.
const FRACTION_DIGITS_MAX: usize = 18;

/// Reads a duration such as `1h30m`, `-1.5s` or `0`, in nanoseconds.
///
/// # Errors
/// Go's text for what is wrong.
pub(super) fn parse_nanoseconds(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = leading_digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), leading_digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_bytes =
            after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_bytes);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let (_, nanoseconds) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        let nanoseconds = u128::from(*nanoseconds);
        let number: u64 =
            if whole.is_empty() { Ok(0) } else { whole.parse() }.map_err(|_| invalid())?;
        total += u128::from(number) * nanoseconds;
        let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
        if let Ok(parts) = fraction.parse::<u128>() {
            let scale = (0..fraction.len()).fold(1_u128, |scale, _| scale * 10);
            total += parts * nanoseconds / scale;
        }
        if total > u128::from(i64::MAX.unsigned_abs()) {
            return Err(invalid());
        }
        rest = after;
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if negative { -total } else { total })
}

fn leading_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Reads a duration that must not be negative.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let nanoseconds = parse_nanoseconds(text).ok()?;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// Writes a duration as Go does: `1h0m0s`, `1.5s`, `100ms`, `0s`.
pub(crate) fn format_nanoseconds(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let (unit, scale) = match total {
        0 => return "0s".to_owned(),
        1..=999 => ("ns", 1),
        1_000..=999_999 => ("µs", 1_000),
        1_000_000..=999_999_999 => ("ms", 1_000_000),
        _ => ("s", 1_000_000_000),
    };
    let (hours, minutes) = (total / 3_600_000_000_000, total / 60_000_000_000 % 60);
    let small = if unit == "s" { total % 60_000_000_000 } else { total };
    let mut number = (small / scale).to_string();
    let fraction = format!("{:0width$}", small % scale, width = scale.ilog10() as usize);
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        number = format!("{number}.{fraction}");
    }
    match (hours, minutes) {
        (0, 0) => format!("{sign}{number}{unit}"),
        (0, minutes) => format!("{sign}{minutes}m{number}{unit}"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{number}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        for (text, nanoseconds, written) in [
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("100ms", 100_000_000, "100ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("-1s", -1_000_000_000, "-1s"),
            (".5m", 30_000_000_000, "30s"),
            ("61s", 61_000_000_000, "1m1s"),
            ("0", 0, "0s"),
            ("1us", 1_000, "1µs"),
            ("7ns", 7, "7ns"),
        ] {
            assert_eq!(parse_nanoseconds(text), Ok(nanoseconds), "{text}");
            assert_eq!(format_nanoseconds(nanoseconds), written);
        }
        for (text, reason) in [
            ("", r#"time: invalid duration """#),
            ("x", r#"time: invalid duration "x""#),
            ("10", r#"time: missing unit in duration "10""#),
            ("5x", r#"time: unknown unit "x" in duration "5x""#),
            ("1h-", r#"time: unknown unit "h-" in duration "1h-""#),
            ("9999999999h", r#"time: invalid duration "9999999999h""#),
        ] {
            assert_eq!(parse_nanoseconds(text).unwrap_err(), reason);
        }
        assert_eq!(parse_duration("-1s"), None);
    }

    #[test]
    fn numbers_have_gos_prefixes_and_bounds() {
        for (text, number) in [("10", 10), ("0x10", 16), ("010", 8), ("0b11", 3), ("0x1_0", 16)] {
            assert_eq!(parse_uint(text), Ok(number), "{text}");
        }
        for text in ["", "-1", "+1", "1_0", "0x", "0x-1", "1.5", "09", "x"] {
            assert_eq!(parse_uint(text), Err(PARSE_ERROR), "{text}");
        }
        assert_eq!(parse_uint("99999999999999999999"), Err(OUT_OF_RANGE));
        assert_eq!(parse_int("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_int("9223372036854775808"), Err(OUT_OF_RANGE));
        assert_eq!(parse_int("+5"), Ok(5));
    }
}
