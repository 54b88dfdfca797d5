//! Sizes as etcdctl shows them.

/// A number of bytes in units of 1000, as Go's humanize library prints it.
pub(crate) fn bytes(size: i64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let Ok(size) = u64::try_from(size) else {
        // etcd converts to unsigned; a negative size is nothing that a server sends.
        return bytes(0);
    };
    if size < 10 {
        return format!("{size} B");
    }
    let exponent = size.ilog(1000).min(6);
    let scaled = size as f64 / 1000_f64.powi(exponent.cast_signed());
    let value = (scaled * 10.0 + 0.5).floor() / 10.0;
    let unit = UNITS[exponent as usize];
    if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// How much of a file is free, in whole percent, rounded as etcdctl does; 0 for no file.
pub(crate) fn percent_free(size: i64, in_use: i64) -> i64 {
    if size == 0 {
        return 0;
    }
    100 - in_use.saturating_mul(100) / size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (size, text) in [
            (0, "0 B"),
            (9, "9 B"),
            (10, "10 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_049, "1.0 kB"),
            (1_050, "1.1 kB"),
            (20_480, "20 kB"),
            (24_576, "25 kB"),
            (104_000_000, "104 MB"),
            (2_147_483_648, "2.1 GB"),
            (i64::MAX, "9.2 EB"),
            (-1, "0 B"),
        ] {
            assert_eq!(bytes(size), text, "{size}");
        }
        assert_eq!((percent_free(20_480, 16_384), percent_free(0, 5)), (20, 0));
    }
}
