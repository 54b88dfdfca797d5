//! History as events.

use super::Snapshot;
use crate::codec;
use crate::error::{Error, OpError};
use crate::outcome::Changes;
use crate::store::deleted;
use crate::view::fields;
use crate::write::before_change;
use bytes::Bytes;
use drystone_backend::Table;
use drystone_probe::{mark, planted};
use drystone_types::{Event, EventKind, Revision, RevisionEvents};
use std::ops::{Bound, ControlFlow};

pub(super) fn read(
    snapshot: &Snapshot,
    from: i64,
    to: i64,
    revisions_max: usize,
    bytes_max: usize,
) -> Result<Changes, OpError> {
    let mut changes = Changes { revisions: Vec::new(), next: to.max(from - 1) + 1 };
    if from > to {
        return Ok(changes);
    }
    let (low, high) = (Revision::first(from).to_key(false), Revision::first(to + 1).to_key(false));
    let (mut bytes, mut failure) = (0usize, None);
    let bounds = (Bound::Included(low.as_slice()), Bound::Excluded(high.as_slice()));
    snapshot.shared.backend.scan(Table::Key, bounds, &mut |key, value| {
        let (main, event) = match event(snapshot, key, value) {
            Ok(Some((main, event))) => (main, event),
            Ok(None) => return ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        };
        match changes.revisions.last_mut() {
            Some(last) if last.revision == main => last.events.push(event),
            last => {
                if last.is_some() && bytes >= bytes_max || changes.revisions.len() >= revisions_max
                {
                    mark!("mvcc.history_cut");
                    let skipped = i64::from(planted!("mvcc.history_skips_a_revision"));
                    changes.next = main + skipped;
                    return ControlFlow::Break(());
                }
                changes.revisions.push(RevisionEvents { revision: main, events: vec![event] });
            }
        }
        bytes += value.len();
        ControlFlow::Continue(())
    })?;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(changes),
    }
}

/// The event of a record, and its main revision; `None` for a record that is none.
fn event(snapshot: &Snapshot, key: &[u8], value: &[u8]) -> Result<Option<(i64, Event)>, Error> {
    let Some((revision, tombstone)) = Revision::from_key(key) else {
        return Err(Error::corrupt(Table::Key, key, "not a revision"));
    };
    let fields = fields(revision, value)?;
    let name = &value[fields.key.clone()];
    // What a restore that raised the revision leaves moves the revision and is no key.
    if name.is_empty() {
        return Ok(None);
    }
    let (main, compacted) = (revision.main, snapshot.compacted());
    let entry = snapshot.state.tree.get(name);
    // A sweep removes of the compacted revision itself what a later change in it replaced.
    // Whether it has been here yet must not show.
    if main == compacted && !tombstone {
        let newest = entry.and_then(|entry| entry.live_at(compacted));
        if newest.map(|version| version.revision()) != Some(revision) {
            mark!("mvcc.history_hides_what_a_sweep_removes");
            return Ok(None);
        }
    }
    let born = !tombstone && fields.create_revision == main;
    let before = before_change(main);
    let prev = entry.filter(|_| !born && main > compacted).and_then(|e| e.live_at(before));
    let event = |kind, key, kv| {
        let prev = prev.map(|version| version.revision());
        Some((main, Event { kind, key, revision, kv, prev }))
    };
    Ok(if tombstone {
        let (kv, _) = deleted(name, main);
        event(EventKind::Delete, codec::shared_key(&kv, name), kv)
    } else {
        let kv = Bytes::copy_from_slice(value);
        event(EventKind::Put, kv.slice(fields.key), kv.clone())
    })
}
