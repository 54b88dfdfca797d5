//! The bound on nesting against the decoder that imposes it.

use std::time::Duration;

use prost::Message;

use super::{TXN_DEPTH_MAX, lease_ttl_seconds_min, txn_depth};
use crate::etcdserverpb::{
    InternalRaftRequest, RangeRequest, RangeResponse, RequestOp, ResponseOp, TxnRequest,
    TxnResponse, request_op::Request, response_op::Response,
};
use crate::mvccpb::KeyValue;

/// `depth` transactions inside one another, with a range in the innermost.
fn nested(depth: usize) -> TxnRequest {
    let leaf = RangeRequest { key: "k".into(), ..Default::default() };
    let mut request = Request::RequestRange(leaf);
    for _ in 1..depth {
        let failure = vec![RequestOp { request: Some(request) }];
        request = Request::RequestTxn(TxnRequest { failure, ..Default::default() });
    }
    let success = vec![RequestOp { request: Some(request) }, RequestOp::default()];
    TxnRequest { success, ..Default::default() }
}

/// What answers [`nested`].
fn answer(depth: usize) -> TxnResponse {
    let pair = KeyValue { key: "k".into(), ..Default::default() };
    let mut response =
        Response::ResponseRange(RangeResponse { kvs: vec![pair], ..Default::default() });
    for _ in 1..depth {
        let responses = vec![ResponseOp { response: Some(response) }];
        response = Response::ResponseTxn(TxnResponse { responses, ..Default::default() });
    }
    let responses = vec![ResponseOp { response: Some(response) }];
    TxnResponse { responses, ..Default::default() }
}

fn entry(depth: usize) -> Vec<u8> {
    InternalRaftRequest { txn: Some(nested(depth)), ..Default::default() }.encode_to_vec()
}

#[test]
fn depth_counts_transactions() {
    assert_eq!(txn_depth(&TxnRequest::default()), 1);
    for depth in [1, 2, 3, TXN_DEPTH_MAX, 1000] {
        assert_eq!(txn_depth(&nested(depth)), depth);
    }
    let mut uneven = nested(3);
    uneven.failure = nested(7).success;
    assert_eq!(txn_depth(&uneven), 7);
}

#[test]
fn the_deepest_transaction_passes_client_log_and_answer() {
    let deepest = nested(TXN_DEPTH_MAX);
    assert_eq!(TxnRequest::decode(deepest.encode_to_vec().as_slice()).unwrap(), deepest);
    assert!(InternalRaftRequest::decode(entry(TXN_DEPTH_MAX).as_slice()).is_ok());
    let answer = answer(TXN_DEPTH_MAX);
    assert_eq!(TxnResponse::decode(answer.encode_to_vec().as_slice()).unwrap(), answer);
}

#[test]
fn one_deeper_decodes_from_a_client_but_not_from_the_log() {
    let deeper = nested(TXN_DEPTH_MAX + 1).encode_to_vec();
    assert!(TxnRequest::decode(deeper.as_slice()).is_ok());
    assert!(InternalRaftRequest::decode(entry(TXN_DEPTH_MAX + 1).as_slice()).is_err());
}

#[test]
fn far_too_deep_is_an_error_and_no_overflow() {
    let mut wire = Vec::new();
    // Tags and lengths alone, innermost first: building the message would nest as deep.
    for level in 0..50_000 {
        let tag = if level % 2 == 0 { 0x22 } else { 0x12 };
        let mut outer = vec![tag];
        prost::encoding::encode_varint(wire.len() as u64, &mut outer);
        if level % 1000 == 0 && wire.len() > 100_000 {
            break;
        }
        outer.extend_from_slice(&wire);
        wire = outer;
    }
    assert!(TxnRequest::decode(wire.as_slice()).is_err());
    assert!(RequestOp::decode(wire.as_slice()).is_err());
}

#[test]
fn the_smallest_lease_outlives_an_election() {
    for (election_millis, seconds) in [(1000, 2), (100, 1), (2000, 3), (667, 2), (666, 1)] {
        let election_timeout = Duration::from_millis(election_millis);
        assert_eq!(lease_ttl_seconds_min(election_timeout), seconds, "{election_millis}");
    }
}
