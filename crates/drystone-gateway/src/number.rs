//! Integers as JSON writes them: also with a fraction of zeros or an exponent.

/// Digits that an integer of 64 bits has at most.
const DIGITS_MAX: usize = 20;

/// The integer that a JSON number stands for, when it is one: `12`, `1.20e1`, `1200e-2`.
/// `text` must be a JSON number.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() && fraction.is_empty() {
        return Some(0);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).ok()? + i64::from(exponent);
    let point = usize::try_from(point).ok().filter(|point| *point <= DIGITS_MAX)?;
    // What stands behind the point must be zeros; what is missing before it, are zeros.
    let kept = digits.get(..point).unwrap_or(&digits);
    if digits.get(point..).unwrap_or_default().bytes().any(|digit| digit != b'0') {
        return None;
    }
    let missing = u32::try_from(point - kept.len()).ok()?;
    let value = if kept.is_empty() { 0 } else { kept.parse::<i128>().ok()? };
    let value = value * 10_i128.pow(missing);
    Some(if negative { -value } else { value })
}

/// Whether `text` is a JSON number and nothing else.
pub(crate) fn is_number(text: &str) -> bool {
    let mut scanner = crate::scan::Scanner::new();
    let begins = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    begins
        && scanner.feed(text.as_bytes()) == Ok(crate::scan::Progress::More)
        && scanner.finish() == Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_every_form() {
        for (text, value) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("0.000", Some(0)),
            ("0e99999999999", Some(0)),
            ("12", Some(12)),
            ("-12.0", Some(-12)),
            ("1.2e1", Some(12)),
            ("1200e-2", Some(12)),
            ("0.12e2", Some(12)),
            ("0.012e3", Some(12)),
            ("1.25e1", None),
            ("5e-1", None),
            ("1e20", None),
            ("1e19", Some(10_i128.pow(19))),
            ("1e2147483648", None),
            ("18446744073709551615", Some(u64::MAX.into())),
            ("-9223372036854775808", Some(i64::MIN.into())),
        ] {
            assert_eq!(integer(text), value, "{text}");
        }
    }

    #[test]
    fn numbers_in_strings_are_numbers_alone() {
        for text in ["1", "-1", "1e5", "0.5"] {
            assert!(is_number(text), "{text}");
        }
        for text in ["", "+1", " 1", "1 ", "1,", "01", "0x1", "1e", "-", ".5", "1.", "null"] {
            assert!(!is_number(text), "{text}");
        }
    }
}
