//! Where etcd falls and Drystone must stand: sequences of requests after which members must be
//! alive, equal, and of the same opinion after a restart.

use crate::harness::{Cluster, HarnessError, Launch, Program, Stop};
use crate::random;
use crate::rows::{Row, Session, render_range, rows};
use crate::rows::{delete_to, op, put, range, range_to, txn};
use drystone_api::etcdserverpb as pb;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How a line begins that says that a member is gone.
pub(crate) const ENDED: &str = "a member ended";
/// How a line begins that says that members have different data.
pub(crate) const DIFFER: &str = "members differ";

/// The sequences. The expectation is what Drystone answers.
pub const SEQUENCES: &[Row] = rows! {
    "a from-key delete before a put that keeps the value it would delete", &[], "
        put: rev 2
        InvalidArgument: etcdserver: key not found
        range: rev 2, count 1 [a=1 c2 m2 v1]
        InvalidArgument: etcdserver: key not found
        range: rev 2, count 1 [a=1 c2 m2 v1]
    ", |s| {
        s.put(put("a", "1")).await;
        let keep_value = pb::PutRequest { ignore_value: true, ..put("a", "") };
        s.txn(txn(vec![op(delete_to("a", "\0")), op(keep_value)])).await;
        s.range(range("a")).await;
        let keep_lease = pb::PutRequest { ignore_lease: true, ..put("a", "2") };
        s.txn(txn(vec![op(delete_to("a", "\0")), op(keep_lease)])).await;
        s.range(range("a")).await;
    }

    "a compaction at the revision that deleted a key and made it again", &[], "
        put: rev 2
        txn: rev 3, true {delete: rev 3, 1; put: rev 3}
        compact: rev 3
        range: rev 3, count 1 [a=2 c3 m3 v1]
        range: rev 3, count 1 [a=2 c3 m3 v1]
        put: rev 4, was a=2 c3 m3 v1
        range: rev 4, count 1 [a=2 c3 m3 v1]
    ", |s| {
        s.put(put("a", "1")).await;
        s.txn(txn(vec![op(delete_to("a", "\0")), op(put("a", "2"))])).await;
        s.compact(3, true).await;
        s.range(range("a")).await;
        s.range(pb::RangeRequest { revision: 3, ..range("a") }).await;
        s.put(pb::PutRequest { prev_kv: true, ..put("a", "3") }).await;
        s.range(pb::RangeRequest { revision: 3, ..range("a") }).await;
    }

    "an alarm action that does not exist", &[], "
        refused
        put: rev 2
    ", |s| {
        let request = pb::AlarmRequest { action: 77, ..Default::default() };
        let refused = matches!(s.client.alarm(request).await, Err(drystone_client::Error::Server { .. }));
        s.say(if refused { "refused" } else { "not refused" });
        s.put(put("a", "1")).await;
    }

    "a transaction that writes, and reads a revision that is not there", &[], "
        OutOfRange: etcdserver: mvcc: required revision is a future revision
        range: rev 1, count 0 []
        put: rev 2
    ", |s| {
        let wrong = pb::RangeRequest { revision: 1000, ..range("a") };
        s.txn(txn(vec![op(put("a", "1")), op(wrong)])).await;
        s.range(range("a")).await;
        s.put(put("b", "1")).await;
    }

    "requests that mean nothing", &[], "
        OutOfRange: etcdserver: mvcc: required revision is a future revision
        OutOfRange: etcdserver: mvcc: required revision is a future revision
        range: rev 1, count 0 []
        range: rev 1, count 0 []
        InvalidArgument: etcdserver: key not found
        revoked nothing
        put: rev 2
    ", |s| {
        s.range(pb::RangeRequest { revision: i64::MAX, ..range("a") }).await;
        s.compact(i64::MAX, true).await;
        s.range(pb::RangeRequest { revision: i64::MIN, limit: i64::MIN, ..range("a") }).await;
        s.range(pb::RangeRequest { limit: i64::MAX, ..range_to("\u{7f}", "\0") }).await;
        s.txn(txn(vec![pb::RequestOp { request: None }])).await;
        let revoked = s.client.lease_revoke(pb::LeaseRevokeRequest { id: i64::MIN }).await;
        s.say(if revoked.is_err() { "revoked nothing" } else { "revoked" });
        s.put(put("a", "1")).await;
    }

    "transactions in transactions, as deep as can be and deeper", &[], "
        depth 40: put: rev 2
        depth 60: refused
        depth 129: refused
        depth 1000: refused
        put: rev 3
    ", |s| {
        for depth in [40, 60, 129, 1000] {
            let innermost = txn(vec![op(put("a", "1"))]);
            let deep = (1..depth).fold(innermost, |inner, _| txn(vec![op(inner)]));
            let answer = s.client.txn(deep).await;
            let line = match answer {
                Ok(answer) => format!(
                    "put: rev {}", answer.header.map_or(0, |header| header.revision)),
                Err(drystone_client::Error::Server { .. }) => "refused".to_owned(),
                Err(error) => error.to_string(),
            };
            s.say(format!("depth {depth}: {line}"));
        }
        s.put(put("a", "2")).await;
    }

    "bytes that are of no protocol, on both ports", &[], "
        put: rev 2
    ", |s| {
        for address in s.addresses.clone() {
            for bytes in garbage() {
                if let Err(error) = throw(&address, &bytes).await {
                    s.say(format!("{address}: {error}"));
                }
            }
        }
        s.put(put("a", "1")).await;
    }

    "a random history with compactions", &[], "
        done
    ", |s| {
        let done = random::perform(&s.client, 7, 400).await;
        s.say(if done > 200 { "done" } else { "most operations failed" });
    }
};

