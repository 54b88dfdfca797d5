//! Keys, ranges and consistency, as the flags of several commands mean them.

use bytes::Bytes;

use crate::cli::Parsed;
use crate::exit::Failure;

/// The range end that means "to the end of all keys".
const OPEN_END: &[u8] = b"\0";

/// Key and range end of arguments `key [range_end]` and the flags `--prefix`, `--from-key`.
/// An empty range end asks for the key alone.
pub(crate) fn range(
    flags: &Parsed,
    key: &[u8],
    end: Option<&[u8]>,
) -> Result<(Bytes, Bytes), Failure> {
    let (prefix, from_key) = (flags.bool("prefix"), flags.bool("from-key"));
    if prefix && from_key {
        return Err(Failure::arguments(
            "`--prefix` and `--from-key` cannot be set at the same time, choose one",
        ));
    }
    if end.is_some() && (prefix || from_key) {
        return Err(Failure::arguments(
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
        ));
    }
    Ok(bounds(key, end, prefix, from_key))
}

/// The same, of what has been checked.
pub(crate) fn bounds(
    key: &[u8],
    end: Option<&[u8]>,
    prefix: bool,
    from_key: bool,
) -> (Bytes, Bytes) {
    let copy = Bytes::copy_from_slice;
    match end {
        Some(end) => (copy(key), copy(end)),
        // All keys: the smallest key on.
        None if (prefix || from_key) && key.is_empty() => (copy(OPEN_END), copy(OPEN_END)),
        None if prefix => (copy(key), prefix_end(key)),
        None if from_key => (copy(key), copy(OPEN_END)),
        None => (copy(key), Bytes::new()),
    }
}

/// The first key after all keys with this prefix.
pub(crate) fn prefix_end(prefix: &[u8]) -> Bytes {
    let kept = prefix.iter().rposition(|&byte| byte != 0xff);
    let Some(last) = kept else { return Bytes::from_static(OPEN_END) };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

/// `--consistency`: whether a read may be answered by one member alone.
pub(crate) fn serializable(flags: &Parsed) -> Result<bool, Failure> {
    match flags.text("consistency") {
        "l" => Ok(false),
        "s" => Ok(true),
        other => Err(Failure::feature(format!("unknown consistency flag {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let range = |key: &[u8], prefix, from| {
            let (key, end) = bounds(key, None, prefix, from);
            (key.to_vec(), end.to_vec())
        };
        assert_eq!(range(b"a", true, false), (b"a".to_vec(), b"b".to_vec()));
        assert_eq!(range(b"a\xff\xff", true, false), (b"a\xff\xff".to_vec(), b"b".to_vec()));
        assert_eq!(range(b"\xff", true, false), (b"\xff".to_vec(), b"\0".to_vec()));
        assert_eq!(range(b"", true, false), (b"\0".to_vec(), b"\0".to_vec()));
        assert_eq!(range(b"", false, true), (b"\0".to_vec(), b"\0".to_vec()));
        assert_eq!(range(b"a", false, true), (b"a".to_vec(), b"\0".to_vec()));
        assert_eq!(range(b"a", false, false), (b"a".to_vec(), b"".to_vec()));
    }
}
