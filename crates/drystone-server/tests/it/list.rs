//! Lists in chunks, against plain ones.

use crate::{config_with, put, start_as};
use bytes::Bytes;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse,
    RangeStreamResponse,
};
use drystone_server::Server;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// What chunks are cut towards in these tests.
const REQUEST_BYTES_MAX: usize = 20_000;
/// Bound on what would hang if it went wrong.
const HANG_MAX: Duration = Duration::from_secs(30);

async fn server(folder: &tempfile::TempDir) -> (Server, KvClient<Channel>) {
    let flag = format!("--max-request-bytes={REQUEST_BYTES_MAX}");
    let (server, channel) = start_as(config_with(folder.path(), &[&flag])).await;
    (server, KvClient::new(channel).max_decoding_message_size(usize::MAX))
}

fn key(n: u32) -> Bytes {
    format!("k{n:04}").into()
}

fn all() -> RangeRequest {
    RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() }
}

/// All chunks, merged as protobuf merges, and how many there were.
async fn merged(
    kv: &mut KvClient<Channel>,
    request: RangeRequest,
) -> Result<(RangeResponse, usize), Status> {
    let mut stream = kv.range_stream(request).await?.into_inner();
    let (mut whole, mut chunks) = (RangeResponse::default(), 0);
    while let Some(chunk) = stream.message().await? {
        let chunk = chunk.range_response.unwrap();
        assert!(whole.header.is_none(), "only the last chunk has a header");
        assert!(chunk.header.is_some() || (!chunk.more && chunk.count == 0));
        let bytes: usize = chunk.kvs.iter().map(|kv| kv.value.len()).sum();
        let largest = chunk.kvs.last().map_or(0, |kv| kv.value.len());
        assert!(bytes - largest < 2 * REQUEST_BYTES_MAX, "a chunk of {bytes} bytes");
        chunks += 1;
        whole.kvs.extend(chunk.kvs);
        (whole.header, whole.more, whole.count) = (chunk.header, chunk.more, chunk.count);
    }
    Ok((whole, chunks))
}

/// Puts and deletes of keys of all sizes; returns the revision after them.
async fn fill(kv: &mut KvClient<Channel>, random: &mut SmallRng) -> i64 {
    let mut revision = 1;
    for _ in 0..600 {
        let n = random.random_range(0..200);
        let header = if random.random_ratio(1, 6) {
            let range_end = if random.random_ratio(1, 4) { key(n + 3) } else { Bytes::new() };
            let delete = DeleteRangeRequest { key: key(n), range_end, prev_kv: false };
            kv.delete_range(delete).await.unwrap().into_inner().header
        } else {
            let length = if random.random_ratio(1, 5) { 15_000 } else { 40 };
            let value = vec![b'v'; random.random_range(0..length)].into();
            let put = PutRequest { key: key(n), value, ..Default::default() };
            kv.put(put).await.unwrap().into_inner().header
        };
        revision = header.unwrap().revision;
    }
    revision
}

fn random_query(random: &mut SmallRng, revision: i64) -> RangeRequest {
    let range_end = match random.random_range(0..4) {
        0 => Bytes::new(),
        1 => "\0".into(),
        _ => key(random.random_range(0..220)),
    };
    RangeRequest {
        key: key(random.random_range(0..200)),
        range_end,
        limit: if random.random() { 0 } else { random.random_range(-1..150) },
        revision: if random.random() { 0 } else { random.random_range(-1..revision + 3) },
        sort_order: random.random_range(0..2),
        serializable: random.random(),
        keys_only: random.random_ratio(1, 4),
        count_only: random.random_ratio(1, 8),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_in_chunks_is_the_plain_list() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut kv) = server(&folder).await;
    let random = &mut SmallRng::seed_from_u64(20);
    let revision = fill(&mut kv, random).await;
    let compaction = CompactionRequest { revision: 100, physical: true };
    kv.compact(compaction).await.unwrap();
    let mut most = 0;
    for _ in 0..400 {
        let request = random_query(random, revision);
        let plain = kv.range(request.clone()).await;
        match (merged(&mut kv, request.clone()).await, plain) {
            (Ok((whole, chunks)), Ok(plain)) => {
                assert_eq!(whole, plain.into_inner(), "{request:?}");
                most = most.max(chunks);
            }
            (Err(refused), Err(plain)) => {
                assert_eq!((refused.code(), refused.message()), (plain.code(), plain.message()));
            }
            (list, plain) => panic!("{request:?}: {list:?} in chunks, {plain:?} at once"),
        }
    }
    assert!(most > 5, "the longest list came in {most} chunks");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_chunk_is_ten_pairs_and_nothing_is_one_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut kv) = server(&folder).await;
    assert_eq!(merged(&mut kv, all()).await.unwrap().1, 1);
    for n in 0..100 {
        kv.put(put(&format!("k{n:04}"), "v")).await.unwrap();
    }
    let mut stream = kv.range_stream(all()).await.unwrap().into_inner();
    let mut sizes = Vec::new();
    while let Some(chunk) = stream.message().await.unwrap() {
        sizes.push(chunk.range_response.unwrap().kvs.len());
    }
    assert_eq!(sizes, [10, 20, 40, 30]);
    let count = RangeRequest { count_only: true, ..all() };
    let (counted, chunks) = merged(&mut kv, count).await.unwrap();
    assert_eq!((counted.count, counted.kvs.len(), chunks), (100, 0, 1));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_in_chunks_is_refused_in_etcds_words() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut kv) = server(&folder).await;
    let (sort, filters) = (
        "RangeStream does not support custom sort orders",
        "RangeStream does not support revision filters",
    );
    for (request, code, text) in [
        (RangeRequest::default(), Code::InvalidArgument, "etcdserver: key is not provided"),
        (
            RangeRequest { sort_target: 99, ..all() },
            Code::InvalidArgument,
            "etcdserver: invalid sort option",
        ),
        (RangeRequest { sort_order: 2, ..all() }, Code::Unimplemented, sort),
        (RangeRequest { sort_order: 1, sort_target: 3, ..all() }, Code::Unimplemented, sort),
        (RangeRequest { sort_order: 2, min_mod_revision: 1, ..all() }, Code::Unimplemented, sort),
        (RangeRequest { max_create_revision: 9, ..all() }, Code::Unimplemented, filters),
        (
            RangeRequest { revision: 900, ..all() },
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
        ),
    ] {
        let refused = kv.range_stream(request.clone()).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (code, text), "{request:?}");
    }
    server.stop().await;
}

