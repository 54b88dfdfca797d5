//! The threads that read lists: some of those that may block, so that however many lists are
//! asked for, the others are free for what is short.

use crate::kv::blocking;
use drystone_api::errors::EtcdError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tonic::Status;

/// Lists, or pages of lists, that are read at once: on half of the processors, so that the others
/// are free for calls that are short, and by no more than half of the threads that may block.
static READING_MAX: LazyLock<usize> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).clamp(1, crate::BLOCKING_THREADS_MAX / 2)
});
/// Lists that may wait for one of these threads.
const WAITING_MAX: usize = 4_096;

/// Turns of as many lists as are read at once.
pub(crate) fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(*READING_MAX))
}

/// Reads lists, a bounded number at once.
#[derive(Debug)]
pub(crate) struct Lists {
    reading: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// One that waits, until it does not any more.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Lists {
    pub(crate) fn new() -> Self {
        Self { reading: turns(), waiting: AtomicUsize::new(0) }
    }

    /// Lists that are being read, and lists that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        let reading = *READING_MAX - self.reading.available_permits();
        (reading, self.waiting.load(Ordering::Acquire))
    }

    /// Runs what reads a list, or a page of one, when it is its turn.
    ///
    /// # Errors
    /// [`EtcdError::RequestTooManyRequests`] when too many wait already,
    /// [`EtcdError::Timeout`] when its turn does not come within `wait_max`.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        wait_max: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING_MAX {
            return Err(EtcdError::RequestTooManyRequests.into());
        }
        let turn = match tokio::time::timeout(wait_max, self.reading.clone().acquire_owned()).await
        {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) => return Err(EtcdError::Stopped.into()),
            Err(_) => return Err(EtcdError::Timeout.into()),
        };
        drop(waiting);
        // The turn ends with the work, also when nobody waits for that any more.
        blocking(move || {
            let read = work();
            drop(turn);
            read
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::{Condvar, Mutex};
    use std::sync::mpsc;

    const HANG_MAX: Duration = Duration::from_secs(60);

    #[test]
    fn lists_leave_threads_to_what_is_short_and_are_refused_when_too_many_wait() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .max_blocking_threads(crate::BLOCKING_THREADS_MAX)
            .build()
            .unwrap();
        runtime.block_on(async {
            let lists = Arc::new(Lists::new());
            let (begun, begins) = mpsc::channel();
            let ended = Arc::new((Mutex::new(false), Condvar::new()));
            let mut tasks = Vec::new();
            for _ in 0..*READING_MAX + WAITING_MAX {
                let (lists, begun, ended) = (lists.clone(), begun.clone(), ended.clone());
                let work = move || {
                    begun.send(()).unwrap();
                    let until = |ended: &mut bool| !*ended;
                    ended.1.wait_while_for(&mut ended.0.lock(), until, HANG_MAX);
                };
                tasks.push(tokio::spawn(async move { lists.read(HANG_MAX, work).await }));
            }
            let full = async {
                while lists.waiting.load(Ordering::Acquire) != WAITING_MAX {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(HANG_MAX, full).await.unwrap();
            let refused = lists.read(HANG_MAX, || ()).await.unwrap_err();
            assert_eq!(refused.message(), "etcdserver: too many requests");
            // All lists that may be read are being read, and something short runs at once.
            let short = tokio::time::timeout(HANG_MAX, blocking(|| 7)).await.unwrap();
            assert_eq!(short.unwrap(), 7);
            let reading = tokio::task::spawn_blocking(move || {
                (0..*READING_MAX).for_each(|_| begins.recv_timeout(HANG_MAX).unwrap());
                begins
            });
            let begins = reading.await.unwrap();
            assert!(begins.try_recv().is_err(), "more are read at once");
            *ended.0.lock() = true;
            ended.1.notify_all();
            for task in tasks {
                task.await.unwrap().unwrap();
            }
            assert_eq!(lists.waiting.load(Ordering::Acquire), 0);
        });
    }
}
