//! All events since the last compaction, and what a watch must have told of them.

use drystone_api::etcdserverpb::WatchCreateRequest;
use drystone_api::mvccpb::Event;
use drystone_api::mvccpb::event::EventType;
use std::collections::VecDeque;

/// The events of each revision, from some revision on without a gap.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The revision of the first entry.
    first: i64,
    revisions: VecDeque<Vec<Event>>,
}

impl Past {
    /// Nothing yet; the next revision will be `first`.
    pub(super) fn new(first: i64) -> Past {
        Past { first, revisions: VecDeque::new() }
    }

    /// The first revision that is not there yet.
    pub(super) fn next(&self) -> i64 {
        self.first + i64::try_from(self.revisions.len()).unwrap_or(i64::MAX)
    }

    /// Takes events that begin where the last ones ended.
    ///
    /// # Errors
    /// A gap.
    pub(super) fn append(&mut self, events: Vec<Event>) -> Result<(), String> {
        for event in events {
            let revision = revision(&event);
            let next = self.next();
            match self.revisions.back_mut() {
                Some(events) if revision == next - 1 => events.push(event),
                _ if revision == next => self.revisions.push_back(vec![event]),
                _ => return Err(format!("revision {revision} where {next} is due")),
            }
        }
        Ok(())
    }

    /// Lets go of what is before `revision`.
    pub(super) fn forget_before(&mut self, revision: i64) {
        while self.first < revision && self.revisions.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Whether something was deleted at this revision.
    pub(super) fn deletes_at(&self, revision: i64) -> bool {
        self.at(revision).iter().any(|event| !is_put(event))
    }

    /// The events of one revision.
    pub(super) fn at(&self, revision: i64) -> &[Event] {
        let n = usize::try_from(revision - self.first).ok();
        n.and_then(|n| self.revisions.get(n)).map_or(&[], Vec::as_slice)
    }

    /// What a watch that is at `next` tells up to the present.
    pub(super) fn told(
        &self,
        request: &WatchCreateRequest,
        next: i64,
        compacted: i64,
    ) -> Vec<Event> {
        let skip = usize::try_from(next.saturating_sub(self.first)).unwrap_or(0);
        let events = self.revisions.iter().skip(skip).flatten();
        events
            .filter(|event| is_wanted(request, event))
            .map(|event| {
                let mut event = event.clone();
                // What was there before is looked up when it is sent.
                if !request.prev_kv || revision(&event) - 1 < compacted {
                    event.prev_kv = None;
                }
                event
            })
            .collect()
    }
}

fn revision(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn is_put(event: &Event) -> bool {
    event.r#type == EventType::Put as i32
}

/// Whether a watch looks at this key, and at this kind.
fn is_wanted(request: &WatchCreateRequest, event: &Event) -> bool {
    let filtered = if is_put(event) { 0 } else { 1 };
    if request.filters.contains(&filtered) {
        return false;
    }
    let Some(kv) = &event.kv else { return false };
    let from: &[u8] = if request.key.is_empty() { b"\0" } else { &request.key };
    let key: &[u8] = &kv.key;
    match &request.range_end[..] {
        b"" => key == from,
        b"\0" => key >= from,
        end => key >= from && key < end,
    }
}

#[cfg(test)]
mod tests;
