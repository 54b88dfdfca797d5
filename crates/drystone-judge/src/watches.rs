//! What watch streams may hear: fourteen checks, numbered in the names of their rules.
//!
//! | rule | what must hold |
//! |---|---|
//! | `watch-1-filter` | every event is in the watch's range and passes its filters |
//! | `watch-2-order` | revisions never fall; within one, the order of the command |
//! | `watch-3-unique` | no event is heard twice |
//! | `watch-4-atomic` | a revision comes whole in one response, or in its fragments |
//! | `watch-5-bookmark` | progress is applied, whole, never falls, and nothing below it follows |
//! | `watch-6-resume` | the first event is the first there is from the start revision on |
//! | `watch-7-reliable` | nothing in between is left out |
//! | `watch-8-create` | an event created its key exactly if the key was absent |
//! | `watch-9-prev` | the previous pair is that before the revision, unless compaction took it |
//! | `watch-10-compacted` | who falls below the compacted revision is told so, and nobody else |
//! | `watch-11-future` | a start in the future hears nothing of what is before it |
//! | `watch-12-frame` | creates are answered in order, nothing comes of a watch that is not open |
//! | `watch-13-content` | every event happened, with this value, version and lease |
//! | `watch-14-liveness` | a stream drained after everything settled has heard all |
//!
//! The fifteenth, that nothing is heard once a permission is gone, waits for permissions.

mod watcher;

use crate::history::{History, StreamEnd, StreamEvent, StreamHeard, WatchStream};
use crate::replay::Replay;
use crate::verdict::Verdict;
use drystone_api::etcdserverpb::{WatchCreateRequest, WatchResponse};
use drystone_types::KeyRange;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use watcher::Watcher;

const JUDGE: &str = "watches";
const FRAME: &str = "watch-12-frame";

/// Judges all watch streams of a history by its log. Without a log nothing can be said, and
/// nothing is.
#[must_use]
pub fn watches(history: &History) -> Verdict {
    judge(history, &Replay::new(history))
}

pub(crate) fn judge(history: &History, replay: &Replay<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if replay.log.is_empty() {
        return verdict;
    }
    for (number, watched) in history.streams.iter().enumerate() {
        let mut stream = Stream {
            number,
            replay,
            asked: VecDeque::new(),
            watchers: BTreeMap::new(),
            ended: BTreeSet::new(),
            cancels: BTreeMap::new(),
            verdict: &mut verdict,
        };
        stream.judge(watched, history.settled_at.is_some());
    }
    verdict
}

/// When a response came, and what was known of the member when it left.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Duration,
    /// The newest revision that the member can have applied.
    revision_max: i64,
    /// The highest compacted revision that it can have had.
    compacted_max: i64,
}

/// One stream on its way.
struct Stream<'r, 'v> {
    number: usize,
    replay: &'r Replay<'r>,
    /// Creates that are not answered.
    asked: VecDeque<&'r WatchCreateRequest>,
    watchers: BTreeMap<i64, Watcher<'r>>,
    /// Ids that compaction ended; whether they can be used again is the server's to say.
    ended: BTreeSet<i64>,
    /// Ids that the client asked to cancel, and whether it knew them to be open.
    cancels: BTreeMap<i64, bool>,
    verdict: &'v mut Verdict,
}