/// A client that reads one chunk and then stands still, with small windows so that most of the
/// list cannot have left the server.
async fn stalled(server: &Server) -> (usize, Streaming<RangeStreamResponse>) {
    let endpoint = format!("http://{}", server.client_addresses()[0]);
    let endpoint = Channel::from_shared(endpoint).unwrap();
    let channel = endpoint
        .initial_stream_window_size(Some(64 << 10))
        .initial_connection_window_size(Some(64 << 10))
        .connect()
        .await
        .unwrap();
    let mut stream = KvClient::new(channel).range_stream(all()).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    (first.range_response.unwrap().kvs.len(), stream)
}

async fn fill_large(kv: &mut KvClient<Channel>) -> i64 {
    let mut revision = 0;
    for n in 0..400 {
        let value = vec![b'v'; 10_000].into();
        let put = PutRequest { key: key(n), value, ..Default::default() };
        revision = kv.put(put).await.unwrap().into_inner().header.unwrap().revision;
    }
    revision
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_stands_still_does_not_see_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut kv) = server(&folder).await;
    let revision = fill_large(&mut kv).await;
    let (mut pairs, mut stream) = stalled(&server).await;
    let all_keys = DeleteRangeRequest { key: "\0".into(), range_end: "\0".into(), prev_kv: false };
    kv.delete_range(all_keys).await.unwrap();
    kv.put(put("k9999", "new")).await.unwrap();
    let mut end = None;
    while let Some(chunk) = stream.message().await.unwrap() {
        let chunk = chunk.range_response.unwrap();
        assert!(chunk.kvs.iter().all(|kv| kv.value.len() == 10_000));
        pairs += chunk.kvs.len();
        end = Some((chunk.header.map_or(0, |header| header.revision), chunk.count));
    }
    assert_eq!((pairs, end), (400, Some((revision, 400))));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_stands_still_holds_nothing_back_and_hears_of_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut kv) = server(&folder).await;
    fill_large(&mut kv).await;
    let (_, mut stream) = stalled(&server).await;
    for n in 0..10 {
        kv.put(put(&format!("k{n:04}"), "new")).await.unwrap();
    }
    // Physical: the answer waits until what it lets go is gone, which a held state would prevent.
    let compaction = CompactionRequest { revision: 405, physical: true };
    tokio::time::timeout(HANG_MAX, kv.compact(compaction)).await.unwrap().unwrap();
    let mut chunks = 0;
    let refused = loop {
        match tokio::time::timeout(HANG_MAX, stream.message()).await.unwrap() {
            Ok(Some(chunk)) => {
                let chunk = chunk.range_response.unwrap();
                assert!(chunk.header.is_none(), "the list came to its end");
                chunks += 1;
            }
            Ok(None) => panic!("the list ended without its last chunk"),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(refused.message(), "etcdserver: mvcc: required revision has been compacted");
    assert!(chunks < 100, "{chunks} chunks were on their way");
    server.stop().await;
}

/// Larger than what is held as a whole, with pairs that are far larger than others, at the
/// present and at a past revision, with and without a limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_list_that_is_not_held_is_what_chunks_make() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start_as(config_with(folder.path(), &[])).await;
    let mut kv = KvClient::new(channel).max_decoding_message_size(usize::MAX);
    let random = &mut SmallRng::seed_from_u64(4);
    let mut past = 0;
    for n in 0..900 {
        let length = if n % 90 == 0 { 1_000_000 } else { 16_000 };
        let value = vec![b'v'; random.random_range(0..length)].into();
        let put = PutRequest { key: key(n), value, ..Default::default() };
        let put = kv.put(put).await.unwrap().into_inner();
        if n == 700 {
            past = put.header.unwrap().revision;
        }
    }
    for n in (0..900).step_by(7) {
        kv.put(put(&format!("k{n:04}"), "new")).await.unwrap();
    }
    let mut longest = 0;
    for (revision, limit) in [(0, 0), (past, 0), (0, 800), (past, 650), (0, 900), (0, 901)] {
        let request = RangeRequest { revision, limit, ..all() };
        let plain = kv.range(request.clone()).await.unwrap().into_inner();
        longest = longest.max(plain.kvs.iter().map(|kv| kv.value.len()).sum());
        let mut stream = kv.range_stream(request).await.unwrap().into_inner();
        let mut whole = RangeResponse::default();
        while let Some(chunk) = stream.message().await.unwrap() {
            let chunk = chunk.range_response.unwrap();
            whole.kvs.extend(chunk.kvs);
            (whole.header, whole.more, whole.count) = (chunk.header, chunk.more, chunk.count);
        }
        assert!(plain == whole, "at {revision}, up to {limit}");
    }
    assert!(longest > 6 << 20, "{longest} bytes are held as a whole");
    server.stop().await;
}
