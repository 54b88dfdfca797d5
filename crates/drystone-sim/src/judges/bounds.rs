//! Every queue keeps its bound.

use crate::clock::Micros;
use crate::host::Process;
use crate::knobs::Knobs;
use drystone_judge::Verdict;

const JUDGE: &str = "bounds";
/// What one response may hold beyond a bound: a revision is never cut, and the largest
/// transaction of a plan writes a handful of values of 700 bytes, with what they replace.
const REVISION_BYTES_MAX: usize = 64 << 10;

/// The judge.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) verdict: Verdict,
}

impl Bounds {
    /// Looks at a member's hub and what leads to it.
    pub(crate) fn hub(&mut self, now: Micros, m: usize, process: Option<&Process>, knobs: &Knobs) {
        let Some(process) = process else { return };
        if process.feed.bytes() > knobs.feed_bytes_max {
            self.verdict.add(
                JUDGE,
                "the feed's bytes",
                format_args!("at {now} us m{m}: {} bytes", process.feed.bytes()),
            );
        }
        let stats = process.hub.stats();
        let one = knobs.queue_bytes_max.max(knobs.response_bytes_max) + 2 * REVISION_BYTES_MAX;
        let all = knobs.queues_bytes_max + stats.streams * 2 * REVISION_BYTES_MAX;
        if stats.queued_bytes > (one * stats.streams).min(all) {
            self.verdict.add(
                JUDGE,
                "the streams' queues",
                format_args!("at {now} us m{m}: {stats:?}"),
            );
        }
    }

    /// Looks at a member's inbox. Other members and the member itself may always add to what
    /// clients left room for.
    pub(crate) fn inbox(&mut self, now: Micros, m: usize, process: &Process, knobs: &Knobs) {
        let slack = 64;
        if process.inbox.len() > knobs.inbox_max + slack {
            self.verdict.add(
                JUDGE,
                "the inbox",
                format_args!("at {now} us m{m}: {} inputs", process.inbox.len()),
            );
        }
    }
}
