use super::*;
use proptest::prelude::*;

#[test]
fn known_texts() {
    let at = |seconds, nanos| UNIX_EPOCH + Duration::new(seconds, nanos);
    assert_eq!(to_rfc3339(at(0, 0)), "1970-01-01T00:00:00Z");
    assert_eq!(to_rfc3339(at(951_782_400, 0)), "2000-02-29T00:00:00Z");
    assert_eq!(to_rfc3339(at(1_700_000_000, 120_000_000)), "2023-11-14T22:13:20.12Z");
    let nanos = 1_700_000_000_120_000_000;
    assert_eq!(from_rfc3339("2023-11-15T00:13:20.12+02:00"), Some(nanos));
    assert_eq!(from_rfc3339("2023-11-14T22:13:20.120000000Z"), Some(nanos));
    for bad in [
        "",
        "2023-11-14T22:13:20",
        "2023-13-14T22:13:20Z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14 22:13:20Z",
        "2023-11-14T22:13:20+0200",
    ] {
        assert_eq!(from_rfc3339(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn round_trip(seconds in 0u64..4_000_000_000, nanos in 0u32..1_000_000_000) {
        let time = UNIX_EPOCH + Duration::new(seconds, nanos);
        prop_assert_eq!(from_rfc3339(&to_rfc3339(time)), Some(nanos_of(time)));
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,44}", digits in "[0-9T:.Z+-]{18,42}") {
        from_rfc3339(&text);
        from_rfc3339(&digits);
    }
}
