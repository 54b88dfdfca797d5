use super::*;

fn compared(line: &str) -> pb::Compare {
    compare(line.as_bytes()).unwrap()
}

fn refused<T: std::fmt::Debug>(result: Result<T, Failure>) -> (u8, String) {
    let failure = result.unwrap_err();
    (failure.exit.0, failure.message)
}

#[test]
fn comparisons() {
    let mod_revision = compared(r#"mod("key1") > "0""#);
    assert_eq!(mod_revision.key, "key1");
    assert_eq!(mod_revision.result(), CompareResult::Greater);
    assert_eq!(mod_revision.target(), CompareTarget::Mod);
    assert_eq!(mod_revision.target_union, Some(TargetUnion::ModRevision(0)));
    let value = compared("val(`k\\x`)  !=\t\"a\\tb\" tail");
    assert_eq!(value.key, "k\\x");
    assert_eq!(value.target_union, Some(TargetUnion::Value("a\tb".into())));
    assert_eq!(value.result(), CompareResult::NotEqual);
    for (line, union) in [
        (r#"ver("k") = "-3""#, TargetUnion::Version(-3)),
        (r#"version("k") < "3""#, TargetUnion::Version(3)),
        (r#"c("k") = "3""#, TargetUnion::CreateRevision(3)),
        (r#"create("k") = "3""#, TargetUnion::CreateRevision(3)),
        (r#"m("k") = "3""#, TargetUnion::ModRevision(3)),
        (r#"value("k") = "3""#, TargetUnion::Value("3".into())),
        (r#"lease("k") = "3""#, TargetUnion::Lease(3)),
    ] {
        assert_eq!(compared(line).target_union, Some(union), "{line}");
    }
}

#[test]
fn comparisons_that_are_refused() {
    let message = |line: &str| refused(compare(line.as_bytes()));
    for (line, text) in [
        (r#"mod(key1) > "0""#, r#"malformed comparison: mod(key1) > "0"; got mod("")  """#),
        (r#"foo("k") > "0""#, r#"malformed comparison: foo("k") > "0" (unknown target foo)"#),
        (r#"mod("k") > "x""#, r#"invalid txn compare request: mod("k") > "x""#),
        ("mod", "malformed comparison: mod"),
        (r#"c("k")>"1""#, r#"malformed comparison: c("k")>"1"; got c("k")  """#),
        (r#"mod("k")> "0""#, r#"malformed comparison: mod("k")> "0"; got mod("k")  """#),
        (r#"mod("k") >"0""#, r#"malformed comparison: mod("k") >"0"; got mod("k") >"0" """#),
        (r#"mod( "k" ) > "0""#, r#"malformed comparison: mod( "k" ) > "0"; got mod("")  """#),
        (r#"Mod("k") > "0""#, r#"malformed comparison: Mod("k") > "0" (unknown target Mod)"#),
        (r#"mod("k") >= "0""#, r#"malformed comparison: mod("k") >= "0" (unknown operator >=)"#),
    ] {
        assert_eq!(message(line), (3, text.to_owned()), "{line}");
    }
}

#[test]
fn operations() {
    let op = |line: &str| operation(line.as_bytes()).unwrap().request.unwrap();
    let Request::RequestPut(put) = op(r#"put "a b" -- -v"#) else { panic!() };
    assert_eq!((&put.key[..], &put.value[..]), (&b"a b"[..], &b"-v"[..]));
    let Request::RequestRange(get) = op("g k --prefix --limit=2") else { panic!() };
    assert_eq!((&get.range_end[..], get.limit), (&b"l"[..], 2));
    let Request::RequestDeleteRange(del) = op("del k --prev-kv") else { panic!() };
    assert!(del.prev_kv && del.range_end.is_empty());
    // Flags do not leak from line to line.
    let Request::RequestDeleteRange(del) = op("del k") else { panic!() };
    assert!(!del.prev_kv);
}

#[test]
fn operations_that_are_refused() {
    let message = |line: &str| refused(operation(line.as_bytes()));
    assert_eq!(message("put"), (3, "invalid txn compare request: put".into()));
    assert_eq!(message("foo k"), (3, "invalid txn request: foo k".into()));
    assert_eq!(message("put k v --bad"), (3, "invalid txn request: put k v --bad".into()));
    assert_eq!(message("put k v -w json"), (3, "invalid txn request: put k v -w json".into()));
    assert_eq!(message(r#"put k "\q""#).0, 3);
    assert_eq!(message("put k").0, 128);
    assert_eq!(message("get k e --prefix").0, 128);
}
