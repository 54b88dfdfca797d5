//! Snapshots for members that the log no longer reaches.
//!
//! A checkpoint flushes the store first, which takes as long as the disk takes. Each is made on a
//! thread of its own, one for a member at a time, so that applying goes on meanwhile: a leader
//! whose apply side stands still gives its leadership up.

use crate::layout::Layout;
use crate::peers;
use crate::shared::{ApplyInput, Input};
use crate::threads::ApplyThread;
use drystone_backend::Backend;
use drystone_raft::SnapshotMeta;
use drystone_types::{Applied, LogIndex, MemberId};
use std::path::Path;

impl ApplyThread {
    /// Begins a checkpoint for `to`; [`ApplyInput::SnapshotMade`] follows.
    pub(crate) fn make_snapshot(&self, to: MemberId) {
        let backend = self.applier.machine().backend().clone();
        let shared = self.shared.clone();
        let make = move || {
            let made = make(&*backend, &shared.layout, to);
            let _ = shared.apply.send(ApplyInput::SnapshotMade(to, made));
        };
        let spawned = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(make);
        if let Err(error) = spawned {
            self.snapshot_made(to, Err(error.to_string()));
        }
    }

    /// Offers the checkpoint that was made for `to`. One that holds an older membership than the
    /// machine is of no use, since raft must be told the membership at its index; raft asks for
    /// another.
    pub(crate) fn snapshot_made(&self, to: MemberId, made: Result<Applied, String>) {
        let current = |copy: &Applied| copy.index >= self.membership_since;
        let input = match made {
            Ok(copy) if current(&copy) => {
                tracing::info!(%to, index = %copy.index, "made a snapshot for a member");
                let meta = SnapshotMeta {
                    conf_state: self.applier.machine().membership().conf_state(),
                    index: copy.index,
                    term: copy.term,
                    data: bytes::Bytes::new(),
                };
                Input::SnapshotReady(to, meta)
            }
            Ok(copy) => {
                tracing::info!(%to, index = %copy.index, "the membership overtook a snapshot");
                Input::SnapshotFailed(to)
            }
            Err(error) => {
                tracing::error!(%to, %error, "cannot make a snapshot for a member");
                Input::SnapshotFailed(to)
            }
        };
        let _ = self.shared.inbox.send(input);
    }
}

/// Makes a checkpoint where [`peers::outgoing`] looks for it, and says what it holds: batches
/// that were written meanwhile may be in it.
fn make(backend: &dyn Backend, layout: &Layout, to: MemberId) -> Result<Applied, String> {
    let unfinished = peers::outgoing(layout, LogIndex(0), to);
    let rename = |from: &Path, to: &Path| {
        peers::make_room(to).and_then(|()| std::fs::rename(from, to)).map_err(|e| e.to_string())
    };
    peers::make_room(&unfinished).map_err(|error| error.to_string())?;
    let copy = backend.checkpoint(&unfinished).map_err(|error| error.to_string())?;
    rename(&unfinished, &peers::outgoing(layout, copy.index, to))?;
    Ok(copy)
}
