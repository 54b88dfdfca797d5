//! A writer is killed again and again; what it leaves must be a prefix of what it wrote.

use super::twin::{NUMBER_KEY, Twin, number_of};
use crate::{Backend, BackendError, Batch, Table};
use drystone_types::{Applied, LogIndex, Term};
use std::ops::ControlFlow;

/// Reports between a writer's start and the kill, at most.
const REPORTS_MAX: u64 = 600;
/// Values are shorter.
const VALUE_BYTES_MAX: u64 = 4096;

/// A store whose writer can be killed.
pub trait Victim {
    /// Runs [`write_on`] with `seed` on the store, in a process of its own if it outlives one,
    /// and kills the writer without warning soon after its report number `reports`. Returns the
    /// last durable mark that was reported.
    fn kill_writer(&mut self, seed: u64, reports: u64) -> Applied;

    /// Opens what the last kill left. It is closed before the next call of either.
    fn open(&mut self) -> Box<dyn Backend>;
}

/// Kills writers of `victim`, whose store is new and empty, for `rounds`. Each time the store
/// must hold what a naive twin holds after some number of the writer's batches, at least those
/// that had been reported as durable, and the next writer goes on from there. Returns how many
/// batches survived in the end.
///
/// # Panics
/// When the store lost, tore or invented something.
pub fn kill_rounds(victim: &mut dyn Victim, seed: u64, rounds: u64) -> u64 {
    let mut twin = Twin::default();
    let mut kept = 0;
    for round in 1..=rounds {
        let mut reports = 1 + noise(seed, round, 0) % REPORTS_MAX;
        if round.is_multiple_of(2) {
            reports = next_flush(seed, kept, reports);
        }
        let reported = victim.kill_writer(seed, reports);
        let store = victim.open();
        let what = format!("seed {seed}, round {round}");
        assert!(store.applied() >= reported, "{what}: {reported:?} was durable and is gone");
        assert_eq!(store.durable(), store.applied(), "{what}");
        let found = number_of(&*store) as u64;
        assert!(found >= kept, "{what}: {kept} batches were there once, now {found}");
        (kept + 1..=found).for_each(|number| twin.apply(&batch(seed, number)));
        kept = found;
        assert_eq!(store.applied(), twin.applied, "{what}");
        twin.check(&*store, &what);
        twin.check(&*store.view().expect("a view"), &what);
    }
    kept
}

/// The writer: batches by `seed` alone, from behind those that the store holds, with flushes
/// between them. Tells `report` what is durable after each, and before each flush, and ends when
/// it breaks.
///
/// # Errors
/// Those of the store.
pub fn write_on(
    store: &dyn Backend,
    seed: u64,
    report: &mut dyn FnMut(Applied) -> ControlFlow<()>,
) -> Result<(), BackendError> {
    let mut number = number_of(store) as u64;
    loop {
        number += 1;
        store.write(&batch(seed, number))?;
        if report(store.durable()).is_break() {
            return Ok(());
        }
        if flushes_behind(seed, number) {
            let durable = store.flush()?;
            if report(durable).is_break() {
                return Ok(());
            }
        }
    }
}

/// True when the writer flushes behind batch `number`.
fn flushes_behind(seed: u64, number: u64) -> bool {
    noise(seed, number, 1).is_multiple_of(50)
}

/// The first report, not before number `reports` of a writer that goes on behind `kept` batches,
/// behind which a flush begins: a kill then falls into the flush.
fn next_flush(seed: u64, kept: u64, reports: u64) -> u64 {
    let (mut number, mut count) = (kept, 0);
    loop {
        (number, count) = (number + 1, count + 1);
        if flushes_behind(seed, number) {
            if count >= reports {
                return count;
            }
            count += 1;
        }
    }
}

/// Batch `number`, from 1 on; the same in every process.
fn batch(seed: u64, number: u64) -> Batch {
    let mut batch = Batch::new();
    for change in 0..noise(seed, number, 2) % 6 {
        let draw = noise(seed, number, 100 + change);
        // Few keys, so that batches overwrite and delete what others wrote.
        let table = match draw % 4 {
            0 | 1 => Table::Key,
            2 => Table::Lease,
            _ => Table::AuthUsers,
        };
        let key = format!("key {}", (draw >> 8) % 200);
        if (draw >> 32).is_multiple_of(4) {
            batch.delete(table, key);
        } else {
            // Most values are short, and some fill the engine's buffers.
            let bytes =
                (draw >> 40) % if (draw >> 36).is_multiple_of(3) { VALUE_BYTES_MAX } else { 40 };
            let words = (0..bytes.div_ceil(8)).map(|word| noise(draw, number, word));
            batch.put(table, key, words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>());
        }
    }
    batch.put(Table::Cluster, NUMBER_KEY, number.to_string());
    // Housekeeping carries no mark; some batches apply several entries.
    if !noise(seed, number, 3).is_multiple_of(5) {
        let index = LogIndex(number * 3 - noise(seed, number, 4) % 3);
        batch.set_applied(Applied { index, term: Term(1 + number / 100) });
    }
    batch
}

/// A number by its place (splitmix64's finalizer).
fn noise(seed: u64, number: u64, place: u64) -> u64 {
    let mut x = seed
        .wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(place.wrapping_mul(0xd1b5_4a32_d192_ed03));
    for _ in 0..2 {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
    }
    x
}
