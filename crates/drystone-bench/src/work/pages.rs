//! Walks over all keys page by page, as the Kubernetes API server does.

use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut as _, Bytes, BytesMut};
use drystone_api::etcdserverpb as pb;
use tokio::sync::Mutex;

use super::kv::note;
use super::{Bed, Outcome};
use crate::load::{Budget, Recorder, drive};
use crate::report::Load;
use crate::scan::Range;
use crate::wire::Call;

/// Where a worker's walk stands.
#[derive(Debug)]
struct Walk {
    /// The key to go on from; `None` before the first page.
    next: Option<Bytes>,
    /// The revision of the first page, which all others are read at.
    revision: i64,
    begun: Instant,
}

impl Walk {
    fn start() -> Walk {
        Walk { next: None, revision: 0, begun: Instant::now() }
    }

    /// Moves on past a page; tells whether it was the last one.
    fn advance(&mut self, page: &Range) -> bool {
        if !page.more {
            return true;
        }
        if self.next.is_none() {
            self.revision = page.revision;
        }
        // The first key that can follow a key.
        let mut next = BytesMut::from(&page.last_key[..]);
        next.put_u8(0);
        self.next = Some(next.freeze());
        false
    }
}

pub(crate) async fn page(
    bed: &Arc<Bed>,
    page_size: u32,
    budget: Arc<Budget>,
    recorder: Arc<Recorder>,
) -> Outcome {
    let begun = Instant::now();
    let bed = bed.clone();
    let walks = Arc::new(Recorder::new());
    let standing: Arc<Vec<Mutex<Walk>>> =
        Arc::new((0..bed.clients()).map(|_| Mutex::new(Walk::start())).collect());
    let (pages, done) = (recorder.clone(), walks.clone());
    let errors_max = bed.common.errors_max;
    drive(bed.clients(), &budget, &recorder, errors_max, move |worker, _| {
        let bed = bed.clone();
        let (first, range_end) = bed.keys.all();
        let serializable = bed.common.serializable;
        let (standing, pages, done) = (standing.clone(), pages.clone(), done.clone());
        async move {
            // Held over the call, but by this worker alone.
            let mut walk = standing[worker].lock().await;
            if walk.next.is_none() {
                walk.begun = Instant::now();
            }
            let request = pb::RangeRequest {
                key: walk.next.clone().unwrap_or(first),
                range_end,
                limit: i64::from(page_size),
                revision: if walk.next.is_some() { walk.revision } else { 0 },
                serializable,
                ..Default::default()
            };
            let page: Range = match bed.wire(worker).call(Call::Range, &request).await {
                Ok(page) => page,
                Err(status) => {
                    // The revision may have been compacted: begin again.
                    *walk = Walk::start();
                    return Err(status);
                }
            };
            if walk.advance(&page) {
                done.time(worker, walk.begun.elapsed());
                *walk = Walk::start();
            }
            note(&pages, page)
        }
    })
    .await;
    let walks = Some(Load::new(&walks, begun.elapsed()));
    Outcome { walks, ..Outcome::new(recorder, begun) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_stay_at_the_revision_of_their_first_page() {
        let page = |revision, more, last: &str| Range {
            revision,
            more,
            last_key: Bytes::copy_from_slice(last.as_bytes()),
            ..Range::default()
        };
        let mut walk = Walk::start();
        assert!(!walk.advance(&page(7, true, "a")));
        assert_eq!((walk.next.as_deref(), walk.revision), (Some(&b"a\0"[..]), 7));
        assert!(!walk.advance(&page(9, true, "b")));
        assert_eq!((walk.next.as_deref(), walk.revision), (Some(&b"b\0"[..]), 7));
        assert!(walk.advance(&page(9, false, "c")));
    }
}
