//! Watches beside a history: both servers must tell the same events in the same order.

use crate::rows::render_event;
use drystone_api::etcdserverpb::WatchCreateRequest;
use drystone_api::etcdserverpb::watch_create_request::FilterType;
use drystone_client::{Client, WatchOptions};
use rand::Rng;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a watch may take to come to the present.
const CATCH_UP: Duration = Duration::from_secs(30);

/// A watch that keeps every event up to a revision that is told later.
#[derive(Debug)]
pub(super) struct Listener {
    request: WatchCreateRequest,
    seen: watch::Receiver<i64>,
    end: watch::Sender<Option<i64>>,
    task: JoinHandle<Vec<String>>,
}

impl Listener {
    /// Begins to listen.
    pub(super) fn start(client: &Client, request: WatchCreateRequest) -> Listener {
        let (told, seen) = watch::channel(0);
        let (end, ends) = watch::channel(None);
        let task = tokio::spawn(listen(client.clone(), request.clone(), told, ends));
        Listener { request, seen, end, task }
    }

    /// Waits until an event of this revision or a later one has come.
    pub(super) async fn reached(&mut self, revision: i64) -> bool {
        let wait = self.seen.wait_for(|seen| *seen >= revision);
        matches!(tokio::time::timeout(CATCH_UP, wait).await, Ok(Ok(_)))
    }

    /// What was asked for.
    pub(super) fn request(&self) -> &WatchCreateRequest {
        &self.request
    }

    /// Every event up to `revision`. There must be a later one in the watched range, which
    /// ends the wait.
    pub(super) async fn finish(self, revision: i64) -> Vec<String> {
        // A task that has ended reads it no more.
        let _ = self.end.send(Some(revision));
        match tokio::time::timeout(CATCH_UP, self.task).await {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) => vec![error.to_string()],
            Err(_) => vec![format!("no event after revision {revision} within {CATCH_UP:?}")],
        }
    }
}

async fn listen(
    client: Client,
    request: WatchCreateRequest,
    told: watch::Sender<i64>,
    mut ends: watch::Receiver<Option<i64>>,
) -> Vec<String> {
    let mut watch = client.watch(request, WatchOptions::default());
    let mut events: Vec<(i64, String)> = Vec::new();
    let mut fault = None;
    let mut end = None;
    loop {
        let last = events.last().map_or(0, |(revision, _)| *revision);
        if end.is_some_and(|end| last > end) || fault.is_some() {
            break;
        }
        tokio::select! {
            changed = ends.changed(), if end.is_none() => {
                if changed.is_err() {
                    break;
                }
                end = *ends.borrow_and_update();
            }
            response = watch.next() => match response {
                Ok(Some(response)) if response.canceled => {
                    fault = Some(format!("canceled at {}", response.compact_revision));
                }
                Ok(Some(response)) => {
                    for event in &response.events {
                        let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
                        events.push((revision, render_event(event)));
                    }
                    // Order and wholeness do not need another server to compare with.
                    if !events.is_sorted_by_key(|(revision, _)| *revision) {
                        fault = Some("events out of order".to_owned());
                    }
                    told.send_replace(events.last().map_or(0, |(revision, _)| *revision));
                }
                Ok(None) => fault = Some("ended".to_owned()),
                Err(error) => fault = Some(error.to_string()),
            }
        }
    }
    let kept = events.into_iter().filter(|(revision, _)| end.is_none_or(|end| *revision <= end));
    kept.map(|(_, line)| line).chain(fault).collect()
}

/// Watches of everything, with what was there before, from the beginning.
pub(super) fn live() -> Vec<WatchCreateRequest> {
    let all = WatchCreateRequest {
        key: "k".into(),
        range_end: "l".into(),
        start_revision: 1,
        ..WatchCreateRequest::default()
    };
    vec![
        WatchCreateRequest { prev_kv: true, ..all.clone() },
        WatchCreateRequest { fragment: true, progress_notify: true, ..all },
    ]
}

/// Watches of single keys and of ranges, with any options, from a revision that is not compacted.
pub(super) fn late(
    rng: &mut impl Rng,
    count: usize,
    keys: u32,
    from: i64,
    to: i64,
) -> Vec<WatchCreateRequest> {
    let requests = (0..count).map(|_| {
        let key = rng.random_range(0..keys);
        let end = match rng.random_range(0..3) {
            0 => String::new(),
            1 => format!("k{:02}", key + rng.random_range(1..9)),
            _ => "l".to_owned(),
        };
        let filters = match rng.random_range(0..4) {
            0 => vec![FilterType::Noput.into()],
            1 => vec![FilterType::Nodelete.into()],
            _ => Vec::new(),
        };
        WatchCreateRequest {
            key: format!("k{key:02}").into(),
            range_end: end.into(),
            start_revision: rng.random_range(from..=to),
            prev_kv: rng.random_bool(0.5),
            fragment: rng.random_bool(0.5),
            filters,
            ..WatchCreateRequest::default()
        }
    });
    requests.collect()
}
