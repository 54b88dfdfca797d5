//! One answer, encoded twice: from plain pairs, and from pairs that the store kept encoded.
//!
//! `cargo run -p drystone-api --example wire`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::{etcdserverpb, mvccpb, raw};
use prost::Message;

fn main() -> Result<(), prost::DecodeError> {
    let pair = mvccpb::KeyValue {
        key: "foo".into(),
        value: "bar".into(),
        create_revision: 2,
        mod_revision: 2,
        version: 1,
        lease: 0,
    };
    let stored = Bytes::from(pair.encode_to_vec());
    println!("the pair as etcd stores it: {}", hex(&stored));

    let plain = etcdserverpb::RangeResponse { kvs: vec![pair], count: 1, ..Default::default() };
    let quick = raw::RangeResponse { kvs: vec![stored], count: 1, ..Default::default() };
    println!("a plain response: {}", hex(&plain.encode_to_vec()));
    println!("a raw response:   {}", hex(&quick.encode_to_vec()));
    assert_eq!(plain, etcdserverpb::RangeResponse::try_from(quick)?);

    let error = EtcdError::Compacted;
    println!("{error}: {} ({})", error.wire_code(), error.wire_code().number());
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
