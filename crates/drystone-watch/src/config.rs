//! What can be set.

use std::time::Duration;

/// Settings of a [`Hub`](crate::Hub).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Responses that wait on one stream before its watchers leave the live path.
    pub queue_responses_max: usize,
    /// Bytes that wait on one stream before its watchers leave the live path. One response
    /// may reach beyond it, because a revision is never cut.
    pub queue_bytes_max: usize,
    /// Bytes that wait on all streams together, counted once per stream although streams share
    /// them. Above it only streams with nothing waiting take on more.
    pub queues_bytes_max: usize,
    /// Distinct revisions in one response, at most.
    pub response_revisions_max: usize,
    /// Where pieces of history and merged responses end, in bytes; one revision may reach
    /// beyond it.
    pub response_bytes_max: usize,
    /// From this size on a response to a watcher that asked for fragments is cut.
    pub fragment_bytes: usize,
    /// Watchers that one piece of history is handed to, at most.
    pub catch_up_watchers_max: usize,
    /// Revisions times watchers of one piece of history, about: where many watchers stand at one
    /// place, pieces are short, so that what is new does not wait long behind what is old.
    pub catch_up_deliveries_max: usize,
    /// How often idle watchers that asked for it hear of progress. Up to a tenth is added, a
    /// different part for each stream; below 100 ms counts as 100 ms.
    pub progress_interval: Duration,
}

impl Default for Config {
    /// etcd's numbers where it has them.
    fn default() -> Self {
        Self {
            queue_responses_max: 1024,
            queue_bytes_max: 8 << 20,
            queues_bytes_max: 256 << 20,
            response_revisions_max: 1000,
            response_bytes_max: 8 << 20,
            fragment_bytes: 2 << 20,
            catch_up_watchers_max: 4096,
            catch_up_deliveries_max: 32_768,
            progress_interval: Duration::from_secs(600),
        }
    }
}
