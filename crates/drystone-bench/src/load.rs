//! Making requests: how many, how fast, and how long each took.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tonic::Status;

use crate::args::Common;

/// Longest time that is told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(600);
/// Histograms that workers share, so that they rarely wait for one another.
const SHARDS: usize = 8;
/// Different error texts that are kept.
const ERROR_TEXTS_MAX: usize = 16;
/// Pause of a worker after an error, so that a broken server is not hammered.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Times of requests, and what went wrong. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Recorder {
    shards: Vec<Mutex<Histogram<u64>>>,
    pub(crate) done: AtomicU64,
    pub(crate) items: AtomicU64,
    pub(crate) bytes: AtomicU64,
    failed: AtomicU64,
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Recorder {
    pub(crate) fn new() -> Recorder {
        let most = u64::try_from(LATENCY_MAX.as_nanos()).unwrap_or(u64::MAX);
        let histogram =
            || Histogram::new_with_bounds(1_000, most, 3).expect("bounds and digits are constants");
        Recorder {
            shards: (0..SHARDS).map(|_| Mutex::new(histogram())).collect(),
            done: AtomicU64::new(0),
            items: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            errors: Mutex::default(),
        }
    }

    pub(crate) fn time(&self, worker: usize, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        unpoisoned(&self.shards[worker % SHARDS]).saturating_record(nanos);
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn error(&self, status: &Status) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut errors = unpoisoned(&self.errors);
        let text = format!("{:?}: {}", status.code(), status.message());
        let room = errors.len() < ERROR_TEXTS_MAX;
        if room || errors.contains_key(&text) {
            *errors.entry(text).or_default() += 1;
        } else {
            *errors.entry("others".to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        unpoisoned(&self.errors).clone()
    }

    /// All times together.
    pub(crate) fn histogram(&self) -> Histogram<u64> {
        let mut all = unpoisoned(&self.shards[0]).clone();
        for shard in &self.shards[1..] {
            // Equal bounds: nothing can fail to fit.
            let _ = all.add(&*unpoisoned(shard));
        }
        all
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many requests are still to be made, and when.
#[derive(Debug)]
pub(crate) struct Budget {
    next: AtomicU64,
    total: u64,
    rate: u32,
    begun: Instant,
    until: Option<Instant>,
    stopped: AtomicBool,
}

/// Leave to make one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Counts requests over all workers.
    pub(crate) request: u64,
    /// From when its time counts: when it was due, if it could not be made earlier.
    pub(crate) begun: Instant,
}

impl Budget {
    pub(crate) fn new(total: u64, common: &Common) -> Budget {
        let begun = Instant::now();
        Budget {
            next: AtomicU64::new(0),
            total,
            rate: common.rate,
            begun,
            until: common.duration.and_then(|duration| begun.checked_add(duration)),
            stopped: AtomicBool::new(false),
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Waits for the next turn; `None` when all is done.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let late = self.until.is_some_and(|until| now >= until);
        if request >= self.total || late || self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let Some(due) = self.due(request) else { return Some(Turn { request, begun: now }) };
        if due <= now {
            return Some(Turn { request, begun: due });
        }
        if self.until.is_some_and(|until| due >= until) {
            return None;
        }
        tokio::time::sleep_until(due.into()).await;
        Some(Turn { request, begun: Instant::now() })
    }

    /// When the n-th request is due at a fixed rate.
    fn due(&self, request: u64) -> Option<Instant> {
        if self.rate == 0 {
            return None;
        }
        let rate = u64::from(self.rate);
        let nanos = (request % rate) * 1_000_000_000 / rate;
        Some(self.begun + Duration::from_secs(request / rate) + Duration::from_nanos(nanos))
    }
}

/// Runs workers until the budget is used up: each takes a turn and makes one request, over
/// and over. `make` makes a worker's request from the turn; its times are recorded.
pub(crate) async fn drive<M, F>(
    workers: usize,
    budget: &Arc<Budget>,
    recorder: &Arc<Recorder>,
    errors_max: u64,
    make: M,
) where
    M: Fn(usize, Turn) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), Status>> + Send,
{
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..workers {
        let (budget, recorder, make) = (budget.clone(), recorder.clone(), make.clone());
        tasks.spawn(async move {
            while let Some(turn) = budget.turn().await {
                match make(worker, turn).await {
                    Ok(()) => recorder.time(worker, turn.begun.elapsed()),
                    Err(status) => {
                        recorder.error(&status);
                        if recorder.failed() > errors_max {
                            budget.stop();
                        }
                        tokio::time::sleep(ERROR_PAUSE).await;
                    }
                }
            }
        });
    }
    tasks.join_all().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn common(line: &str) -> Common {
        let line = format!("bench put {line}");
        crate::Bench::try_parse_from(line.split_whitespace()).unwrap().common
    }

    async fn driven(
        line: &str,
        fails: impl Fn(u64) -> bool + Clone + Send + Sync + 'static,
    ) -> Recorder {
        let common = common(line);
        let budget = Arc::new(Budget::new(common.total(), &common));
        let recorder = Arc::new(Recorder::new());
        let errors_max = common.errors_max;
        drive(3, &budget, &recorder, errors_max, move |_, turn| {
            let failed = fails(turn.request);
            async move {
                tokio::task::yield_now().await;
                if failed {
                    Err(Status::internal(format!("e{}", turn.request % 2)))
                } else {
                    Ok(())
                }
            }
        })
        .await;
        Arc::into_inner(recorder).unwrap()
    }

    #[tokio::test]
    async fn as_many_as_asked_for() {
        let recorder = driven("--total 100", |_| false).await;
        assert_eq!(recorder.done.load(Ordering::Relaxed), 100);
        assert_eq!(recorder.histogram().len(), 100);
    }

    #[tokio::test]
    async fn errors_are_counted_and_end_it() {
        let recorder = driven("--total 10", |request| request < 4).await;
        assert_eq!((recorder.failed(), recorder.done.load(Ordering::Relaxed)), (4, 6));
        let texts = recorder.errors();
        assert_eq!((texts["Internal: e0"], texts["Internal: e1"]), (2, 2));
        let recorder = driven("--duration 1h --errors-max 5", |_| true).await;
        assert!((6..=9).contains(&recorder.failed()), "{}", recorder.failed());
    }

    #[tokio::test]
    async fn at_a_rate() {
        let common = common("--rate 1000 --total 5");
        let budget = Budget::new(common.total(), &common);
        let second = budget.due(1000).unwrap().duration_since(budget.begun);
        assert_eq!(second, Duration::from_secs(1));
        assert_eq!(budget.due(1).unwrap().duration_since(budget.begun), Duration::from_millis(1));
        let mut turns = 0;
        while budget.turn().await.is_some() {
            turns += 1;
        }
        assert_eq!(turns, 5);
    }

    #[tokio::test]
    async fn time_ends_it() {
        let begun = Instant::now();
        let recorder = driven("--duration 30ms --rate 500", |_| false).await;
        assert!(begun.elapsed() >= Duration::from_millis(20));
        assert!((5..=15).contains(&recorder.histogram().len()), "{}", recorder.histogram().len());
    }
}
