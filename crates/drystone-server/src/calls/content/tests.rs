use super::*;
use drystone_api::etcdserverpb::compare::{CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::request_op::Request;
use drystone_api::etcdserverpb::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest};
use proptest::prelude::*;
use prost::Message;

fn whole(method: &str, message: &impl Message) -> String {
    let bytes = message.encode_to_vec();
    told(method, &bytes, bytes.len() as u64)
}

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), ..Default::default() }
}

/// The forms were seen with etcd 3.5.1, which tells keys whole.
#[test]
fn requests_are_told_as_in_etcd_with_the_folders_of_their_keys() {
    let range = RangeRequest {
        key: "/a/".into(),
        range_end: "/a0".into(),
        limit: 5,
        sort_order: 2,
        serializable: true,
        ..Default::default()
    };
    assert_eq!(
        whole("Range", &range),
        r#"key:"/..." key_size:3 range_end:"/..." range_end_size:3 limit:5 sort_order:DESCEND serializable:true "#
    );
    let lease = PutRequest { lease: -1, prev_kv: true, ..put("é\"/b", "secret") };
    assert_eq!(
        whole("Put", &lease),
        r#"key:"\303\251\"/..." key_size:5 value_size:6 lease:-1 prev_kv:true "#
    );
    let compare = Compare {
        target: CompareTarget::Value.into(),
        key: "k".into(),
        target_union: Some(TargetUnion::Value("secret".into())),
        ..Default::default()
    };
    let operation = |request| RequestOp { request: Some(request) };
    let inner = TxnRequest {
        success: vec![operation(Request::RequestPut(put("x", "secret")))],
        ..Default::default()
    };
    let txn = TxnRequest {
        compare: vec![compare.clone(), compare],
        success: vec![operation(Request::RequestTxn(inner))],
        failure: vec![],
    };
    let compared = r#"target:VALUE key:"..." key_size:1 value_size:6 "#;
    assert_eq!(
        whole("Txn", &txn),
        format!(
            "compare:<{compared} {compared}> success:<request_txn:<compare:<> success:<\
             request_put:<key:\"...\" key_size:1 value_size:6 > > failure:<> > > failure:<> "
        )
    );
    assert_eq!(occurrences(&txn.encode_to_vec(), 1), 2);
    assert_eq!(whole("Compact", &range), "");
}

#[test]
fn of_the_beginning_of_a_request_what_is_there_is_told() {
    let request = PutRequest { lease: 7, ..put("/a/b", "secret") }.encode_to_vec();
    let length = request.len() as u64;
    assert_eq!(told("Put", &request[..9], length), "key:\"/a/...\" key_size:4 value_size:6 ...");
    assert_eq!(told("Put", &[], length), "...");
}

#[test]
fn a_keys_last_part_is_not_told() {
    for (key, expected) in
        [("a", ""), ("/", ""), ("/a", "/"), ("/a/b", "/a/"), ("/a/b/", "/a/"), ("", "")]
    {
        assert_eq!(folder(key.as_bytes()), expected.as_bytes(), "{key}");
    }
    let long = format!("{}/secret", "a/".repeat(50));
    assert_eq!(folder(long.as_bytes()).len(), FOLDER_BYTES_MAX);
}

proptest! {
    #[test]
    fn any_bytes_are_told_of_or_not_and_values_never(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        value in "[A-Z]{12}",
        cut in 0_usize..400,
    ) {
        for method in ["Range", "Put", "DeleteRange", "Txn", "Other"] {
            told(method, &bytes, 300);
        }
        let put = PutRequest {
            key: format!("/folder/{value}").into(),
            value: value.clone().into(),
            ..Default::default()
        };
        let operation = RequestOp { request: Some(Request::RequestPut(put.clone())) };
        let mut txn = TxnRequest { success: vec![operation], ..Default::default() };
        for _ in 0..20 {
            let operation = RequestOp { request: Some(Request::RequestTxn(txn)) };
            txn = TxnRequest { failure: vec![operation], ..Default::default() };
        }
        for (method, message) in [("Put", put.encode_to_vec()), ("Txn", txn.encode_to_vec())] {
            let message = &message[..cut.min(message.len())];
            prop_assert!(!told(method, message, 400).contains(&value));
        }
    }
}
