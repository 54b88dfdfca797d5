//! Leases that the log grants and that are not applied yet.

use drystone_api::etcdserverpb::InternalRaftRequest;
use drystone_types::{Entry, EntryKind, LeaseId, LogIndex};
use prost::Message as _;
use std::collections::BTreeMap;

/// What a leader has seen of the end of its log. Each entry is looked at once.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// The newest entry that was looked at.
    pub(crate) seen: LogIndex,
    /// Where each lease was granted last.
    pub(crate) granted: BTreeMap<LeaseId, LogIndex>,
}

impl Grants {
    /// Looks at entries that follow on what was seen.
    pub(crate) fn look(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.seen = entry.index;
            if entry.kind != EntryKind::Normal || entry.data.is_empty() {
                continue;
            }
            // What cannot be decoded ends the member when it is applied, not here.
            let request = InternalRaftRequest::decode(entry.data.clone());
            if let Some(grant) = request.ok().and_then(|request| request.lease_grant) {
                self.granted.insert(LeaseId(grant.id), entry.index);
            }
        }
    }

    /// Forgets what lies up to `applied`: whoever decides from there on knows of it.
    pub(crate) fn forget(&mut self, applied: LogIndex) {
        self.granted.retain(|_, at| *at > applied);
    }
}
