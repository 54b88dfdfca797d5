//! As busy as an attacker, and nobody's enemy: what calm is measured beside.
//!
//! An attacker that never pauses keeps a processor of its machine awake. Where client and server
//! live on that machine too, they feel that without being attacked: on two processors a thread of
//! the lowest priority that only counts makes a p99 of 1.8 ms one of 4.4. What is to be measured
//! is what the attack itself does, so calm has the same thread without the attack.

use super::attacker::{processor_time, step_back};
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked whether enough was done.
const PERIOD: Duration = Duration::from_millis(10);

/// A busy thread. It ends when this is dropped.
pub(super) struct Bystander {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bystander {
    /// Begins to use this share of a processor, 0 to 1.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn begin(share: f64) -> anyhow::Result<Bystander> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("bystander".into())
            .spawn(move || run(share, &stopped))
            .context("cannot start the bystander's thread")?;
        Ok(Bystander { stop, thread: Some(thread) })
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(share: f64, stopped: &AtomicBool) {
    step_back();
    let (begun, used) = (Instant::now(), processor_time());
    while !stopped.load(Ordering::Acquire) {
        let owed = begun.elapsed().mul_f64(share.clamp(0.0, 1.0));
        if processor_time() - used < owed {
            std::hint::spin_loop();
        } else {
            std::thread::sleep(PERIOD);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_whatever_its_share() {
        for share in [0.0, 0.5, 1.0, f64::INFINITY] {
            drop(Bystander::begin(share).unwrap());
        }
    }
}
