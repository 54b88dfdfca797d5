use super::*;

#[test]
fn texts() {
    for (text, expected) in [
        ("3.7.1", Some(ApiVersion::new(3, 7, 1))),
        ("3.8.0-alpha.0", Some(ApiVersion::new(3, 8, 0))),
        ("3.8.0+git", Some(ApiVersion::new(3, 8, 0))),
        ("3.7", None),
        ("3.7.1.2", None),
        ("", None),
        ("v3.7.1", None),
        ("3.+7.1", None),
        ("99999999999999999999999.0.0", None),
    ] {
        assert_eq!(text.parse().ok(), expected, "{text}");
    }
    assert_eq!(ApiVersion::new(3, 7, 1).to_string(), "3.7.1");
}

#[test]
fn only_major_and_minor_decide() {
    let own = ApiVersion::new(3, 7, 0);
    let v = |text: &str| text.parse::<ApiVersion>().unwrap();
    assert!(own.may_talk_to(v("3.7.9"), v("3.0.0")));
    assert!(own.may_talk_to(v("3.9.0"), v("3.7.9")));
    assert!(own.may_talk_to(v("3.0.0"), v("3.0.0")));
    assert!(!own.may_talk_to(v("3.9.0"), v("3.8.0")));
    assert!(!own.may_talk_to(ApiVersion::UNKNOWN, ApiVersion::UNKNOWN));
}
