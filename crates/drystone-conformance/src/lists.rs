//! How much memory a server takes to list everything it holds: in chunks, and at once.

use crate::harness::{Cluster, Launch, Limits, Program, Stop};
use crate::process;
use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::request_op::Request as Op;
use drystone_client::{Client, Config as ClientConfig, Transport};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::codegen::{Service as _, http};

/// What is listed, and what it may cost.
#[derive(Clone, Debug)]
pub struct Config {
    /// Keys of the store.
    pub keys: u64,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// The most by which a list may raise the server's memory, in bytes.
    pub rise_bytes_max: u64,
    /// Also list at once, with a plain `Range`, and hold it to the same.
    pub plain: bool,
    /// More flags for the server.
    pub flags: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            keys: 1_000_000,
            value_bytes: 1024,
            rise_bytes_max: 32 << 20,
            plain: true,
            flags: Vec::new(),
        }
    }
}

/// One list.
#[derive(Clone, Debug)]
struct List {
    name: &'static str,
    took: Duration,
    chunks: u64,
    bytes: u64,
    /// Resident bytes before it, and the most while it ran.
    before: u64,
    peak: u64,
}

/// What was seen; [`fmt::Display`] prints it as a table.
#[derive(Clone, Debug)]
pub struct Outcome {
    program: String,
    config: Config,
    filled: Duration,
    lists: Vec<List>,
}

/// Operations of one transaction while the store is filled, and transactions under way at once.
const FILL_OPS: u64 = 16;
const FILL_CLIENTS: usize = 32;
/// Bound on one call; a list of everything is one.
const CALL_MAX: Duration = Duration::from_secs(300);
/// Bound on a restart, which reads all records.
const START_MAX: Duration = Duration::from_secs(120);
/// How often the server's memory is looked at before a list, how many looks in a row must find it
/// within how many bytes, and the bound on waiting for that.
const REST_LOOK: Duration = Duration::from_millis(250);
const REST_LOOKS: u32 = 8;
const REST_BYTES: u64 = 1 << 20;
const REST_MAX: Duration = Duration::from_secs(60);
/// Flag and length before a gRPC message.
const FRAME_HEADER_BYTES: usize = 5;

impl List {
    fn rise(&self) -> u64 {
        self.peak.saturating_sub(self.before)
    }
}

impl Outcome {
    /// What is wrong, if anything.
    pub fn faults(&self) -> Vec<String> {
        let most = self.config.rise_bytes_max;
        let over = self.lists.iter().filter(|list| list.rise() >= most);
        over.map(|list| {
            format!("{}: {} more, not under {}", list.name, mib(list.rise()), mib(most))
        })
        .collect()
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { keys, value_bytes, .. } = self.config;
        writeln!(
            f,
            "{}: {keys} keys of {value_bytes} bytes, written in {:.1?}",
            self.program, self.filled
        )?;
        writeln!(f)?;
        writeln!(f, "| list | time | messages | bytes | resident before | peak | more |")?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for list in &self.lists {
            let List { name, took, chunks, .. } = list;
            let [bytes, before, peak, rise] =
                [list.bytes, list.before, list.peak, list.rise()].map(mib);
            writeln!(
                f,
                "| {name} | {took:.2?} | {chunks} | {bytes} | {before} | {peak} | {rise} |"
            )?;
        }
        Ok(())
    }
}

/// Fills a store, restarts its server so that nothing is warm, and lists everything.
///
/// # Errors
/// What kept it from coming to an end; an answer that lacks a key.
pub async fn run(program: &Program, config: &Config) -> anyhow::Result<Outcome> {
    let launch = Launch {
        members: 1,
        flags: config.flags.clone(),
        limits: Limits { start: START_MAX, call: CALL_MAX, ..Limits::default() },
        ..Launch::default()
    };
    let mut cluster = Cluster::start(program, &launch).await?;
    let begun = Instant::now();
    fill(&cluster.client(), config).await?;
    let filled = begun.elapsed();
    eprintln!("list: {} keys after {filled:.1?}; the server starts anew", config.keys);
    cluster.member_mut(0).restart(Stop::Terminate).await?;

    let mut lists = Vec::new();
    for name in ["in chunks, first", "in chunks, second"] {
        lists.push(measured(&cluster, name, || in_chunks(&cluster, config)).await?);
    }
    if config.plain {
        for name in ["at once, first", "at once, second"] {
            lists.push(measured(&cluster, name, || at_once(&cluster, config)).await?);
        }
    }
    Ok(Outcome { program: program.title(), config: config.clone(), filled, lists })
}

