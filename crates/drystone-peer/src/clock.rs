//! The wall clock as Go's RFC 3339 text, for probes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970 as `2026-01-02T03:04:05.678Z`, without trailing zeros.
pub(crate) fn to_rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = date_of(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if since.subsec_nanos() > 0 {
        let fraction = format!(".{:09}", since.subsec_nanos());
        text.push_str(fraction.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Nanoseconds since 1970 of an RFC 3339 text with any zone offset; `None` if it is not one.
pub(crate) fn from_rfc3339(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 || bytes.len() > 40 {
        return None;
    }
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, separator)| bytes[*at] != *separator) {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?);
    let (hour, minute) = (number(&text[11..13])?, number(&text[14..16])?);
    let second = number(&text[17..19])?;
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && year >= 1970;
    if !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &text[19..];
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        nanos = number(&format!("{:0<9}", &fraction[..digits]))?;
        rest = &fraction[digits..];
    }
    let seconds = days_of(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(i128::from(seconds - offset(rest)?) * 1_000_000_000 + i128::from(nanos))
}

fn offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes() {
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    Some(sign * (number(&text[1..3])? * 3600 + number(&text[4..6])? * 60))
}

fn number(digits: &str) -> Option<i64> {
    let sound = digits.bytes().all(|b| b.is_ascii_digit());
    if sound { digits.parse().ok() } else { None }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_days(year: u64) -> [u64; 12] {
    let february = if is_leap(year) { 29 } else { 28 };
    [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// The civil date of a day counted from 1970. Walks years: a probe each few seconds needs no
/// closed form.
fn date_of(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let mut month = 1;
    for length in month_days(year) {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// Days from 1970 to a civil date.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let years = (1970..year).map(|y| if is_leap(y.unsigned_abs()) { 366 } else { 365 });
    let months = month_days(year.unsigned_abs());
    let before = months.iter().take(usize::try_from(month - 1).unwrap_or(0)).sum::<u64>();
    years.sum::<i64>() + i64::try_from(before).unwrap_or(0) + day - 1
}

/// Nanoseconds since 1970.
pub(crate) fn nanos_of(time: SystemTime) -> i128 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests;
