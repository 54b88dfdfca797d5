//! Two machines apply one log in different batches and end equal.

use drystone_api::etcdserverpb::{InternalRaftRequest, PutRequest};
use drystone_backend::MemBackend;
use drystone_machine::{Machine, MachineConfig};
use drystone_types::{Entry, LogIndex, Term};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let log: Vec<Entry> = (1..=100)
        .map(|index| {
            let key = format!("key-{}", index % 10).into();
            let put = PutRequest { key, value: index.to_string().into(), ..Default::default() };
            let request = InternalRaftRequest { put: Some(put), ..Default::default() };
            Entry {
                term: Term(1),
                index: LogIndex(index),
                data: request.encode_to_vec().into(),
                ..Default::default()
            }
        })
        .collect();
    let mut hashes = Vec::new();
    for batch in [1, 33] {
        let mut machine = Machine::open(Arc::new(MemBackend::new()), MachineConfig::default())?;
        for entries in log.chunks(batch) {
            machine.apply(entries, Duration::ZERO)?;
        }
        let hash = machine.reader().snapshot().hash_kv(0)?;
        eprintln!("batches of {batch}: revision {}, hash {}", hash.revision, hash.hash);
        hashes.push(hash);
    }
    assert_eq!(hashes[0], hashes[1]);
    Ok(())
}
