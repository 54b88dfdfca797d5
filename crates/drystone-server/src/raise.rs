//! An alarm that this member raises for whoever is refused.

use drystone_api::errors::EtcdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Lets one caller at a time raise an alarm; the others do not wait.
#[derive(Debug, Default)]
pub(crate) struct Raise {
    under_way: AtomicBool,
}

impl Raise {
    /// Proposes an alarm that is not raised yet, and waits until it is, but no longer than
    /// `limit`: the proposal may be lost with its leader, and then the next caller makes another.
    /// `changed` is told each time after the answer of `is_raised` may have changed.
    pub(crate) async fn raise(
        &self,
        limit: Duration,
        changed: &Notify,
        is_raised: impl Fn() -> bool,
        propose: impl FnOnce() -> Result<(), EtcdError>,
    ) {
        if is_raised() || self.under_way.swap(true, Ordering::AcqRel) {
            return;
        }
        let _raising = Raising(&self.under_way);
        if propose().is_err() {
            return;
        }
        let raised = async {
            loop {
                let changed = changed.notified();
                if is_raised() {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(limit, raised).await;
    }
}

/// Lets the next caller raise the alarm when this one is done, or has gone away.
struct Raising<'a>(&'a AtomicBool);

impl Drop for Raising<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;
    use std::cell::Cell;
    use std::pin::pin;

    /// Longer than any test waits.
    const EVER: Duration = Duration::from_secs(3_600);
    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn an_alarm_that_is_lost_with_its_leader_is_raised_by_the_next_caller() {
        let (raise, changed) = (Raise::default(), Notify::new());
        let (proposed, raised) = (Cell::new(0), Cell::new(false));
        let propose = || {
            proposed.set(proposed.get() + 1);
            Ok(())
        };
        // Two leaders lose it; whoever is refused meanwhile is not kept for ever.
        raise.raise(LIMIT, &changed, || raised.get(), propose).await;
        raise.raise(LIMIT, &changed, || raised.get(), propose).await;
        assert_eq!(proposed.get(), 2);
        // The third one takes it, and the caller waits for that and for nothing else.
        let mut third = pin!(raise.raise(EVER, &changed, || raised.get(), propose));
        assert!(poll!(third.as_mut()).is_pending());
        changed.notify_waiters();
        assert!(poll!(third.as_mut()).is_pending(), "it was about something else");
        raised.set(true);
        changed.notify_waiters();
        third.await;
        assert_eq!(proposed.get(), 3);
        raise.raise(EVER, &changed, || raised.get(), propose).await;
        assert_eq!(proposed.get(), 3, "it is raised");
        // Freed and full again.
        raised.set(false);
        raise.raise(LIMIT, &changed, || raised.get(), propose).await;
        assert_eq!(proposed.get(), 4);
    }

    #[tokio::test]
    async fn one_caller_raises_it_and_one_who_goes_away_or_fails_makes_room() {
        let (raise, changed) = (Raise::default(), Notify::new());
        let proposed = Cell::new(0);
        let propose = || {
            proposed.set(proposed.get() + 1);
            Ok(())
        };
        {
            let mut first = pin!(raise.raise(EVER, &changed, || false, propose));
            assert!(poll!(first.as_mut()).is_pending());
            // Others are refused at once.
            raise.raise(EVER, &changed, || false, propose).await;
            assert_eq!(proposed.get(), 1);
        }
        raise.raise(EVER, &changed, || false, || Err(EtcdError::RequestTooManyRequests)).await;
        let mut next = pin!(raise.raise(EVER, &changed, || false, propose));
        assert!(poll!(next.as_mut()).is_pending());
        assert_eq!(proposed.get(), 2);
    }
}
