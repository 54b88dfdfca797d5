//! Each rule of the mapping, and bytes that follow none.

use super::*;
use crate::routes::find;
use crate::scan::{Progress, Scanner};
use drystone_api::etcdserverpb::{RangeRequest, TxnRequest, request_op};
use proptest::prelude::*;
use prost::Message;

fn input(path: &str) -> MessageDescriptor {
    find(path).unwrap().input.clone()
}

fn range(json: &str) -> Result<RangeRequest, String> {
    let message = decode(&input("/v3/kv/range"), json.as_bytes()).map_err(|e| e.to_string())?;
    Ok(message.transcode_to().unwrap())
}

fn key(json: &str) -> Result<Vec<u8>, String> {
    range(&format!(r#"{{"key":{json}}}"#)).map(|request| request.key.to_vec())
}

fn limit(json: &str) -> Option<i64> {
    range(&format!(r#"{{"limit":{json}}}"#)).ok().map(|request| request.limit)
}

#[test]
fn fields_go_by_both_names_and_unknown_ones_are_dropped() {
    let one =
        range(r#"{"range_end":"Yg==","keysOnly":true,"other":{"a":[1,{"b":"]"}]},"key":"YQ=="}"#);
    let other = range(r#" { "rangeEnd" : "Yg==" , "keys_only" : true , "key" : "YQ==" } "#.trim());
    assert_eq!(one, other);
    assert_eq!(one.unwrap().range_end, "b");
    assert_eq!(
        range(r#"{"key":null,"limit":null,"sort_order":null}"#),
        Ok(RangeRequest::default())
    );
}

#[test]
fn bytes_are_base64_of_either_alphabet_with_padding_or_without() {
    for (json, bytes) in [
        (r#""""#, &b""[..]),
        (r#""YQ==""#, b"a"),
        (r#""YQ""#, b"a"),
        (r#""-_-_""#, b"\xfb\xff\xbf"),
        (r#""+/+/""#, b"\xfb\xff\xbf"),
        (r#""-_8=""#, b"\xfb\xff"),
        (r#""-_8""#, b"\xfb\xff"),
        (r#""YR==""#, b"a"),
        (r#""YWJj\nZA==""#, b"abcd"),
    ] {
        // Padding is judged by the length with its line breaks, as Go does.
        let expected = if json.contains("\\n") { None } else { Some(bytes.to_vec()) };
        assert_eq!(key(json).ok(), expected, "{json}");
    }
    for json in
        [r#""YQ=""#, r#""Y""#, r#""+-==""#, r#""YQ== ""#, r#""!!!!""#, "12", "true", "{}", "[]"]
    {
        assert!(key(json).is_err(), "{json}");
    }
    assert_eq!(key(r#""YW\r\n\r\nJj""#).unwrap(), b"abc");
}

#[test]
fn integers_are_numbers_or_strings() {
    for (json, value) in [
        ("7", 7),
        (r#""7""#, 7),
        ("-7", -7),
        ("7.0", 7),
        ("0.7e1", 7),
        (r#""7e0""#, 7),
        ("9223372036854775807", i64::MAX),
        (r#""-9223372036854775808""#, i64::MIN),
    ] {
        assert_eq!(limit(json), Some(value), "{json}");
    }
    for json in [
        "7.5",
        r#"" 7""#,
        r#""7 ""#,
        r#""+7""#,
        r#""""#,
        r#""0x7""#,
        "true",
        "9223372036854775808",
        "{}",
    ] {
        assert_eq!(limit(json), None, "{json}");
    }
}

#[test]
fn enums_are_names_or_numbers() {
    let order = |json: &str| {
        range(&format!(r#"{{"sort_order":{json}}}"#)).ok().map(|request| request.sort_order)
    };
    assert_eq!(order(r#""DESCEND""#), Some(2));
    assert_eq!(order("2"), Some(2));
    assert_eq!(order("77"), Some(77), "the service judges it");
    assert_eq!(order(r#""UPWARDS""#), Some(0), "an unknown name is dropped");
    assert_eq!(order(r#""2""#), Some(0), "and so is a number in a string");
    assert_eq!(order("true"), None);
    assert_eq!(order("2147483648"), None);
}

#[test]
fn refusals_are_in_gos_words() {
    for (json, error) in [
        ("null", "proto: syntax error (line 1:1): unexpected token null"),
        ("[]", "proto: syntax error (line 1:1): unexpected token ["),
        (r#""x""#, r#"proto: syntax error (line 1:1): unexpected token "x""#),
        (r#"{"key":12}"#, "proto: (line 1:8): invalid value for bytes field key: 12"),
        (
            r#"{"key":"YQ==","limit":"x"}"#,
            r#"proto: (line 1:23): invalid value for int64 field limit: "x""#,
        ),
        (
            r#"{"range_end":true}"#,
            "proto: (line 1:14): invalid value for bytes field rangeEnd: true",
        ),
        (r#"{"keys_only":1}"#, "proto: (line 1:14): invalid value for bool field keysOnly: 1"),
        (r#"{"sort_order":[]}"#, "proto: (line 1:15): invalid value for enum field sortOrder: ["),
        (r#"{"key":"YQ==","key":"YQ=="}"#, r#"proto: (line 1:15): duplicate field "key""#),
        (
            "{\n \"é\": 1, \"keysOnly\":true,\"keys_only\":true}",
            r#"proto: (line 2:26): duplicate field "keys_only""#,
        ),
    ] {
        assert_eq!(range(json), Err(error.to_owned()), "{json}");
    }
}

#[test]
fn choices_are_made_once() {
    let txn = input("/v3/kv/txn");
    let json = r#"{"success":[{"request_range":{},"request_put":{}}]}"#;
    let error = decode(&txn, json.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        error,
        "proto: (line 1:33): error parsing \"request_put\", \
         oneof etcdserverpb.RequestOp.request is already set"
    );
    let json = r#"{"success":[{"request_range":null,"request_put":{}}],"compare":[{"version":0}]}"#;
    let message: TxnRequest = decode(&txn, json.as_bytes()).unwrap().transcode_to().unwrap();
    assert!(matches!(message.success[0].request, Some(request_op::Request::RequestPut(_))));
    assert!(message.compare[0].target_union.is_some(), "a choice counts also when it is zero");
    for json in [r#"{"success":[null]}"#, r#"{"success":{}}"#, r#"{"success":[1]}"#] {
        assert!(decode(&txn, json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn strings_must_be_unicode() {
    let user = input("/v3/auth/user/get");
    let decode = |json: &[u8]| decode(&user, json).map_err(|error| error.to_string());
    assert!(decode(br#"{"name":"\ud83d\ude00"}"#).is_ok());
    let error = "proto: syntax error (line 1:9): invalid escape code in string";
    assert_eq!(decode(br#"{"name":"\ud83d"}"#), Err(error.to_owned()));
    let error = "proto: syntax error (line 1:9): invalid UTF-8 in string";
    assert_eq!(decode(b"{\"name\":\"\xff\"}"), Err(error.to_owned()));
    assert!(decode(b"{\"other\":\"\xff\"}").is_err(), "also where nobody looks");
}

/// Text that looks like requests, often enough.
fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"key\"",
        "\"success\"",
        "\"compare\"",
        "\"limit\"",
        "null",
        "true",
        "1",
        "-2.5e3",
        "\"YQ==\"",
        "\"request_txn\"",
        "\"request_range\"",
        "\"\\u00e9\"",
        " ",
        "\n",
        "\"version\"",
        "\"sort_order\"",
        "1e400",
        "\"\\ud800\"",
        "\"",
    ]);
    prop_oneof![
        prop::collection::vec(word, 0..40).prop_map(|words| words.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in json_like(), path in prop::sample::select(vec!["/v3/kv/txn", "/v3/kv/range", "/v3/watch"])) {
        if let Ok(Progress::Ends(end)) = Scanner::new().feed(&bytes) {
            let _ = decode(&input(path), &bytes[..end]);
        }
    }

    /// What a client of ours would write comes back as it was.
    #[test]
    fn requests_survive_the_way_through_json(key: Vec<u8>, range_end: Vec<u8>, limit: i64, order in 0..3i32, count_only: bool) {
        let request = RangeRequest { key: key.into(), range_end: range_end.into(), limit, sort_order: order, count_only, ..Default::default() };
        let kind = input("/v3/kv/range");
        let message = DynamicMessage::decode(kind.clone(), request.encode_to_vec().as_slice()).unwrap();
        let json = crate::encode::message(&message);
        let back: RangeRequest = decode(&kind, &json).unwrap().transcode_to().unwrap();
        prop_assert_eq!(back, request);
    }
}
