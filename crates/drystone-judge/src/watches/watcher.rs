//! One watch: what it must hear, and how far it has.

use super::{FRAME, JUDGE, LIVENESS, Sent, range_of};
use crate::replay::Replay;
use crate::verdict::Verdict;
use drystone_api::etcdserverpb::{WatchCreateRequest, WatchResponse, watch_create_request};
use drystone_api::mvccpb::{Event, KeyValue, event::EventType};
use drystone_types::KeyRange;
use std::time::Duration;

/// An event that a watch is to hear.
struct Due<'r> {
    event: &'r Event,
    heard: bool,
    /// A later change of the same revision replaced the pair that it put.
    replaced: bool,
}

impl Due<'_> {
    /// Compaction at a revision leaves of what the revision itself put only what stood at its
    /// end: the rest may be gone where `compacted` is reached.
    fn may_be_gone(&self, compacted: i64) -> bool {
        self.replaced && revision_of(self.event) <= compacted
    }
}

/// A watch that was accepted.
pub(super) struct Watcher<'r> {
    /// The stream and the id.
    name: (usize, i64),
    create: &'r WatchCreateRequest,
    range: KeyRange,
    /// The first revision it is to hear of.
    start: i64,
    /// Everything it is to hear.
    due: Vec<Due<'r>>,
    /// The first of `due` that is to come next.
    next: usize,
    /// The revision of the last event; 0 before the first.
    last: i64,
    /// The revision of the last progress; 0 before the first.
    progress: i64,
    /// The response before was a fragment: the next one belongs to it.
    in_fragments: bool,
}

fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn key_of(event: &Event) -> &[u8] {
    event.kv.as_ref().map_or(b"", |kv| &kv.key)
}

fn is_due(create: &WatchCreateRequest, range: &KeyRange, event: &Event) -> bool {
    use watch_create_request::FilterType;
    let filter = if event.r#type == EventType::Put as i32 {
        FilterType::Noput
    } else {
        FilterType::Nodelete
    };
    range.contains(key_of(event)) && !create.filters.contains(&(filter as i32))
}

/// True when the pair says that its key was absent before.
fn is_born(kv: &KeyValue) -> bool {
    kv.create_revision == kv.mod_revision
}

impl<'r> Watcher<'r> {
    /// A watch whose created response had a header of `revision`.
    pub(super) fn new(
        replay: &'r Replay<'r>,
        name: (usize, i64),
        create: &'r WatchCreateRequest,
        revision: i64,
    ) -> Self {
        let range = range_of(create);
        let start = if create.start_revision == 0 { revision + 1 } else { create.start_revision };
        let events = replay.events(start, i64::MAX);
        let due = events.iter().enumerate().filter(|(_, event)| is_due(create, &range, event));
        let due = due.map(|(place, event)| Due {
            event,
            heard: false,
            replaced: event.r#type == EventType::Put as i32
                && events[place + 1..]
                    .iter()
                    .take_while(|later| revision_of(later) == revision_of(event))
                    .any(|later| key_of(later) == key_of(event)),
        });
        Self {
            due: due.collect(),
            name,
            create,
            range,
            start,
            next: 0,
            last: 0,
            progress: 0,
            in_fragments: false,
        }
    }

    /// The first revision that it may still be missing.
    pub(super) fn next_revision(&self) -> i64 {
        self.start.max(self.last + 1).max(self.progress + 1)
    }

    /// A response with events.
    pub(super) fn events(
        &mut self,
        replay: &Replay<'_>,
        response: &WatchResponse,
        sent: Sent,
        verdict: &mut Verdict,
    ) {
        let header = response.header.map_or(0, |header| header.revision);
        let first = response.events.first().map_or(0, revision_of);
        if first == self.last && !self.in_fragments {
            self.add(
                verdict,
                "watch-4-atomic",
                sent.at,
                format_args!("revision {first} goes on in another response"),
            );
        }
        if response.fragment && !self.create.fragment {
            self.add(verdict, FRAME, sent.at, format_args!("a fragment that nobody asked for"));
        }
        for event in &response.events {
            if revision_of(event) > header {
                self.add(
                    verdict,
                    FRAME,
                    sent.at,
                    format_args!("a header of {header} with {event:?}"),
                );
            }
            self.event(replay, event, sent, verdict);
        }
        self.in_fragments = response.fragment;
        let next = self.due.get(self.next).filter(|due| !due.may_be_gone(sent.compacted_max));
        if !response.fragment && next.is_some_and(|due| revision_of(due.event) == self.last) {
            self.add(
                verdict,
                "watch-4-atomic",
                sent.at,
                format_args!("revision {} is not whole", self.last),
            );
        }
    }