/// Bytes that no client and no member sends.
fn garbage() -> Vec<Vec<u8>> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut frames = vec![
        Vec::new(),
        vec![0; 100],
        vec![0xff; 100_000],
        b"GET /no/such/path HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"POST /raft HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n\xff\xff\xff\xff\xff".to_vec(),
        b"POST /raft/snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n"
            .to_vec(),
        b"GET /raft/stream/msgapp/zz HTTP/1.1\r\nHost: x\r\nX-Server-From: zz\r\n\r\n".to_vec(),
        // A TLS greeting.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
    ];
    // HTTP/2 with a frame of the largest length, and with one of an unknown kind.
    for frame in
        [&b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"[..], b"\0\0\x01\xfe\xff\xff\xff\xff\xff\0"]
    {
        frames.push([preface, frame].concat());
    }
    frames
}

/// Sends bytes, and reads what comes back until the other side closes or a moment has passed.
async fn throw(address: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    // It may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ =
        tokio::time::timeout(MOMENT, stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)).await;
    Ok(())
}

/// How long an answer to garbage is listened to, and how much of it.
const MOMENT: Duration = Duration::from_millis(300);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Runs a sequence on a new cluster, then stops every member in turn, politely and not, and
/// compares members with each other and with what was read before. Lines that say what is
/// wrong follow the answers.
pub async fn stand(
    program: &Program,
    members: usize,
    sequence: &Row,
) -> Result<Vec<String>, HarnessError> {
    let mut cluster = Cluster::start(program, &Launch::of(members)).await?;
    let mut session = Session::new(&cluster);
    (sequence.run)(&mut session).await;
    let mut lines = session.finish();
    let before = match agreed(&mut cluster).await? {
        Ok(state) => state,
        Err(fault) => {
            lines.push(fault);
            return Ok(lines);
        }
    };
    for how in [Stop::Terminate, Stop::Kill] {
        for n in 0..members {
            cluster.member_mut(n).restart(how).await?;
        }
        match agreed(&mut cluster).await? {
            Ok(after) if after == before => {}
            Ok(after) => lines.push(format!("after {how:?}: was {before:?}, is {after:?}")),
            Err(fault) => lines.push(format!("after {how:?}: {fault}")),
        }
    }
    Ok(lines)
}

/// What every member reads of the store, if they are alive and agree.
async fn agreed(cluster: &mut Cluster) -> Result<Result<Vec<String>, String>, HarnessError> {
    for n in 0..cluster.members().len() {
        if let Some(status) = cluster.member_mut(n).ended() {
            let log = cluster.members()[n].log_tail();
            return Ok(Err(format!("{ENDED}: {status}\n{log}")));
        }
    }
    cluster.settle().await?;
    let mut states = Vec::new();
    for member in cluster.members() {
        states.push(state(member).await?);
    }
    let first = states[0].clone();
    match states.iter().position(|state| *state != first) {
        None => Ok(Ok(first)),
        Some(n) => Ok(Err(format!("{DIFFER}: {first:?}, {:?}", states[n]))),
    }
}

/// Everything readable on one member: the newest revision, a few older ones, the hash.
async fn state(member: &crate::harness::Member) -> Result<Vec<String>, HarnessError> {
    let client = member.client();
    let call = |what: &str| {
        let what = format!("{} does not answer: {what}", member.name());
        move |source| HarnessError::Call { what, source }
    };
    let everything = range_to("\0", "\0");
    let newest = client.range(everything.clone()).await.map_err(call("range"))?;
    let revision = newest.header.as_ref().map_or(1, |header| header.revision);
    let mut lines = vec![render_range(&newest)];
    for past in (1..=revision).rev().take(8) {
        let request = pb::RangeRequest { revision: past, ..everything.clone() };
        lines.push(match client.range(request).await {
            Ok(answer) => render_range(&answer),
            Err(error) => error.to_string(),
        });
    }
    let hash = client.hash_kv(pb::HashKvRequest { revision }).await.map_err(call("hash"))?;
    lines.push(format!("hash {} compacted {}", hash.hash, hash.compact_revision));
    Ok(lines)
}