impl<'r> Stream<'r, '_> {
    fn judge(&mut self, watched: &'r WatchStream, settled: bool) {
        for StreamEvent { at, what } in &watched.events {
            match what {
                StreamHeard::Create(create) => self.asked.push_back(create),
                StreamHeard::Cancel(cancel) => {
                    let open = self.watchers.contains_key(&cancel.watch_id);
                    self.cancels.insert(cancel.watch_id, open);
                }
                StreamHeard::Progress => {}
                StreamHeard::Response { response, applied_revision, compacted_revision } => {
                    let newest = self.replay.point(self.replay.horizon(*at));
                    let sent = Sent {
                        at: *at,
                        revision_max: applied_revision.unwrap_or(newest.revision),
                        compacted_max: compacted_revision.unwrap_or(newest.compacted),
                    };
                    self.response(response, sent);
                }
            }
        }
        if settled && watched.end == StreamEnd::Drained {
            self.drained();
        }
    }

    fn response(&mut self, response: &WatchResponse, sent: Sent) {
        let revision = response.header.map_or(0, |header| header.revision);
        if revision > sent.revision_max {
            let newest = sent.revision_max;
            self.add(FRAME, sent.at, format_args!("a header of {revision}, {newest} is newest"));
        }
        if response.created {
            self.created(response, revision, sent);
        } else if response.canceled {
            self.canceled(response, revision, sent);
        } else if response.events.is_empty() {
            self.progress(response, revision, sent);
        } else {
            let watcher = self.watchers.get_mut(&response.watch_id);
            let Some(watcher) = watcher else {
                let id = response.watch_id;
                self.add(FRAME, sent.at, format_args!("events of watch {id}, which is not open"));
                return;
            };
            watcher.events(self.replay, response, sent, self.verdict);
        }
    }

    /// An answer to the oldest create that has none.
    fn created(&mut self, response: &WatchResponse, revision: i64, sent: Sent) {
        let id = response.watch_id;
        let Some(create) = self.asked.pop_front() else {
            self.add(FRAME, sent.at, format_args!("watch {id} was created, nobody asked"));
            return;
        };
        if !response.events.is_empty() {
            self.add(FRAME, sent.at, format_args!("watch {id} was created with events"));
        }
        let in_use = create.watch_id != 0 && self.watchers.contains_key(&create.watch_id);
        let to_refuse = create.start_revision < 0 || range_of(create).is_empty() || in_use;
        // An id that compaction ended may count as in use, or not.
        let may_refuse = create.watch_id != 0 && self.ended.contains(&create.watch_id);
        if response.canceled {
            if id != -1 || response.cancel_reason.is_empty() {
                self.add(FRAME, sent.at, format_args!("a refusal without its form: {response:?}"));
            }
            if !to_refuse && !may_refuse {
                self.add(
                    FRAME,
                    sent.at,
                    format_args!("{create:?} was refused for nothing: {}", response.cancel_reason),
                );
            }
            return;
        }
        if to_refuse || (create.watch_id != 0 && create.watch_id != id) {
            self.add(FRAME, sent.at, format_args!("{create:?} was accepted as watch {id}"));
        }
        if self.watchers.contains_key(&id) {
            self.add(FRAME, sent.at, format_args!("watch {id} was created and is open"));
        }
        self.ended.remove(&id);
        let watcher = Watcher::new(self.replay, (self.number, id), create, revision);
        self.watchers.insert(id, watcher);
    }

    fn canceled(&mut self, response: &WatchResponse, revision: i64, sent: Sent) {
        let id = response.watch_id;
        if response.compact_revision == 0 {
            let was_open = self.watchers.remove(&id).is_some();
            let asked = self.cancels.remove(&id).is_some();
            // A cancel can cross the end by compaction, and be answered or not.
            let crossed = self.ended.remove(&id);
            let expected = crossed || (was_open && asked);
            if !expected {
                self.add(FRAME, sent.at, format_args!("watch {id} was cancelled, nobody asked"));
            }
            return;
        }
        let Some(watcher) = self.watchers.remove(&id) else {
            self.add(FRAME, sent.at, format_args!("compaction ended watch {id}, it is not open"));
            return;
        };
        self.ended.insert(id);
        self.cancels.remove(&id);
        if revision != 0 {
            self.add(FRAME, sent.at, format_args!("a cancelled watch has header {revision}"));
        }
        let (compacted, next) = (response.compact_revision, watcher.next_revision());
        let was = (0..=self.replay.end()).any(|p| self.replay.point(p).compacted == compacted);
        if !was || compacted > sent.compacted_max || next >= compacted {
            self.add(
                "watch-10-compacted",
                sent.at,
                format_args!(
                    "watch {id}, which waits for revision {next}, was ended by compaction at \
                 {compacted}; {} is the newest",
                    sent.compacted_max
                ),
            );
        }
    }

    fn progress(&mut self, response: &WatchResponse, revision: i64, sent: Sent) {
        let id = response.watch_id;
        if id == -1 {
            for watcher in self.watchers.values_mut() {
                watcher.progress(revision, sent, self.verdict);
            }
        } else if let Some(watcher) = self.watchers.get_mut(&id) {
            watcher.progress(revision, sent, self.verdict);
        } else {
            self.add(FRAME, sent.at, format_args!("progress of watch {id}, which is not open"));
        }
    }

    /// All that was to come has come.
    fn drained(&mut self) {
        let Self { number, asked, watchers, cancels, verdict, .. } = self;
        for create in asked.iter() {
            verdict.add(JUDGE, LIVENESS, format_args!("stream {number}: no answer to {create:?}"));
        }
        for (id, watcher) in watchers.iter() {
            if cancels.get(id) == Some(&true) {
                verdict.add(
                    JUDGE,
                    LIVENESS,
                    format_args!("stream {number}: watch {id} was to be cancelled and is open"),
                );
            }
            watcher.drained(verdict);
        }
    }

    fn add(&mut self, rule: &'static str, at: Duration, text: std::fmt::Arguments<'_>) {
        let number = self.number;
        self.verdict.add(JUDGE, rule, format_args!("stream {number} at {at:?}: {text}"));
    }
}

const LIVENESS: &str = "watch-14-liveness";

/// The keys that a create asks for.
fn range_of(create: &WatchCreateRequest) -> KeyRange {
    let key = if create.key.is_empty() { "\0".into() } else { create.key.clone() };
    KeyRange::from_fields(key, create.range_end.clone())
}
