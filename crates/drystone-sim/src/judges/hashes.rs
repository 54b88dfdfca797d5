//! Members with equal logs have equal stores: hashes at equal places.

use crate::host::{Host, Process};
use drystone_judge::Verdict;
use std::collections::BTreeMap;

const JUDGE: &str = "hashes";
/// How seldom a member is hashed while it runs: hashing reads everything.
const EVERY: u64 = 24;

/// The judge.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    pub(crate) verdict: Verdict,
    /// The hash at an index, and who had it first.
    seen: BTreeMap<u64, (usize, u32, i64)>,
    asked: u64,
}

fn hash(process: &Process) -> Option<(u32, i64)> {
    let hashed = process.applier.machine().reader().snapshot().hash_kv(0).ok()?;
    Some((hashed.hash, hashed.compact_revision))
}

impl Hashes {
    /// A member applied a batch: now and then its hash is held against the others'.
    pub(crate) fn applied(&mut self, m: usize, process: &Process) {
        self.asked += 1;
        let index = process.applied_index().0;
        // Where another was hashed, this one is too.
        if self.asked.is_multiple_of(EVERY) || self.seen.contains_key(&index) {
            self.hold(m, process);
        }
    }

    fn hold(&mut self, m: usize, process: &Process) {
        let index = process.applied_index().0;
        let Some((hash, compacted)) = hash(process) else {
            return self.verdict.add(JUDGE, "a store can be hashed", format_args!("m{m}"));
        };
        let (first, expected, at) = *self.seen.entry(index).or_insert((m, hash, compacted));
        if (expected, at) != (hash, compacted) {
            self.verdict.add(
                JUDGE,
                "equal logs give equal hashes",
                format_args!(
                    "at entry {index} m{m} has {hash} ({compacted}), m{first} {expected} ({at})"
                ),
            );
        }
    }

    /// The run has settled: all are equal.
    pub(crate) fn finish(&mut self, hosts: &[Host]) {
        for (m, host) in hosts.iter().enumerate() {
            if let Some(process) = &host.process {
                self.hold(m, process);
            }
        }
    }
}
