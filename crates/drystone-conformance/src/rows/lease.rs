//! Leases.

use super::session::{put, range_to, watch_to};
use super::{Row, rows};
use drystone_api::etcdserverpb::lease_client::LeaseClient;
use drystone_api::etcdserverpb::{LeaseKeepAliveRequest, LeaseLeasesRequest, PutRequest};
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(5);

pub(super) const ROWS: &[Row] = rows! {
    "Lease: times that are too short or too long", &[], "
        grant: rev 1, id 1, ttl 2
        grant: rev 1, id 2, ttl 2
        OutOfRange: etcdserver: too large lease TTL
        grant: rev 1, id 4, ttl 9000000000
    ", |s| {
        for (id, ttl) in [(1, 0), (2, -5), (3, 9_000_000_001), (4, 9_000_000_000)] {
            s.grant(id, ttl).await;
        }
    }

    "Lease: ids", &[], "
        grant: rev 1, id 7, ttl 1000
        FailedPrecondition: etcdserver: lease already exists
        grant: rev 1, id -7, ttl 1000
        chosen: positive
        revoke: rev 1
        grant: rev 1, id 7, ttl 500
    ", |s| {
        s.grant(7, 1000).await;
        s.grant(7, 1000).await;
        s.grant(-7, 1000).await;
        let request = drystone_api::etcdserverpb::LeaseGrantRequest { id: 0, ttl: 1000 };
        let chosen = s.client.lease_grant(request).await;
        s.note(chosen, |answer| {
            format!("chosen: {}", if answer.id > 0 { "positive" } else { "not positive" })
        });
        s.revoke(7).await;
        s.grant(7, 500).await;
    }

    "Lease: its end deletes its keys in one revision and in order", &[], "
        grant: rev 1, id 5, ttl 1000
        put: rev 2
        put: rev 3
        put: rev 4
        put: rev 5
        watch 0: rev 5, created
        revoke: rev 6
        watch 0: rev 6 [DELETE k/a m6 (was k/a=2 c3 m3 v1 l5), DELETE k/b m6 (was k/b=1 c2 m2 v1 l5), DELETE k/c m6 (was k/c=3 c4 m4 v1 l5)]
        range: rev 6, count 1 [k/z=4 c5 m5 v1]
        NotFound: etcdserver: requested lease not found
    ", |s| {
        s.grant(5, 1000).await;
        for (key, value) in [("k/b", "1"), ("k/a", "2"), ("k/c", "3")] {
            s.put(PutRequest { lease: 5, ..put(key, value) }).await;
        }
        s.put(put("k/z", "4")).await;
        let mut w = s.watches();
        let mut request = watch_to("k/", "k0");
        request.prev_kv = true;
        w.create(s, request).await;
        s.revoke(5).await;
        w.next(s).await;
        s.range(range_to("k/", "k0")).await;
        s.revoke(5).await;
    }

    "Lease: its end without keys has no revision", &[], "
        put: rev 2
        grant: rev 2, id 5, ttl 1000
        revoke: rev 2
        put: rev 3
    ", |s| {
        s.put(put("a", "1")).await;
        s.grant(5, 1000).await;
        s.revoke(5).await;
        s.put(put("a", "2")).await;
    }

    "Lease: what is left of it", &[], "
        left: rev 1, -1 of 0, keys []
        grant: rev 1, id 5, ttl 1000
        left: rev 1, some of 1000, keys []
        put: rev 2
        put: rev 3
        left: rev 3, some of 1000, keys [\"a\", \"b\"]
        left: rev 3, some of 1000, keys []
        put: rev 4
        left: rev 4, some of 1000, keys [\"b\"]
    ", |s| {
        s.time_to_live(5, true).await;
        s.grant(5, 1000).await;
        s.time_to_live(5, true).await;
        s.put(PutRequest { lease: 5, ..put("a", "1") }).await;
        s.put(PutRequest { lease: 5, ..put("b", "1") }).await;
        s.time_to_live(5, true).await;
        s.time_to_live(5, false).await;
        s.put(put("a", "1")).await;
        s.time_to_live(5, true).await;
    }

    "Lease: kept alive, known or not, on one stream", &[], "
        grant: rev 1, id 5, ttl 1000
        kept alive: id 5, ttl 1000
        kept alive: id 6, ttl 0
        kept alive: id 0, ttl 0
        kept alive: id 5, ttl 1000
        the stream ends
    ", |s| {
        s.grant(5, 1000).await;
        let ids = [5, 6, 0, 5].map(|id| LeaseKeepAliveRequest { id });
        let mut client = LeaseClient::new(s.client.transport());
        match client.lease_keep_alive(tokio_stream::iter(ids)).await {
            Err(status) => s.say(format!("{:?}: {}", status.code(), status.message())),
            Ok(answers) => {
                let mut answers = answers.into_inner();
                loop {
                    match tokio::time::timeout(ANSWER, answers.message()).await {
                        Ok(Ok(Some(answer))) => {
                            s.say(format!("kept alive: id {}, ttl {}", answer.id, answer.ttl));
                        }
                        Ok(Ok(None)) => break s.say("the stream ends"),
                        Ok(Err(status)) => break s.say(status.to_string()),
                        Err(_) => break s.say("no answer"),
                    }
                }
            }
        }
    }

    "Lease: the list", &[], "
        []
        [-3, 5, 9]
    ", |s| {
        for round in 0..2 {
            if round == 1 {
                for id in [5, 9, -3] {
                    let request = drystone_api::etcdserverpb::LeaseGrantRequest { id, ttl: 1000 };
                    let _ = s.client.lease_grant(request).await;
                }
            }
            let answer = s.client.lease_leases(LeaseLeasesRequest {}).await;
            s.note(answer, |answer| {
                let mut ids: Vec<i64> = answer.leases.iter().map(|lease| lease.id).collect();
                ids.sort_unstable();
                format!("{ids:?}")
            });
        }
    }

    "Lease: one that runs out", &[], "
        grant: rev 1, id 5, ttl 2
        put: rev 2
        watch 0: rev 2, created
        watch 0: rev 3 [DELETE k m3]
        left: rev 3, -1 of 0, keys []
    ", |s| {
        s.grant(5, 2).await;
        s.put(PutRequest { lease: 5, ..put("k", "1") }).await;
        let mut w = s.watches();
        w.create(s, watch_to("k", "l")).await;
        w.next(s).await;
        s.time_to_live(5, true).await;
    }
};
