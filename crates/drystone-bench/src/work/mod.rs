//! The kinds of work.

mod fill;
mod kv;
mod pages;
mod watch;

pub(crate) use fill::{clean, fill};

use std::sync::Arc;
use std::time::Instant;

use crate::Error;
use crate::args::{Common, Work};
use crate::keys::Keys;
use crate::load::{Budget, Recorder};
use crate::progress::Progress;
use crate::report::Load;
use crate::wire::Wire;

/// What every kind of work is given.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) common: Common,
    pub(crate) keys: Keys,
    pub(crate) wires: Vec<Wire>,
}

/// What a kind of work has measured.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) load: Load,
    pub(crate) puts: Option<Load>,
    pub(crate) walks: Option<Load>,
    pub(crate) conflicts: Option<u64>,
    pub(crate) events_missing: Option<u64>,
}

impl Bed {
    pub(crate) fn clients(&self) -> usize {
        self.common.clients as usize
    }

    /// The connection of a worker.
    pub(crate) fn wire(&self, worker: usize) -> &Wire {
        &self.wires[worker % self.wires.len()]
    }
}

impl Outcome {
    fn new(recorder: Arc<Recorder>, begun: Instant) -> Outcome {
        let load = Load::new(&recorder, begun.elapsed());
        Outcome { recorder, load, puts: None, walks: None, conflicts: None, events_missing: None }
    }
}

/// Does the work.
pub(crate) async fn run(work: &Work, bed: &Arc<Bed>) -> Result<Outcome, Error> {
    let recorder = Arc::new(Recorder::new());
    let total = bed.common.total();
    let _progress = Progress::start(work.name(), total, recorder.clone());
    let budget = Arc::new(Budget::new(total, &bed.common));
    Ok(match work {
        Work::Put => kv::put(bed, budget, recorder).await,
        Work::Range => kv::range(bed, budget, recorder).await,
        Work::Txn => kv::txn(bed, budget, recorder).await,
        Work::List => kv::list(bed, budget, recorder, false).await,
        Work::Count => kv::list(bed, budget, recorder, true).await,
        Work::Page { page_size } => pages::page(bed, *page_size, budget, recorder).await,
        Work::Watch(args) => return watch::watch(bed, *args, recorder).await,
    })
}