    fn event(&mut self, replay: &Replay<'_>, event: &Event, sent: Sent, verdict: &mut Verdict) {
        let revision = revision_of(event);
        let before = self.last;
        self.last = before.max(revision);
        if !is_due(self.create, &self.range, event) {
            self.add(verdict, "watch-1-filter", sent.at, format_args!("heard {event:?}"));
            return;
        }
        if revision < self.start {
            let future = self.start > sent.revision_max;
            let rule = if future { "watch-11-future" } else { "watch-6-resume" };
            self.add(
                verdict,
                rule,
                sent.at,
                format_args!("starts at {} and heard {event:?}", self.start),
            );
            return;
        }
        if revision <= self.progress {
            self.add(
                verdict,
                "watch-5-bookmark",
                sent.at,
                format_args!("after progress {} heard {event:?}", self.progress),
            );
        }
        if revision < before {
            self.add(
                verdict,
                "watch-2-order",
                sent.at,
                format_args!("after revision {before} heard {event:?}"),
            );
        }
        let is_other =
            |due: &Due<'_>| (due.event.r#type, &due.event.kv) != (event.r#type, &event.kv);
        while let Some(due) = self.due.get(self.next)
            && due.may_be_gone(sent.compacted_max)
            && is_other(due)
        {
            self.next += 1;
        }
        let same = |due: &Due<'_>| {
            revision_of(due.event) == revision && key_of(due.event) == key_of(event)
        };
        if let Some(ahead) = self.due[self.next..].iter().position(same) {
            if ahead > 0 {
                self.skipped(replay, ahead, event, sent, verdict);
            }
            self.next += ahead + 1;
            self.due[self.next - 1].heard = true;
            let due = self.due[self.next - 1].event;
            self.content(due, event, sent, verdict);
        } else if let Some(late) = self.due[..self.next].iter().position(same) {
            // What was skipped may come late; else it comes again.
            let again = self.due[..self.next].iter().filter(|due| same(due)).all(|due| due.heard);
            let rule = if again { "watch-3-unique" } else { "watch-2-order" };
            self.due[late].heard = true;
            self.add(verdict, rule, sent.at, format_args!("heard behind its place {event:?}"));
        } else {
            self.add(verdict, "watch-13-content", sent.at, format_args!("never was: {event:?}"));
        }
    }

    /// An event came although others were due before.
    fn skipped(
        &self,
        replay: &Replay<'_>,
        ahead: usize,
        event: &Event,
        sent: Sent,
        verdict: &mut Verdict,
    ) {
        let first = self.due[self.next].event;
        let compacted = replay.point(replay.horizon(sent.at)).compacted;
        let rule = if self.next > 0 {
            "watch-7-reliable"
        } else if revision_of(first) < compacted {
            "watch-10-compacted"
        } else {
            "watch-6-resume"
        };
        self.add(
            verdict,
            rule,
            sent.at,
            format_args!("{ahead} left out before {event:?}, the first {first:?}"),
        );
    }

    /// The event is the one that is due; it must say so.
    fn content(&self, due: &Event, event: &Event, sent: Sent, verdict: &mut Verdict) {
        let born = |event: &Event| event.kv.as_ref().is_some_and(is_born);
        if revision_of(event) > sent.revision_max {
            self.add(
                verdict,
                "watch-13-content",
                sent.at,
                format_args!("{} is newest and heard {event:?}", sent.revision_max),
            );
        }
        if due.r#type == event.r#type && born(due) != born(event) {
            self.add(verdict, "watch-8-create", sent.at, format_args!("{event:?}, not {due:?}"));
        } else if (due.r#type, &due.kv) != (event.r#type, &event.kv) {
            self.add(verdict, "watch-13-content", sent.at, format_args!("{event:?}, not {due:?}"));
        }
        let prev = due.prev_kv.as_ref().filter(|_| self.create.prev_kv);
        let gone = revision_of(due) - 1 < sent.compacted_max;
        if event.prev_kv.as_ref() != prev && !(event.prev_kv.is_none() && gone) {
            self.add(verdict, "watch-9-prev", sent.at, format_args!("{event:?}, not {due:?}"));
        }
    }

    /// A response that promises that all up to `revision` has been heard.
    pub(super) fn progress(&mut self, revision: i64, sent: Sent, verdict: &mut Verdict) {
        if self.create.start_revision != 0 && revision < self.start {
            self.add(
                verdict,
                "watch-11-future",
                sent.at,
                format_args!("starts at {} and heard of progress {revision}", self.start),
            );
        }
        let behind = self.due[self.next..]
            .iter()
            .find(|due| !due.may_be_gone(sent.compacted_max))
            .filter(|due| revision_of(due.event) <= revision);
        if let Some(Due { event: missing, .. }) = behind {
            self.add(
                verdict,
                "watch-5-bookmark",
                sent.at,
                format_args!("progress {revision} without {missing:?}"),
            );
        }
        let least = self.last.max(self.progress);
        if revision < least || revision > sent.revision_max {
            self.add(
                verdict,
                "watch-5-bookmark",
                sent.at,
                format_args!(
                    "progress {revision} after {least}, with {} the newest",
                    sent.revision_max
                ),
            );
        }
        self.progress = self.progress.max(revision);
    }

    /// Nothing more comes.
    pub(super) fn drained(&self, verdict: &mut Verdict) {
        let (stream, id) = self.name;
        let missing = self.due[self.next..].iter().find(|due| !due.replaced);
        if let Some(Due { event: missing, .. }) = missing {
            verdict.add(
                JUDGE,
                LIVENESS,
                format_args!(
                    "stream {stream}: watch {id} never heard {} events, the first {missing:?}",
                    self.due.len() - self.next
                ),
            );
        }
        if self.in_fragments {
            verdict.add(
                JUDGE,
                LIVENESS,
                format_args!("stream {stream}: watch {id} never heard the last fragment"),
            );
        }
    }

    fn add(
        &self,
        verdict: &mut Verdict,
        rule: &'static str,
        at: Duration,
        text: std::fmt::Arguments<'_>,
    ) {
        let (stream, id) = self.name;
        verdict.add(JUDGE, rule, format_args!("stream {stream} at {at:?}: watch {id}: {text}"));
    }
}
