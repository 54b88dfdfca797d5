use super::*;

fn ordered(line: &str, key: &str, end: &str) -> Result<Order, String> {
    let words: Vec<Vec<u8>> = line.split_whitespace().map(|w| w.as_bytes().to_vec()).collect();
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let env = WatchEnv { key: some(key), range_end: some(end) };
    order(&cli::parse(WATCH, &words).unwrap(), &env)
}

fn plain(line: &str) -> Result<Order, String> {
    ordered(line, "", "")
}

fn want(key: &'static str, end: &'static str, command: &[&str]) -> Result<Order, String> {
    let command = command.iter().map(|word| word.as_bytes().to_vec()).collect();
    Ok(Order { key: key.into(), range_end: end.into(), command })
}

#[test]
fn what_is_watched() {
    assert_eq!(plain("k"), want("k", "", &[]));
    assert_eq!(plain("k --prefix"), want("k", "l", &[]));
    assert_eq!(plain("k l -- echo -n x"), want("k", "l", &["echo", "-n", "x"]));
    assert_eq!(ordered("-- echo", "e", "f"), want("e", "f", &["echo"]));
    assert_eq!(ordered("", "e", ""), want("e", "", &[]));
}

#[test]
fn what_cannot_be_watched() {
    let refused = |order: Result<Order, String>| order.unwrap_err();
    assert_eq!(refused(plain("")), "bad number of arguments");
    assert_eq!(refused(plain("a b c")), "bad number of arguments");
    assert_eq!(
        refused(plain("k --")),
        "bad number of arguments (found separator --, but no commands)"
    );
    assert_eq!(
        refused(ordered("k", "e", "")),
        "bad number of arguments (found conflicting environment key)"
    );
    assert_eq!(
        refused(ordered("", "", "w1")),
        r#"ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END="w1""#
    );
    assert_eq!(refused(plain("k e --prefix")), "`range_end` and `--prefix` are mutually exclusive");
}

#[test]
fn reasons() {
    let canceled = |compact_revision, reason: &str| {
        cancel_reason(&pb::WatchResponse {
            canceled: true,
            compact_revision,
            cancel_reason: reason.to_owned(),
            ..Default::default()
        })
    };
    assert_eq!(canceled(8, ""), "etcdserver: mvcc: required revision has been compacted");
    assert_eq!(canceled(0, "etcdserver: permission denied"), "etcdserver: permission denied");
}
