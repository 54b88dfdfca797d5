//! The honest client: puts and gets at a steady pace, each timed.

use anyhow::Context as _;
use drystone_api::etcdserverpb::{PutRequest, RangeRequest};
use drystone_client::Client;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Keys that are written and read.
const KEYS: u64 = 64;
/// Bytes of a value.
const VALUE_BYTES: usize = 256;

/// Requests that were answered in a stretch of time, and those that were not.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    times: Vec<Duration>,
    pub(super) failed: Vec<String>,
}

impl Latencies {
    /// The time within which so many of a hundred were answered; a failed one never was.
    pub(super) fn percentile(&mut self, percent: usize) -> Option<Duration> {
        self.times.sort_unstable();
        let all = self.times.len() + self.failed.len();
        let at = (all * percent).div_ceil(100).max(1) - 1;
        self.times.get(at).copied()
    }

    pub(super) fn add(&mut self, other: &Latencies) {
        self.times.extend(&other.times);
        self.failed.extend(other.failed.iter().cloned());
    }

    pub(super) fn count(&self) -> usize {
        self.times.len() + self.failed.len()
    }
}

/// The client at work. It stops when this is dropped.
pub(super) struct Honest {
    pacer: JoinHandle<()>,
    seen: Arc<Mutex<Latencies>>,
}

impl Honest {
    /// Begins to ask, `rate` times a second, whether answers come or not.
    ///
    /// # Errors
    /// The server does not answer the first request.
    pub(super) async fn begin(client: Client, rate: u32) -> anyhow::Result<Honest> {
        ask(&client, 0).await.context("the server does not serve")?;
        let seen = Arc::new(Mutex::new(Latencies::default()));
        let pacer = tokio::spawn(pace(client, rate, seen.clone()));
        Ok(Honest { pacer, seen })
    }

    /// What was asked and answered within a stretch of time from now on.
    pub(super) async fn watch(&self, time: Duration) -> Latencies {
        drop(self.take());
        tokio::time::sleep(time).await;
        self.take()
    }

    /// What was answered since this was asked last.
    pub(super) fn take(&self) -> Latencies {
        std::mem::take(&mut *self.seen.lock())
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.pacer.abort();
    }
}

async fn pace(client: Client, rate: u32, seen: Arc<Mutex<Latencies>>) {
    let mut ticks = interval(Duration::from_secs(1) / rate.max(1));
    // A tick that comes late does not make requests rarer.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for n in 0.. {
        ticks.tick().await;
        let begun = Instant::now();
        let (client, seen) = (client.clone(), seen.clone());
        // The client's own deadline bounds how many there are.
        tokio::spawn(async move {
            let asked = ask(&client, n).await;
            let took = begun.elapsed();
            let mut seen = seen.lock();
            match asked {
                Ok(()) => seen.times.push(took),
                Err(error) => seen.failed.push(format!("{error:#}")),
            }
        });
    }
}

/// A put, or a get of what was put long ago.
async fn ask(client: &Client, n: u64) -> anyhow::Result<()> {
    let key = format!("honest/{}", n / 2 % KEYS).into();
    if n.is_multiple_of(2) {
        let put = PutRequest { key, value: vec![b'v'; VALUE_BYTES].into(), ..Default::default() };
        client.put(put).await?;
    } else {
        client.range(RangeRequest { key, ..Default::default() }).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_what_failed_as_never_answered() {
        let mut all = Latencies::default();
        assert_eq!(all.percentile(99), None);
        all.times = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(all.percentile(99), Some(Duration::from_millis(99)));
        assert_eq!(all.percentile(50), Some(Duration::from_millis(50)));
        all.failed = vec![String::new(); 2];
        assert_eq!(all.percentile(99), None);
    }
}