async fn measured<A>(
    cluster: &Cluster,
    name: &'static str,
    list: impl FnOnce() -> A,
) -> anyhow::Result<List>
where
    A: Future<Output = anyhow::Result<(u64, u64)>>,
{
    let pid = cluster.members()[0].pid().context("the server has no process")?;
    rest(pid).await;
    process::forget_peak(pid).context("cannot reset the peak of the server's memory")?;
    let before = process::memory(pid).now;
    let begun = Instant::now();
    let (chunks, bytes) = list().await.with_context(|| format!("a list {name}"))?;
    let list = List {
        name,
        took: begun.elapsed(),
        chunks,
        bytes,
        before,
        peak: process::memory(pid).peak,
    };
    eprintln!("list: {name}: {:.1?}, {} more", list.took, mib(list.rise()));
    Ok(list)
}

/// Waits until a server's memory stands still: what its start, or the list before, still takes
/// and gives back is not the next list's. Gives up after [`REST_MAX`].
async fn rest(pid: i32) {
    let until = Instant::now() + REST_MAX;
    let mut still = 0;
    let mut last = process::memory(pid).now;
    while still < REST_LOOKS && Instant::now() < until {
        tokio::time::sleep(REST_LOOK).await;
        let now = process::memory(pid).now;
        still = if now.abs_diff(last) < REST_BYTES { still + 1 } else { 0 };
        last = now;
    }
    eprintln!("list: the server rests at {}", mib(last));
}

fn everything() -> pb::RangeRequest {
    pb::RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() }
}

/// Chunks and bytes of a list by `RangeStream`.
async fn in_chunks(cluster: &Cluster, config: &Config) -> anyhow::Result<(u64, u64)> {
    let mut stream = cluster.client().range_stream(everything()).await?;
    let (mut chunks, mut bytes, mut pairs, mut last) = (0, 0, 0, Bytes::new());
    let mut count = 0;
    while let Some(chunk) = stream.message().await? {
        chunks += 1;
        bytes += u64::try_from(chunk.encoded_len()).unwrap_or(u64::MAX);
        count += chunk.count;
        for pair in chunk.kvs {
            ensure!(pair.key > last, "{:?} comes after {last:?}", pair.key);
            ensure!(pair.value.len() == config.value_bytes, "{:?} has another value", pair.key);
            last = pair.key;
            pairs += 1;
        }
    }
    ensure!(pairs == config.keys, "{pairs} keys were listed");
    ensure!(u64::try_from(count) == Ok(config.keys), "{count} keys were counted");
    Ok((chunks, bytes))
}

/// Messages and bytes of a list by `Range`. The answer is counted as it comes in and not kept,
/// so that this process needs no memory for it either.
async fn at_once(cluster: &Cluster, config: &Config) -> anyhow::Result<(u64, u64)> {
    let mut client = ClientConfig::parse(cluster.endpoints())?;
    client.timeouts.call = Some(CALL_MAX);
    let message = everything().encode_to_vec();
    let mut framed = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len())?);
    framed.extend_from_slice(&message);
    let request = http::Request::post("http://server/etcdserverpb.KV/Range")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(Full::new(framed.freeze())))?;
    let response = Transport::new(&client)?.call(request).await?;
    let mut status = response.headers().get("grpc-status").cloned();
    let mut body = response.into_body();
    let (mut head, mut bytes) = (BytesMut::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                bytes += u64::try_from(data.len())?;
                if head.len() < FRAME_HEADER_BYTES {
                    head.extend_from_slice(&data[..data.len().min(FRAME_HEADER_BYTES)]);
                }
            }
            Err(frame) => {
                let trailers = frame.into_trailers().ok();
                status = trailers.and_then(|trailers| trailers.get("grpc-status").cloned());
            }
        }
    }
    ensure!(status.as_ref().is_some_and(|code| code == "0"), "it ended with {status:?}");
    ensure!(head.len() >= FRAME_HEADER_BYTES, "there is no message");
    head.advance(1);
    let length = u64::from(head.get_u32());
    ensure!(bytes == length + 5, "{bytes} bytes came of a message of {length}");
    let least = config.keys * u64::try_from(config.value_bytes)?;
    ensure!(length > least, "a message of {length} bytes cannot hold {least}");
    Ok((1, length))
}

/// Writes the keys, several in a transaction, of bytes that do not compress.
async fn fill(client: &Client, config: &Config) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for _ in 0..FILL_CLIENTS {
        let (client, next, config) = (client.clone(), next.clone(), config.clone());
        tasks.spawn(async move {
            loop {
                let first = next.fetch_add(FILL_OPS, Ordering::Relaxed);
                if first >= config.keys {
                    return Ok(());
                }
                let puts = (first..config.keys.min(first + FILL_OPS)).map(|n| {
                    let mut value = vec![0; config.value_bytes];
                    SmallRng::seed_from_u64(n).fill_bytes(&mut value);
                    let key = format!("list/{n:012}").into();
                    let put = pb::PutRequest { key, value: value.into(), ..Default::default() };
                    pb::RequestOp { request: Some(Op::RequestPut(put)) }
                });
                let txn = pb::TxnRequest { success: puts.collect(), ..Default::default() };
                client.txn(txn).await.context("cannot fill the store")?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a writer died")??;
    }
    Ok(())
}
