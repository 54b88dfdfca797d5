//! A look at a running server from outside its runtime: what it holds for its clients.

use crate::access::Authority;
use crate::hub::Command;
use crate::shared::{ApplyInput, Input, Shared};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a call may take to end once it was proposed; longer, and it waits for what does not
/// come.
const WAITERS_MAX: Duration = Duration::from_secs(10);

/// Looks at a server. See [`Observer::settle`].
#[derive(Clone, Debug)]
pub struct Observer {
    shared: Arc<Shared>,
}

/// What a server holds for its clients at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Calls that wait for a command of theirs to be applied.
    pub waiters: usize,
    /// Open watch streams.
    pub streams: usize,
    /// Watchers on them.
    pub watchers: usize,
    /// Watchers with history to catch up on.
    pub unsynced: usize,
    /// Bytes of events that wait in the hub for streams that do not take them.
    pub queued_bytes: usize,
    /// The revision that readers see.
    pub revision: i64,
}

impl Observer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Waits until the member's threads have done what was asked of them before this call, as far
    /// as it can be done, then says what there is. `None` when the threads have ended.
    ///
    /// Commands that nobody waits for any more may still be on their way, and so may calls that
    /// take longer than ten seconds to be applied. It blocks, for as long as a disk may take: it
    /// is not for a runtime's worker.
    #[must_use]
    pub fn settle(&self) -> Option<Load> {
        let patience = Instant::now() + WAITERS_MAX;
        loop {
            // What came before it in the inbox has been proposed when it is answered, and a
            // command's waiter goes when the command is applied.
            let (token, confirmed) = oneshot::channel();
            self.shared.inbox.send(Input::Read(token)).ok()?;
            let _ = confirmed.blocking_recv().ok()?;
            if self.shared.waiters.is_empty() || Instant::now() > patience {
                break;
            }
            std::thread::yield_now();
        }
        let (reply, leases) = oneshot::channel();
        self.shared.apply.send(ApplyInput::Leases(Authority::of_this_member(), reply)).ok()?;
        let _ = leases.blocking_recv().ok()?;
        let (reply, stats) = oneshot::channel();
        self.shared.hub.send_blocking(Command::Rest(reply));
        let stats = stats.blocking_recv().ok()?;
        Some(Load {
            waiters: self.shared.waiters.len(),
            streams: stats.streams,
            watchers: stats.watchers,
            unsynced: stats.unsynced,
            queued_bytes: stats.queued_bytes,
            revision: self.shared.revision(),
        })
    }
}
