//! Versions, a guarded update, compaction and history, over a store in memory.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use drystone_backend::{Backend, Batch, MemBackend};
use drystone_mvcc::{
    Compare, CompareResult, CompareTarget, Config, KeyValue, Leases, Op, Put, RangeQuery, Store,
    Txn,
};
use drystone_types::{KeyRange, LeaseId};
use std::error::Error;
use std::sync::Arc;

struct NoLeases;

impl Leases for NoLeases {
    fn exists(&self, _: LeaseId) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let backend = Arc::new(MemBackend::new());
    let mut store = Store::open(backend.clone(), Config::default())?;
    let reader = store.reader();

    let mut batch = Batch::new();
    store.put(&mut batch, &Put::new("wall/1", "granite"), &NoLeases)?;
    store.put(&mut batch, &Put::new("wall/2", "slate"), &NoLeases)?;
    backend.write(&batch)?;
    store.publish();
    let before = reader.snapshot();

    // Replace the slate, but only if nobody touched it since we looked.
    let seen = before.range(&RangeQuery::new(KeyRange::key("wall/2")))?;
    let seen = KeyValue::decode(&seen.kvs[0])?;
    let swap = Txn {
        compare: vec![Compare {
            range: KeyRange::key("wall/2"),
            result: CompareResult::Equal,
            target: CompareTarget::Mod(seen.mod_revision),
        }],
        success: vec![Op::Put(Put::new("wall/2", "sandstone"))],
        failure: Vec::new(),
    };
    for _ in 0..2 {
        let mut batch = Batch::new();
        let outcome = store.txn(&mut batch, &swap, &NoLeases)?;
        backend.write(&batch)?;
        store.publish();
        println!("at revision {}: swapped = {}", outcome.revision, outcome.succeeded);
    }

    let wall = RangeQuery::new(KeyRange::prefix(b"wall/"));
    for (name, query) in
        [("now", wall.clone()), ("at revision 3", RangeQuery { revision: 3, ..wall.clone() })]
    {
        let found = reader.snapshot().range(&query)?;
        for pair in &found.kvs {
            let KeyValue { key, value, version, .. } = KeyValue::decode(pair)?;
            let (key, value) = (key.escape_ascii(), value.escape_ascii());
            println!("{name}: {key} = {value} (version {version})");
        }
    }

    let mut batch = Batch::new();
    let current = store.revision();
    store.compact(&mut batch, current)?;
    backend.write(&batch)?;
    store.publish();
    let old = reader.snapshot().range(&RangeQuery { revision: 3, ..wall });
    println!("after compaction: {}", old.err().map_or("still there".into(), |e| e.to_string()));
    println!("the snapshot from before still reads revision {}", before.revision());
    drop(before);
    while let Some(batch) = store.sweep(1000)? {
        backend.write(&batch)?;
    }
    println!("swept up to revision {}", store.swept());
    Ok(())
}
