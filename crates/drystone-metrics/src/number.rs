//! Numbers as Prometheus' own library writes them, so that bounds of buckets compare as texts.

/// Decimal exponents that are written out: from this one on,
const PLAIN_FROM: i32 = -4;
/// and below this one.
const PLAIN_BELOW: i32 = 6;

/// Appends a number: the fewest digits that read back as it, with an exponent of at least two
/// digits where it is very large or small (Go's `strconv`, format `g`).
pub(crate) fn write(out: &mut String, number: f64) {
    use std::fmt::Write as _;
    if number.is_nan() {
        out.push_str("NaN");
        return;
    }
    if number.is_infinite() {
        out.push_str(if number > 0.0 { "+Inf" } else { "-Inf" });
        return;
    }
    let start = out.len();
    let _ = write!(out, "{number:e}");
    let Some(at) = out[start..].find('e').map(|at| start + at) else { return };
    let exponent: i32 = out[at + 1..].parse().unwrap_or(0);
    out.truncate(if (PLAIN_FROM..PLAIN_BELOW).contains(&exponent) { start } else { at });
    if out.len() == start {
        let _ = write!(out, "{number}");
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (number, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (0.001, "0.001"),
            (8.192, "8.192"),
            (6.1371e-05, "6.1371e-05"),
            (524_288.0, "524288"),
            (999_999.0, "999999"),
            (1_048_576.0, "1.048576e+06"),
            (2_147_483_648.0, "2.147483648e+09"),
            (1.5e300, "1.5e+300"),
            (0.000_1, "0.0001"),
            (0.000_01, "1e-05"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            let mut written = String::from("x ");
            super::write(&mut written, number);
            assert_eq!(written, format!("x {text}"));
        }
    }
}
