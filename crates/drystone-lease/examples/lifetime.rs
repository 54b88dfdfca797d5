//! A lease across a change of leader: it only ever lives longer.
//!
//! `cargo run -p drystone-lease --example lifetime`

use drystone_backend::{Batch, Change};
use drystone_lease::{Config, Error, Lessor};
use drystone_types::LeaseId;
use std::io::Write;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    let at = Duration::from_secs;
    let id = LeaseId(0x5ca1ab1e);

    let mut leader = Lessor::new(Config::default());
    leader.promote(at(0), at(1));
    let mut batch = Batch::new();
    leader.grant(&mut batch, id, 900, at(0))?;
    leader.attach(&"session".into(), LeaseId(0), id)?;
    writeln!(out, "granted {id} for 900 s at 0 s")?;

    let due = leader.due_checkpoints(at(300), 100);
    leader.checkpoint(&mut batch, &due)?;
    writeln!(out, "logged at 300 s: {} s left", due[0].1)?;

    // What the other members hold is what the log said, kept in the table of leases.
    let records = batch.changes().iter().filter_map(|change| match change {
        Change::Put { key, value, .. } => Some((key, value)),
        Change::Delete { .. } => None,
    });
    let mut successor = Lessor::open(records, Config::default())?;
    successor.attach_all([(id, "session".into())]);
    successor.promote(at(400), at(1));
    let left = successor.time_to_live(id, at(400), true).ok_or(Error::NotFound(id))?;
    writeln!(out, "a new leader at 400 s: {left:?}")?;

    let due = successor.expired(at(1001), 500);
    writeln!(out, "ran out at 1001 s: {due:?}")?;
    let keys = successor.revoke(&mut batch, id)?;
    writeln!(out, "to be deleted in one revision: {keys:?}")?;
    Ok(())
}
