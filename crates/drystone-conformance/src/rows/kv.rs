//! Reads, writes, deletions, compaction, hashes.

use super::session::{delete, delete_to, put, range, range_to};
use super::{Row, rows};
use drystone_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use drystone_api::etcdserverpb::{PutRequest, RangeRequest};

fn sorted(target: SortTarget, order: SortOrder, limit: i64) -> RangeRequest {
    RangeRequest {
        sort_target: target.into(),
        sort_order: order.into(),
        limit,
        ..range_to("k", "l")
    }
}

/// Why etcd before 3.7 answers otherwise.
const NO_STREAM: &str = "RangeStream came with 3.7";

pub(super) const ROWS: &[Row] = rows! {
    "KV: a range of an empty store", &[], "range: rev 1, count 0 []", |s| {
        s.range(range("x")).await;
    }

    "KV: a second put, with what was there before", &[], "
        put: rev 2
        put: rev 3, was a=1 c2 m2 v1
    ", |s| {
        s.put(put("a", "1")).await;
        s.put(PutRequest { prev_kv: true, ..put("a", "2") }).await;
    }

    "KV: revisions of a range: past, negative, future", &[], "
        put: rev 2
        put: rev 3
        range: rev 3, count 1 [a=1 c2 m2 v1]
        range: rev 3, count 1 [a=2 c2 m3 v2]
        OutOfRange: etcdserver: mvcc: required revision is a future revision
        range: rev 3, count 0 []
    ", |s| {
        s.put(put("a", "1")).await;
        s.put(put("a", "2")).await;
        for revision in [2, -5, 100, 1] {
            s.range(RangeRequest { revision, ..range("a") }).await;
        }
    }

    "KV: a deletion of nothing has no revision", &[], "
        put: rev 2
        delete: rev 2, 0
        put: rev 3
    ", |s| {
        s.put(put("a", "1")).await;
        s.delete(delete("missing")).await;
        s.put(put("a", "2")).await;
    }

    "KV: a deletion of a range", &[], "
        put: rev 2
        put: rev 3
        put: rev 4
        delete: rev 5, 2, were [a=1 c2 m2 v1, b=2 c3 m3 v1]
        delete: rev 5, 0
        delete: rev 6, 1
    ", |s| {
        for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
            s.put(put(key, value)).await;
        }
        let mut request = delete_to("a", "c");
        request.prev_kv = true;
        s.delete(request.clone()).await;
        s.delete(request).await;
        s.delete(delete_to("\0", "\0")).await;
    }

    "KV: limit, more and count", &[], "
        range: rev 7, count 5, more [k0=9 c2 m2 v1, k1=8 c3 m3 v1]
        range: rev 7, count 5, more [k2=7 c4 m7 v2, k1=8 c3 m3 v1]
        range: rev 7, count 5, more [k4=5 c6 m6 v1, k3=6 c5 m5 v1]
        range: rev 7, count 5, more [k4=5 c6 m6 v1, k3=6 c5 m5 v1]
        range: rev 7, count 5 [k3=6 c5 m5 v1, k4=5 c6 m6 v1]
        range: rev 7, count 5 []
        range: rev 7, count 5 [k0= c2 m2 v1, k1= c3 m3 v1, k2= c4 m7 v2, k3= c5 m5 v1, k4= c6 m6 v1]
    ", |s| {
        for (n, value) in ["9", "8", "7", "6", "5"].into_iter().enumerate() {
            let _ = s.client.put(put(&format!("k{n}"), value)).await;
        }
        let _ = s.client.put(put("k2", "7")).await;
        s.range(sorted(SortTarget::Key, SortOrder::None, 2)).await;
        s.range(sorted(SortTarget::Value, SortOrder::None, 2)).await;
        s.range(sorted(SortTarget::Value, SortOrder::Ascend, 2)).await;
        s.range(sorted(SortTarget::Key, SortOrder::Descend, 2)).await;
        s.range(RangeRequest { min_mod_revision: 5, max_mod_revision: 6, limit: 2,
            ..sorted(SortTarget::Key, SortOrder::None, 2) }).await;
        s.range(RangeRequest { count_only: true, ..range_to("k", "l") }).await;
        s.range(RangeRequest { keys_only: true, ..range_to("k", "l") }).await;
    }

    "KV: filters by revision, before the limit and not in the count", &[], "
        range: rev 7, count 5, more [k2=7 c4 m7 v2, k3=6 c5 m5 v1]
        range: rev 7, count 5 [k0=9 c2 m2 v1, k1=8 c3 m3 v1]
        range: rev 7, count 5 [k3=6 c5 m5 v1, k4=5 c6 m6 v1]
        range: rev 7, count 5 [k0=9 c2 m2 v1, k1=8 c3 m3 v1, k2=7 c4 m7 v2]
        range: rev 7, count 5 [k2=7 c4 m7 v2]
    ", |s| {
        for (n, value) in ["9", "8", "7", "6", "5"].into_iter().enumerate() {
            let _ = s.client.put(put(&format!("k{n}"), value)).await;
        }
        let _ = s.client.put(put("k2", "7")).await;
        let all = || range_to("k", "l");
        s.range(RangeRequest { min_mod_revision: 4, limit: 2, ..all() }).await;
        s.range(RangeRequest { max_mod_revision: 4, ..all() }).await;
        s.range(RangeRequest { min_create_revision: 5, ..all() }).await;
        s.range(RangeRequest { max_create_revision: 4, ..all() }).await;
        s.range(RangeRequest { min_mod_revision: 4, max_create_revision: 4, ..all() }).await;
    }

    "KV: requests that are refused", &[], "
        InvalidArgument: etcdserver: key is not provided
        InvalidArgument: etcdserver: key is not provided
        InvalidArgument: etcdserver: key is not provided
        InvalidArgument: etcdserver: value is provided
        InvalidArgument: etcdserver: lease is provided
        InvalidArgument: etcdserver: key not found
        InvalidArgument: etcdserver: key not found
        NotFound: etcdserver: requested lease not found
        range: rev 1, count 0 []
    ", |s| {
        s.range(range("")).await;
        s.put(put("", "1")).await;
        s.delete(delete("")).await;
        s.put(PutRequest { ignore_value: true, ..put("a", "1") }).await;
        s.put(PutRequest { ignore_lease: true, lease: 5, ..put("a", "1") }).await;
        s.put(PutRequest { ignore_value: true, ..put("a", "") }).await;
        s.put(PutRequest { ignore_lease: true, ..put("a", "1") }).await;
        s.put(PutRequest { lease: 77, ..put("a", "1") }).await;
        s.range(range_to("\0", "\0")).await;
    }

    "KV: orders and targets that do not exist", &[
        ("3.4", "later versions refuse them"),
        ("3.5.1", "later versions refuse them"),
    ], "
        InvalidArgument: etcdserver: invalid sort option
        InvalidArgument: etcdserver: invalid sort option
    ", |s| {
        s.range(RangeRequest { sort_order: 9, ..range("a") }).await;
        s.range(RangeRequest { sort_target: 9, ..range("a") }).await;
    }

    "KV: a value kept while the lease goes", &[], "
        grant: rev 1, id 5, ttl 1000
        put: rev 2
        put: rev 3, was k=1 c2 m2 v1 l5
        range: rev 3, count 1 [k=1 c2 m3 v2]
    ", |s| {
        s.grant(5, 1000).await;
        s.put(PutRequest { lease: 5, ..put("k", "1") }).await;
        s.put(PutRequest { ignore_value: true, prev_kv: true, ..put("k", "") }).await;
        s.range(range("k")).await;
    }

    "KV: a request too large for the store, and one too large for the connection", &[], "
        InvalidArgument: etcdserver: request is too large
        ResourceExhausted: grpc: received message larger than max (2500008 vs. 2097152)
        put: rev 2
    ", |s| {
        s.put(put("k", vec![b'x'; (3 << 19) + 10])).await;
        s.put(put("k", vec![b'x'; 2_500_000])).await;
        s.put(put("k", vec![b'x'; 3 << 18])).await;
    }

    "KV: compaction and what may be read after it", &[], "
        OutOfRange: etcdserver: mvcc: required revision is a future revision
        compact: rev 5
        OutOfRange: etcdserver: mvcc: required revision has been compacted
        OutOfRange: etcdserver: mvcc: required revision has been compacted
        range: rev 5, count 1 [a=2 c2 m3 v2]
        OutOfRange: etcdserver: mvcc: required revision has been compacted
        range: rev 5, count 1 [a=2 c2 m3 v2]
        compact: rev 5
        range: rev 5, count 1 [a=4 c2 m5 v4]
    ", |s| {
        for value in ["1", "2", "3", "4"] {
            let _ = s.client.put(put("a", value)).await;
        }
        s.compact(6, false).await;
        s.compact(3, false).await;
        s.compact(3, false).await;
        s.compact(2, false).await;
        s.range(RangeRequest { revision: 3, ..range("a") }).await;
        s.range(RangeRequest { revision: 2, ..range("a") }).await;
        s.range(RangeRequest { revision: 3, ..range_to("\0", "\0") }).await;
        s.compact(5, true).await;
        s.range(range("a")).await;
    }

    "KV: compaction of nothing, once", &[], "
        compact: rev 1
        OutOfRange: etcdserver: mvcc: required revision has been compacted
        compact: rev 1
        range: rev 1, count 0 []
        put: rev 2
        OutOfRange: etcdserver: mvcc: required revision has been compacted
        range: rev 2, count 1 [a=1 c2 m2 v1]
    ", |s| {
        s.compact(0, false).await;
        s.compact(0, false).await;
        s.compact(1, false).await;
        s.range(range("a")).await;
        s.put(put("a", "1")).await;
        s.compact(-1, false).await;
        s.range(range("a")).await;
    }

    "KV: sorted by each target", &[], "
        a b c
        c b a
        b c a
        a c b
        b c a
        a c b
        b c a
        a c b
        c b a
        a b c
    ", |s| {
        for (key, value) in [("b", "2"), ("c", "1"), ("a", "3"), ("b", "3"), ("a", "2"), ("c", "5")]
        {
            let _ = s.client.put(put(key, value)).await;
        }
        for (key, value) in [("c", "1"), ("a", "8"), ("a", "9")] {
            let _ = s.client.put(put(key, value)).await;
        }
        for target in [
            SortTarget::Key, SortTarget::Create, SortTarget::Mod, SortTarget::Version,
            SortTarget::Value,
        ] {
            for order in [SortOrder::Ascend, SortOrder::Descend] {
                let mut request = sorted(target, order, 0);
                request.key = "a".into();
                request.range_end = "d".into();
                let keys = match s.client.range(request).await {
                    Ok(answer) => answer.kvs.iter().map(|kv| kv.key.escape_ascii().to_string())
                        .collect::<Vec<_>>().join(" "),
                    Err(error) => error.to_string(),
                };
                s.say(keys);
            }
        }
    }

    "KV: ranges of single keys, from a key on, and turned around", &[], "
        range: rev 4, count 1 [a=1 c2 m2 v1]
        range: rev 4, count 2 [b=2 c3 m3 v1, c=3 c4 m4 v1]
        range: rev 4, count 3 [a=1 c2 m2 v1, b=2 c3 m3 v1, c=3 c4 m4 v1]
        range: rev 4, count 0 []
        range: rev 4, count 0 []
        range: rev 4, count 0 []
    ", |s| {
        for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
            let _ = s.client.put(put(key, value)).await;
        }
        s.range(range("a")).await;
        s.range(range_to("b", "\0")).await;
        s.range(range_to("\0", "\0")).await;
        s.range(range_to("b", "a")).await;
        s.range(range_to("b", "b")).await;
        s.range(range_to("d", "\0")).await;
    }

    "KV: hashes of known revisions", &[
        ("3.4", "hashes of compactions are kept since 3.5, and this version refuses them"),
        ("3.5", "hashes of compactions are kept since 3.5.5"),
    ], "
        hash: rev 6, 2189896166, compacted -1
        compact: rev 6
        hash: rev 6, 53816346, compacted -1
        hash: rev 6, 42315614, compacted 5
        OutOfRange: etcdserver: mvcc: required revision has been compacted
        OutOfRange: etcdserver: mvcc: required revision is a future revision
    ", |s| {
        let _ = s.client.lease_grant(
            drystone_api::etcdserverpb::LeaseGrantRequest { id: 5, ttl: 1000 }).await;
        let _ = s.client.put(put("a", "1")).await;
        let _ = s.client.put(PutRequest { lease: 5, ..put("a", "2") }).await;
        let _ = s.client.put(put("b", "")).await;
        let _ = s.client.delete_range(delete("b")).await;
        let _ = s.client.put(put("c", "3")).await;
        s.hash_kv(0).await;
        s.compact(5, true).await;
        s.hash_kv(5).await;
        s.hash_kv(6).await;
        s.hash_kv(4).await;
        s.hash_kv(7).await;
    }

    "KV: a range in chunks is the range", &[
        ("3.4", NO_STREAM), ("3.5", NO_STREAM), ("3.6", NO_STREAM),
    ], "
        range: rev 31, count 0 []
        range: rev 31, count 30, more [k10=v c2 m2 v1, k11=v c3 m3 v1]
        range: rev 31, count 4 [k36=v c28 m28 v1, k37=v c29 m29 v1, k38=v c30 m30 v1, k39=v c31 m31 v1]
        range: rev 31, count 3 [k10=v c2 m2 v1, k11=v c3 m3 v1, k12=v c4 m4 v1]
        range: rev 31, count 30 []
        range: rev 31, count 1 [k20= c12 m12 v1]
        the same 30 pairs: true
    ", |s| {
        for n in 10..40 {
            let _ = s.client.put(put(&format!("k{n}"), "v")).await;
        }
        s.range_stream(range("x")).await;
        s.range_stream(RangeRequest { limit: 2, ..range_to("k", "l") }).await;
        s.range_stream(range_to("k36", "\0")).await;
        s.range_stream(RangeRequest { revision: 4, ..range_to("k", "l") }).await;
        s.range_stream(RangeRequest { count_only: true, ..range_to("k", "l") }).await;
        s.range_stream(RangeRequest { keys_only: true, ..range("k20") }).await;
        let plain = s.client.range(range_to("k", "l")).await.map(|plain| plain.kvs);
        let chunks = match s.client.range_stream(range_to("k", "l")).await {
            Ok(chunks) => chunks.merged().await.map(|merged| merged.kvs),
            Err(refused) => Err(refused),
        };
        let same = matches!((&plain, &chunks), (Ok(plain), Ok(chunks)) if plain == chunks);
        s.say(format!("the same {} pairs: {same}", plain.map_or(0, |plain| plain.len())));
    }

    "KV: what a range in chunks refuses", &[
        ("3.4", NO_STREAM), ("3.5", NO_STREAM), ("3.6", NO_STREAM),
    ], "
        InvalidArgument: etcdserver: key is not provided
        InvalidArgument: etcdserver: invalid sort option
        Unimplemented: RangeStream does not support custom sort orders
        Unimplemented: RangeStream does not support custom sort orders
        Unimplemented: RangeStream does not support revision filters
        OutOfRange: etcdserver: mvcc: required revision is a future revision
        OutOfRange: etcdserver: mvcc: required revision has been compacted
    ", |s| {
        let _ = s.client.put(put("k", "1")).await;
        let _ = s.client.put(put("k", "2")).await;
        let compaction = drystone_api::etcdserverpb::CompactionRequest { revision: 3, physical: true };
        let _ = s.client.compact(compaction).await;
        s.range_stream(range("")).await;
        s.range_stream(RangeRequest { sort_order: 9, ..range("k") }).await;
        s.range_stream(sorted(SortTarget::Key, SortOrder::Descend, 0)).await;
        s.range_stream(sorted(SortTarget::Mod, SortOrder::Ascend, 0)).await;
        s.range_stream(RangeRequest { min_mod_revision: 1, ..range("k") }).await;
        s.range_stream(RangeRequest { revision: 9, ..range("k") }).await;
        s.range_stream(RangeRequest { revision: 2, ..range("k") }).await;
    }
};
