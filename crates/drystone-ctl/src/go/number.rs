//! `strconv.ParseInt` and its error texts.

use super::quote;

/// `strconv.ParseInt(text, 10, 64)`.
pub(crate) fn parse_i64(text: &str) -> Result<i64, String> {
    signed(text, 10, text)
}

/// `strconv.ParseInt(text, 16, 64)`.
pub(crate) fn parse_hex_i64(text: &str) -> Result<i64, String> {
    signed(text, 16, text)
}

/// `strconv.ParseUint(text, 16, 64)`.
pub(crate) fn parse_hex_u64(text: &str) -> Result<u64, String> {
    unsigned(text, 16)
        .map_err(|kind| format!("strconv.ParseUint: parsing {}: {kind}", quote(text.as_bytes())))
}

/// `strconv.ParseInt(text, 0, 64)`: Go's integer literals with their prefixes and `_`.
pub(crate) fn parse_i64_any_base(text: &str) -> Result<i64, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // Underscores separate digits, and may follow a base prefix.
    let after_prefix = digits.len() < lower.len();
    let lone = (digits.starts_with('_') && !after_prefix)
        || digits.ends_with('_')
        || digits.contains("__");
    let plain = if lone { String::from("_") } else { digits.replace('_', "") };
    signed(&format!("{sign}{plain}"), base, text)
}

fn signed(text: &str, base: u32, shown: &str) -> Result<i64, String> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let fail = |kind| failure(shown, kind);
    let size = unsigned(digits, base).map_err(fail)?;
    let value = if negative { 0_i64.checked_sub_unsigned(size) } else { i64::try_from(size).ok() };
    value.ok_or_else(|| fail("value out of range"))
}

fn unsigned(digits: &str, base: u32) -> Result<u64, &'static str> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err("invalid syntax");
    }
    u64::from_str_radix(digits, base).map_err(|_| "value out of range")
}

fn failure(text: &str, kind: &str) -> String {
    format!("strconv.ParseInt: parsing {}: {kind}", quote(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_their_errors() {
        assert_eq!(parse_i64("-12"), Ok(-12));
        assert_eq!(parse_i64("+7"), Ok(7));
        assert_eq!(parse_i64("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(
            parse_i64("9223372036854775808").unwrap_err(),
            r#"strconv.ParseInt: parsing "9223372036854775808": value out of range"#
        );
        assert_eq!(
            parse_hex_i64("zz").unwrap_err(),
            r#"strconv.ParseInt: parsing "zz": invalid syntax"#
        );
        assert_eq!(parse_hex_i64("694da1f981f0f410"), Ok(0x694d_a1f9_81f0_f410));
        assert!(parse_hex_i64("0x1").is_err());
        assert_eq!(parse_hex_u64("ffffffffffffffff"), Ok(u64::MAX));
        assert_eq!(
            parse_hex_u64("-1").unwrap_err(),
            r#"strconv.ParseUint: parsing "-1": invalid syntax"#
        );
        assert!(parse_i64("").is_err());
    }

    #[test]
    fn literals_of_go() {
        for (text, value) in
            [("0x10", 16), ("0b11", 3), ("0o17", 15), ("017", 15), ("1_000", 1000), ("-0X_f", -15)]
        {
            assert_eq!(parse_i64_any_base(text), Ok(value), "{text}");
        }
        for text in ["x", "1__0", "_1", "1_", "0x", "08", ""] {
            assert!(parse_i64_any_base(text).is_err(), "{text}");
        }
        assert_eq!(parse_i64_any_base("0"), Ok(0));
    }
}
