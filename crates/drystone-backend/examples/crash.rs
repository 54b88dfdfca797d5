//! What a power cut takes from a store, and how the store says so.

use drystone_backend::{Backend, BackendError, Batch, MemBackend, Read, Table, applied_of};
use drystone_types::{Applied, LogIndex, Term};
use std::io::{self, Write};
use std::ops::{Bound, ControlFlow};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout().lock();
    let store = MemBackend::new();
    for index in 1..=6 {
        let mut batch = Batch::new();
        batch.put(Table::Key, format!("key-{index}"), format!("entry {index}"));
        batch.set_applied(Applied { index: LogIndex(index), term: Term(1) });
        store.write(&batch)?;
        if index == 3 {
            let durable = store.flush()?;
            writeln!(out, "flushed up to entry {}", durable.index)?;
        }
    }
    let before = store.view()?;
    writeln!(
        out,
        "visible up to {}, durable up to {}",
        store.applied().index,
        store.durable().index
    )?;

    let store = store.crash(1);
    writeln!(out, "the power went; one batch reached the disk by luck")?;
    writeln!(out, "the log must be applied again after entry {}", store.applied().index)?;
    show(&mut out, "the store", &store)?;
    show(&mut out, "the view from before", &*before)?;
    Ok(())
}

fn show(
    out: &mut impl Write,
    name: &str,
    state: &dyn Read,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut keys = Vec::new();
    let all = (Bound::Unbounded, Bound::Unbounded);
    state.scan(Table::Key, all, &mut |key, _| {
        keys.push(String::from_utf8_lossy(key).into_owned());
        ControlFlow::Continue(())
    })?;
    let applied: Result<Applied, BackendError> = applied_of(state);
    writeln!(out, "{name} at {}: {}", applied?.index, keys.join(" "))?;
    Ok(())
}
