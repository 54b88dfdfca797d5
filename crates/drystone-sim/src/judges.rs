//! Those who say what must not have happened, each in a file of its own.
//!
//! [`raft`], [`store`], [`bounds`], [`hashes`], [`stall`] and [`expiry`] look into members while
//! they run, by the membership that [`members`] reads from the log; what clients saw is judged at
//! the end by `drystone-judge`. Liveness is judged where the end of a run waits for things to come
//! to rest (`world/settle.rs`).

pub(crate) mod bounds;
pub(crate) mod expiry;
pub(crate) mod hashes;
pub(crate) mod members;
pub(crate) mod raft;
pub(crate) mod stall;
pub(crate) mod store;

use crate::knobs::Knobs;
use crate::random::{Draw, Purpose, stream};
use drystone_judge::{History, Searched, Verdict, Violation};
use drystone_types::MemberId;

/// Violations after which a run is not worth going on with.
const ENOUGH: usize = 1;
/// Runs in a hundred whose history is also searched without the log.
const SEARCHED_PERCENT: u32 = 10;
/// Steps after which a search is given up.
const SEARCH_STEPS_MAX: usize = 20_000;

/// All judges of a run.
#[derive(Debug)]
pub(crate) struct Judges {
    verdict: Verdict,
    pub(crate) raft: raft::Raft,
    pub(crate) store: store::Stores,
    pub(crate) hashes: hashes::Hashes,
    pub(crate) bounds: bounds::Bounds,
    pub(crate) stall: stall::Stall,
    pub(crate) expiry: expiry::Expiry,
}

impl Judges {
    pub(crate) fn new(knobs: &Knobs) -> Self {
        Self {
            verdict: Verdict::default(),
            raft: raft::Raft::new(knobs.learners_max),
            store: store::Stores::new(knobs.ttl_seconds_min),
            hashes: hashes::Hashes::default(),
            bounds: bounds::Bounds::default(),
            stall: stall::Stall::new(knobs.election_ticks),
            expiry: expiry::Expiry::default(),
        }
    }

    /// There is a machine more, whose member has applied nothing.
    pub(crate) fn joined(&mut self, id: MemberId) {
        self.raft.joined(id);
        self.store.joined();
        self.stall.joined();
        self.expiry.joined();
    }

    /// Notes something that must not have happened.
    pub(crate) fn blame(&mut self, judge: &'static str, rule: &'static str, text: String) {
        self.verdict.add(judge, rule, format_args!("{text}"));
    }

    /// True when enough is known to be wrong.
    pub(crate) fn is_full(&self) -> bool {
        let inside = [
            &self.raft.verdict,
            &self.store.verdict,
            &self.hashes.verdict,
            &self.bounds.verdict,
            &self.stall.verdict,
            &self.expiry.verdict,
            &self.verdict,
        ];
        inside.iter().map(|verdict| verdict.violations().len()).sum::<usize>() >= ENOUGH
    }

    /// Judges what clients saw. A sample of histories is also searched without the log, which
    /// must come to the same end; true when this one was.
    pub(crate) fn history(&mut self, history: &History, seed: u64) -> bool {
        let verdict = drystone_judge::judge(history);
        let witnessed = verdict.violations().iter().all(|violation| violation.judge != "witness");
        self.verdict.extend(verdict);
        if !stream(seed, Purpose::Sampling).percent(SEARCHED_PERCENT) {
            return false;
        }
        let found = drystone_judge::search(history, SEARCH_STEPS_MAX);
        let agrees = match found {
            Searched::Undecided => true,
            Searched::Linearizable => witnessed,
            Searched::NotLinearizable => !witnessed,
        };
        if !agrees {
            let text = format!("the search says {found:?}, the witness says {witnessed}");
            self.blame("search", "the witness and the search agree", text);
        }
        found != Searched::Undecided
    }

    /// All that was noted.
    pub(crate) fn take(&mut self) -> Vec<Violation> {
        let Self { verdict, raft, store, hashes, bounds, stall, expiry } = self;
        for other in [
            &mut raft.verdict,
            &mut store.verdict,
            &mut hashes.verdict,
            &mut bounds.verdict,
            &mut stall.verdict,
            &mut expiry.verdict,
        ] {
            verdict.extend(std::mem::take(other));
        }
        std::mem::take(verdict).violations().to_vec()
    }
}
