//! Snapshots for members that the log no longer reaches: asked for, made, offered, sent.

use super::Node;
use drystone_probe::{mark, planted};
use drystone_raft::{MessageKind, Ready, SnapshotError, SnapshotMeta};
use drystone_types::MemberId;

/// How far a snapshot for a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// It is being made.
    Making,
    /// The replica has it on offer for so many ticks. It may find that the member does not need
    /// it any more, and then sends nothing.
    Offered { ticks: usize },
    /// It is on its way; the end of that will be reported.
    Sent,
}

/// Ticks after which an offer that was not taken no longer holds the log.
const OFFER_TICKS_MAX: usize = 20;

impl<R> Node<R> {
    /// A snapshot is ready to be streamed to `to`.
    ///
    /// # Errors
    /// [`SnapshotError`] when the log does not go on from it; another will be asked for.
    pub fn snapshot_ready(
        &mut self,
        to: MemberId,
        meta: SnapshotMeta,
    ) -> Result<(), SnapshotError> {
        self.replica.offer_snapshot(meta, &[to]).inspect_err(|_| {
            mark!("member.snapshot_refused");
            self.snapshots_under_way.remove(&to);
        })?;
        self.snapshots_under_way.insert(to, Transfer::Offered { ticks: 0 });
        Ok(())
    }

    pub(super) fn age_offers(&mut self) {
        self.snapshots_under_way.retain(|_, transfer| match transfer {
            Transfer::Offered { ticks } if *ticks >= OFFER_TICKS_MAX => {
                mark!("member.snapshot_offer_lapsed");
                false
            }
            Transfer::Offered { ticks } => {
                *ticks += 1;
                true
            }
            Transfer::Making | Transfer::Sent => true,
        });
    }

    /// Follows the snapshots that a `Ready` asks for and sends.
    pub(super) fn track_snapshots(&mut self, ready: &Ready) {
        for peer in &ready.snapshots_wanted {
            // An offer that does not serve the member any more is made anew: it caught up when
            // the offer came, and the log has been cut since.
            let transfer = self.snapshots_under_way.get(peer);
            if matches!(transfer, None | Some(Transfer::Offered { .. })) {
                mark!("member.snapshot_wanted");
                self.snapshots_under_way.insert(*peer, Transfer::Making);
                self.pending.snapshots_wanted.push(*peer);
            }
        }
        let messages = ready.messages.iter().chain(&ready.messages_after_persist);
        for message in messages.filter(|message| message.kind == MessageKind::Snapshot) {
            self.snapshots_under_way.insert(message.to, Transfer::Sent);
            // One snapshot is made for one member: the next one gets its own.
            self.replica.withdraw_snapshot();
        }
    }

    /// No snapshot for `to` could be made; it is asked for again while `to` needs one.
    pub fn snapshot_failed(&mut self, to: MemberId) {
        self.snapshots_under_way.remove(&to);
    }

    /// A snapshot's transfer to `to` ended.
    pub fn snapshot_sent(&mut self, to: MemberId, delivered: bool) {
        if !planted!("member.snapshot_sent_once") {
            self.snapshots_under_way.remove(&to);
        }
        if delivered {
            self.hold_ticks = self.config.snapshot_hold_ticks;
        } else {
            mark!("member.snapshot_lost");
        }
        self.replica.report_snapshot(to, delivered);
    }
}
