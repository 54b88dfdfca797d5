use super::*;

#[test]
fn texts() {
    for text in
        ["http://10.0.0.1:2380", "https://a.example:1", "unix://localhost:9", "http://[::1]:2380"]
    {
        assert_eq!(text.parse::<PeerUrl>().unwrap().to_string(), text);
    }
    assert_eq!("http://[::1]:2380/".parse::<PeerUrl>().unwrap().host(), "::1");
    assert_eq!("http://a:2380".parse::<PeerUrl>().unwrap().host(), "a");
    for text in [
        "",
        "a:2380",
        "ftp://a:1",
        "http://a",
        "http://:1",
        "http://a:99999",
        "http://a:1/x",
        "http://u@a:1",
        "http://a b:1",
        "http://a\r\n:1",
    ] {
        assert!(text.parse::<PeerUrl>().is_err(), "{text:?}");
    }
}

#[test]
fn lists_skip_what_is_broken_and_end() {
    let urls = parse_list("http://a:1,nonsense, http://b:2 ,http://c:3", 2);
    assert_eq!(
        urls.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["http://a:1", "http://b:2"]
    );
}
