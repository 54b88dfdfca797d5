//! `strconv.Quote`, `strconv.Unquote` and the splitting of a line into words.

/// `strconv.Quote` (the verb `%q`): double quotes, escapes, bytes that are not UTF-8 as `\xNN`.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(&mut out, c);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

fn quote_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if printable(c) => out.push(c),
        c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
        c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
        c => out.push_str(&format!("\\U{:08x}", c as u32)),
    }
}

/// Whether Go prints a character as it is. Rust escapes the same kinds of characters in
/// `escape_debug` (controls, format and private characters, separators other than the
/// space), and marks that combine with what precedes them, which Go prints.
fn printable(c: char) -> bool {
    match c {
        ' ' => true,
        '\u{ad}' | '\u{a0}' | '\'' => c == '\'',
        c if c.is_control() => false,
        c if c.is_whitespace() => false,
        // A leading character makes a combining mark print as itself.
        c => {
            let pair: String = ['a', c].iter().collect();
            pair.escape_debug().count() == 2
        }
    }
}

/// `strconv.Unquote` for double quotes and backquotes; `None` if `text` is not one literal.
fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let (value, rest) = scan_quoted(text)?;
    rest.is_empty().then_some(value)
}

/// Reads one Go string literal from the start of `text`; returns its value and what follows.
pub(crate) fn scan_quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    match text {
        [b'`', body @ ..] => {
            let end = body.iter().position(|&b| b == b'`')?;
            let value = body[..end].iter().copied().filter(|&b| b != b'\r').collect();
            Some((value, &body[end + 1..]))
        }
        [b'"', body @ ..] => {
            let mut out = Vec::new();
            let mut rest = body;
            loop {
                match rest {
                    [b'"', after @ ..] => return Some((out, after)),
                    [b'\\', after @ ..] => rest = escape(after, &mut out)?,
                    [b'\n', ..] | [] => return None,
                    [byte, after @ ..] => {
                        out.push(*byte);
                        rest = after;
                    }
                }
            }
        }
        _ => None,
    }
}

/// Reads what follows a backslash.
fn escape<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&first, rest) = text.split_first()?;
    let digits = match first {
        b'a' => return push(out, 0x07, rest),
        b'b' => return push(out, 0x08, rest),
        b'f' => return push(out, 0x0c, rest),
        b'n' => return push(out, b'\n', rest),
        b'r' => return push(out, b'\r', rest),
        b't' => return push(out, b'\t', rest),
        b'v' => return push(out, 0x0b, rest),
        b'\\' | b'"' => return push(out, first, rest),
        b'0'..=b'7' => {
            let octal = std::str::from_utf8(text.get(..3)?).ok()?;
            let value = u8::try_from(u16::from_str_radix(octal, 8).ok()?).ok()?;
            return push(out, value, text.get(3..)?);
        }
        b'x' => 2,
        b'u' => 4,
        b'U' => 8,
        _ => return None,
    };
    let hex = rest.get(..digits).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))?;
    let value = u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?;
    let rest = &rest[digits..];
    if digits == 2 {
        return push(out, u8::try_from(value).ok()?, rest);
    }
    let mut buffer = [0; 4];
    out.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut buffer).as_bytes());
    Some(rest)
}

fn push<'a>(out: &mut Vec<u8>, byte: u8, rest: &'a [u8]) -> Option<&'a [u8]> {
    out.push(byte);
    Some(rest)
}

/// Splits a line of `txn` or `watch -i` into words: `"…"` with escapes, `'…'` as it stands,
/// or a run that starts with neither and goes to the next space (etcdctl's `Argify`).
/// `None` for a double-quoted word with an escape that Go does not know.
pub(crate) fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    while let [first, after @ ..] = rest {
        match first {
            b'"' => match close_quote(after) {
                Some(end) => {
                    words.push(unquote(&rest[..end + 2])?);
                    rest = &after[end + 1..];
                }
                // A lone quote matches no kind of word and is passed over.
                None => rest = after,
            },
            b'\'' => match after.iter().position(|&b| b == b'\'') {
                Some(end) => {
                    words.push(after[..end].to_vec());
                    rest = &after[end + 1..];
                }
                None => rest = after,
            },
            b if is_space(*b) => rest = after,
            _ => {
                let end = rest.iter().position(|&b| is_space(b)).unwrap_or(rest.len());
                words.push(rest[..end].to_vec());
                rest = &rest[end..];
            }
        }
    }
    Some(words)
}

fn close_quote(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// Regular expressions' `\s`.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(quote(b"foo"), r#""foo""#);
        assert_eq!(quote(b"a\"\\\n\x00\x7f"), r#""a\"\\\n\x00\x7f""#);
        assert_eq!(quote(b"\xff\xe4"), r#""\xff\xe4""#);
        assert_eq!(quote("é'日\u{ad}\u{a0}\u{301}".as_bytes()), "\"é'日\\u00ad\\u00a0\u{301}\"");
        assert_eq!(quote("\u{10ffff}".as_bytes()), r#""\U0010ffff""#);
    }

    #[test]
    fn unquotes_as_go_does() {
        assert_eq!(unquote(br#""a\x41\101\u00e9\t\"""#).unwrap(), "aAAé\t\"".as_bytes());
        assert_eq!(unquote(b"`a\\n`").unwrap(), b"a\\n");
        for bad in [&br#"""#[..], br#""a"#, br#""\q""#, br#""\'""#, br#""\x4""#, b"a", b"\"a\"b"] {
            assert_eq!(unquote(bad), None);
        }
    }

    #[test]
    fn words_of_a_line() {
        let words = |line: &str| -> Vec<String> {
            split_words(line.as_bytes())
                .unwrap()
                .into_iter()
                .map(|word| String::from_utf8(word).unwrap())
                .collect()
        };
        assert_eq!(words(r#"put "a b" 'c\n' d"#), ["put", "a b", "c\\n", "d"]);
        assert_eq!(words(r#"put k a"b"c"#), ["put", "k", "a\"b\"c"]);
        assert_eq!(words(r#"put k "x\ty""#), ["put", "k", "x\ty"]);
        assert!(split_words(br#"put "\q""#).is_none());
    }

    proptest! {
        #[test]
        fn quoting_is_undone_by_unquoting(bytes: Vec<u8>) {
            prop_assert_eq!(unquote(quote(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn splitting_never_panics(bytes: Vec<u8>) {
            let _ = split_words(&bytes);
            let _ = scan_quoted(&bytes);
        }
    }
}
