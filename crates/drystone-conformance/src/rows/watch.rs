//! Watches.

use super::session::{delete, delete_to, op, put, txn, watch, watch_to};
use super::{Row, Session, rows};
use drystone_api::etcdserverpb::WatchCreateRequest;
use drystone_api::etcdserverpb::watch_create_request::FilterType;

async fn history(session: &mut Session, writes: &[(&str, &str)]) {
    for (key, value) in writes {
        if value.is_empty() {
            let _ = session.client.delete_range(delete(key)).await;
        } else {
            let _ = session.client.put(put(key, (*value).to_owned())).await;
        }
    }
}

pub(super) const ROWS: &[Row] = rows! {
    "Watch: history in one response, with what was there before", &[], "
        watch 0: rev 6, created
        watch 0: rev 6 [PUT a=3 c2 m4 v2 (was a=1 c2 m2 v1), DELETE a m5 (was a=3 c2 m4 v2), PUT a=4 c6 m6 v1]
    ", |s| {
        history(s, &[("a", "1"), ("b", "2"), ("a", "3"), ("a", ""), ("a", "4")]).await;
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { start_revision: 3, prev_kv: true, ..watch("a") }).await;
        w.next(s).await;
    }

    "Watch: what happens while it watches, a response a revision", &[], "
        watch 0: rev 1, created
        put: rev 2
        watch 0: rev 2 [PUT a=1 c2 m2 v1]
        put: rev 3
        watch 0: rev 3 [PUT b=2 c3 m3 v1]
        delete: rev 4, 2
        watch 0: rev 4 [DELETE a m4 (was a=1 c2 m2 v1), DELETE b m4 (was b=2 c3 m3 v1)]
        put: rev 5
        silence
    ", |s| {
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { prev_kv: true, ..watch_to("a", "c") }).await;
        s.put(put("a", "1")).await;
        w.next(s).await;
        s.put(put("b", "2")).await;
        w.next(s).await;
        s.delete(delete_to("a", "c")).await;
        w.next(s).await;
        s.put(put("c", "3")).await;
        w.silence(s).await;
    }

    "Watch: a compacted start", &[], "
        compact: rev 6
        watch 0: rev 6, created
        watch 0: rev 0, canceled, compacted 5
        watch 1: rev 6, created
        watch 1: rev 6 [PUT a=4 c2 m5 v4, PUT a=5 c2 m6 v5]
    ", |s| {
        history(s, &[("a", "1"), ("a", "2"), ("a", "3"), ("a", "4"), ("a", "5")]).await;
        s.compact(5, true).await;
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { start_revision: 4, ..watch("a") }).await;
        w.next(s).await;
        w.create(s, WatchCreateRequest { start_revision: 5, ..watch("a") }).await;
        w.next(s).await;
    }

    "Watch: a deletion exactly where history was cut", &[
        ("3.4", "a deletion at the compacted revision is kept since 3.4.34"),
        ("3.5", "a deletion at the compacted revision is kept since 3.5.16"),
    ], "
        compact: rev 4
        watch 0: rev 4, created
        watch 0: rev 4 [DELETE tb m3]
    ", |s| {
        history(s, &[("tb", "1"), ("tb", ""), ("x", "1")]).await;
        s.compact(3, true).await;
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { start_revision: 3, prev_kv: true, ..watch("tb") }).await;
        w.next(s).await;
    }

    "Watch: long history comes in pieces of a thousand revisions", &[], "
        watch 0: rev 2301, created
        watch 0: rev 2301 1000 events
        watch 0: rev 2301 1000 events
        watch 0: rev 2301 300 events
    ", |s| {
        s.put_many("k", 2300, &"x".into()).await;
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { start_revision: 2, ..watch_to("k", "l") }).await;
        for _ in 0..3 {
            w.next(s).await;
        }
    }

    "Watch: large responses whole, and in fragments", &[], "
        watch 0: rev 6, created
        watch 0: rev 6 [PUT k0=<900000 bytes> c2 m2 v1, PUT k1=<900000 bytes> c3 m3 v1, PUT k2=<900000 bytes> c4 m4 v1, PUT k3=<900000 bytes> c5 m5 v1, PUT k4=<900000 bytes> c6 m6 v1]
        watch 1: rev 6, created
        watch 1: rev 6, fragment [PUT k0=<900000 bytes> c2 m2 v1, PUT k1=<900000 bytes> c3 m3 v1]
        watch 1: rev 6, fragment [PUT k2=<900000 bytes> c4 m4 v1, PUT k3=<900000 bytes> c5 m5 v1]
        watch 1: rev 6 [PUT k4=<900000 bytes> c6 m6 v1]
    ", |s| {
        for n in 0..5 {
            let _ = s.client.put(put(&format!("k{n}"), vec![b'x'; 900_000])).await;
        }
        let mut w = s.watches();
        let all = WatchCreateRequest { start_revision: 2, ..watch_to("k", "l") };
        w.create(s, all.clone()).await;
        w.next(s).await;
        w.create(s, WatchCreateRequest { fragment: true, ..all }).await;
        for _ in 0..3 {
            w.next(s).await;
        }
    }

    "Watch: progress on request, when all are up to date", &[
        ("3.4", "progress was told without a look at the watches before 3.5.8"),
        ("3.5", "progress was told without a look at the watches before 3.5.8"),
    ], "
        silence
        watch 0: rev 2, created
        watch -1: rev 2
        watch 1: rev 2, created
        silence
    ", |s| {
        history(s, &[("a", "1")]).await;
        let mut w = s.watches();
        w.progress().await;
        w.silence(s).await;
        w.create(s, watch("a")).await;
        w.progress().await;
        w.next(s).await;
        w.create(s, WatchCreateRequest { start_revision: 100, ..watch("a") }).await;
        w.progress().await;
        w.silence(s).await;
    }

    "Watch: a canceled id that was not given back holds progress up", &[
        ("3.4", "progress was told without a look at the watches before 3.5.8"),
        ("3.5", "progress was told without a look at the watches before 3.5.8"),
    ], "
        compact: rev 4
        watch 0: rev 4, created
        watch 0: rev 0, canceled, compacted 4
        watch 1: rev 4, created
        silence
        watch 0: rev 4, canceled
        watch -1: rev 4
    ", |s| {
        history(s, &[("a", "1"), ("a", "2"), ("a", "3")]).await;
        s.compact(4, true).await;
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { start_revision: 2, ..watch("a") }).await;
        w.next(s).await;
        w.create(s, watch("b")).await;
        w.progress().await;
        w.silence(s).await;
        w.cancel(0).await;
        w.next(s).await;
        w.progress().await;
        w.next(s).await;
    }

    "Watch: ids that are given and ids that are chosen", &[], "
        watch 1: rev 1, created
        watch 0: rev 1, created
        watch 2: rev 1, created
    ", |s| {
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { watch_id: 1, ..watch("a") }).await;
        w.create(s, watch("b")).await;
        w.create(s, watch("c")).await;
    }

    "Watch: ids below zero are as good as others", &[], "
        watch -5: rev 1, created
        put: rev 2
        watch -5: rev 2 [PUT a=1 c2 m2 v1]
        watch -5: rev 2, canceled
    ", |s| {
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { watch_id: -5, ..watch("a") }).await;
        s.put(put("a", "1")).await;
        w.next(s).await;
        w.cancel(-5).await;
        w.next(s).await;
    }

    "Watch: an id that is free again may be given again", &[], "
        watch 3: rev 1, created
        watch 3: rev 1, canceled
        watch 3: rev 1, created
        put: rev 2
        watch 3: rev 2 [PUT b=1 c2 m2 v1]
    ", |s| {
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { watch_id: 3, ..watch("a") }).await;
        w.cancel(3).await;
        w.next(s).await;
        w.create(s, WatchCreateRequest { watch_id: 3, ..watch("b") }).await;
        s.put(put("b", "1")).await;
        w.next(s).await;
    }

    "Watch: two on one stream, each with its own responses", &[], "
        watch 0: rev 1, created
        watch 1: rev 1, created
        put: rev 2
        both heard revision 2
    ", |s| {
        let mut w = s.watches();
        w.create(s, watch_to("a", "c")).await;
        w.create(s, watch("b")).await;
        s.put(put("b", "1")).await;
        let mut heard = Vec::new();
        for _ in 0..2 {
            if let Some(response) = w.take().await {
                heard.push((response.watch_id, response.header.map(|header| header.revision)));
            }
        }
        heard.sort_unstable();
        let both = heard == [(0, Some(2)), (1, Some(2))];
        s.say(if both { "both heard revision 2".to_owned() } else { format!("{heard:?}") });
    }

    "Watch: a revision with many events is one response", &[], "
        watch 0: rev 1, created
        watch 0: rev 2 100 events
        watch 1: rev 2, created
        watch 1: rev 2 100 events
    ", |s| {
        let mut w = s.watches();
        w.create(s, watch_to("k", "l")).await;
        let ops = (0..100).map(|n| op(put(&format!("k{n}"), "x"))).collect();
        let _ = s.client.txn(txn(ops)).await;
        w.next(s).await;
        w.create(s, WatchCreateRequest { start_revision: 2, ..watch_to("k", "l") }).await;
        w.next(s).await;
    }

    "Watch: an id in use, an empty range", &[
        ("3.4", "the reasons are given since 3.5"),
        ("3.5", "the reasons are given since 3.5.2"),
    ], "
        watch 7: rev 1, created
        watch -1: rev 1, created, canceled, \"mvcc: duplicate watch ID provided on the WatchStream\"
        watch -1: rev 1, created, canceled, \"mvcc: watcher range is empty\"
        put: rev 2
        watch 7: rev 2 [PUT a=1 c2 m2 v1]
    ", |s| {
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { watch_id: 7, ..watch("a") }).await;
        w.create(s, WatchCreateRequest { watch_id: 7, ..watch("b") }).await;
        w.create(s, watch_to("b", "a")).await;
        s.put(put("a", "1")).await;
        w.next(s).await;
    }

    "Watch: a negative start", &[
        ("3.4", "refused since 3.6.6"),
        ("3.5", "refused since 3.6.6"),
    ], "
        watch -1: rev 1, created, canceled, \"etcdserver: mvcc: required revision has been compacted\"
    ", |s| {
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { start_revision: -1, ..watch("a") }).await;
    }

    "Watch: canceled on request, and nothing for ids that are none", &[], "
        watch 0: rev 1, created
        watch 0: rev 1, canceled
        put: rev 2
        silence
        silence
        watch 1: rev 2, created
    ", |s| {
        let mut w = s.watches();
        w.create(s, watch("a")).await;
        w.cancel(0).await;
        w.next(s).await;
        s.put(put("a", "1")).await;
        w.silence(s).await;
        w.cancel(99).await;
        w.silence(s).await;
        w.create(s, WatchCreateRequest { watch_id: 0, ..watch("b") }).await;
    }

    "Watch: filters", &[], "
        watch 0: rev 1, created
        watch 1: rev 1, created
        watch 2: rev 1, created
        watch 1: rev 2 [PUT a=1 c2 m2 v1]
        watch 0: rev 3 [DELETE a m3]
        silence
    ", |s| {
        let mut w = s.watches();
        let (put_, delete_) = (FilterType::Noput.into(), FilterType::Nodelete.into());
        for filters in [vec![put_], vec![delete_], vec![put_, delete_]] {
            w.create(s, WatchCreateRequest { filters, ..watch("a") }).await;
        }
        history(s, &[("a", "1")]).await;
        w.next(s).await;
        history(s, &[("a", "")]).await;
        w.next(s).await;
        w.silence(s).await;
    }

    "Watch: a start in the future", &[], "
        watch 0: rev 1, created
        put: rev 2
        put: rev 3
        put: rev 4
        watch 0: rev 4 [PUT a=3 c2 m4 v3]
    ", |s| {
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { start_revision: 4, ..watch("a") }).await;
        for value in ["1", "2", "3"] {
            s.put(put("a", value)).await;
        }
        w.next(s).await;
    }

    "Watch: an empty key", &[], "
        watch 0: rev 2, created
        watch 0: rev 2 [PUT a=1 c2 m2 v1]
        watch 1: rev 2, created
        silence
    ", |s| {
        history(s, &[("a", "1")]).await;
        let mut w = s.watches();
        w.create(s, WatchCreateRequest { start_revision: 1, ..watch_to("", "\0") }).await;
        w.next(s).await;
        w.create(s, WatchCreateRequest { start_revision: 1, ..watch("") }).await;
        w.silence(s).await;
    }
};
