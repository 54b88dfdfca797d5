//! `lock` and `elect`: turns by the revisions that keys were made at, as etcd's client library
//! takes them. Each waits for whoever came earlier, by whatever client or service he came.

use std::process::{Command as Process, Stdio};

use bytes::Bytes;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use drystone_api::etcdserverpb::request_op::Request as Op;
use drystone_api::mvccpb::{KeyValue, event::EventType};
use drystone_client::{Client, Error, WatchOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::context::{Context, Limit, Session};
use crate::exit::{Exit, Failure};
use crate::go;
use crate::print::{Answer, GetStyle, RPC};

/// Seconds of an election's lease (etcd's).
const ELECTION_TTL_SECONDS: i64 = 60;

pub(crate) async fn lock(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let Some((name, command)) = context.args().split_first() else {
        return Err(Failure::arguments(
            "lock takes a lock name argument and an optional command to execute",
        ));
    };
    let (queue, command) = (Queue::of(name), command.to_vec());
    let ttl = context.flags.int("ttl");
    let session = context.session(RPC, Limit::None).await?;
    let mut asked_to_end = Ending::new()?;
    let mut place = Place::new(&session.client, queue, ttl).await?;
    place.take(Bytes::new(), &mut asked_to_end).await?;
    if !command.is_empty() {
        let ran = place.run(command).await;
        place.leave().await?;
        return ran;
    }
    place.show(context, &session, "lock lost on init").await?;
    tokio::select! {
        () = asked_to_end.asked() => {
            place.leave().await?;
            Ok(Exit::SUCCESS)
        }
        () = place.lost() => Err(Failure::new(Exit::ERROR, "session expired")),
    }
}

pub(crate) async fn elect(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let listen = context.flags.bool("listen");
    let (name, proposal) = match context.args() {
        [name] => (name, None),
        [name, proposal] => (name, Some(proposal.clone())),
        _ => {
            return Err(Failure::arguments(
                "elect takes one election name argument and an optional proposal argument",
            ));
        }
    };
    let queue = Queue::of(name);
    match (proposal, listen) {
        (None, false) => Err(Failure::arguments("no proposal argument but -l not set")),
        (Some(_), true) => Err(Failure::arguments("proposal given but -l is set")),
        (None, true) => observe(context, queue).await,
        (Some(proposal), false) => campaign(context, queue, proposal.into()).await,
    }
}

async fn campaign(
    context: &mut Context<'_>,
    queue: Queue,
    proposal: Bytes,
) -> Result<Exit, Failure> {
    let session = context.session(RPC, Limit::None).await?;
    let mut asked_to_end = Ending::new()?;
    let mut place = Place::new(&session.client, queue, ELECTION_TTL_SECONDS).await?;
    place.take(proposal, &mut asked_to_end).await?;
    place.show(context, &session, "elect: session expired").await?;
    tokio::select! {
        () = asked_to_end.asked() => {
            place.leave().await?;
            Ok(Exit::SUCCESS)
        }
        () = place.lost() => Err(Failure::new(Exit::ERROR, "elect: session expired")),
    }
}

/// Prints the leader and all that follow, until asked to end.
async fn observe(context: &mut Context<'_>, queue: Queue) -> Result<Exit, Failure> {
    let session = context.session(RPC, Limit::None).await?;
    let mut asked_to_end = Ending::new()?;
    tokio::select! {
        () = asked_to_end.asked() => Ok(Exit::SUCCESS),
        lost = print_leaders(context, &session, &queue) => {
            lost.map(|()| Exit::SUCCESS)
        }
    }
}

async fn print_leaders(
    context: &mut Context<'_>,
    session: &Session,
    queue: &Queue,
) -> Result<(), Failure> {
    let lost = |_: Error| Failure::new(Exit::ERROR, "elect: observer lost");
    let client = &session.client;
    loop {
        let found = client.range(queue.first()).await.map_err(lost)?;
        let at = revision(found.header.as_ref());
        let (kv, at) = match found.kvs.into_iter().next() {
            Some(kv) => (kv, at),
            None => match first_put(client, queue, at + 1).await.map_err(lost)? {
                Some(kv) => (kv.clone(), kv.mod_revision),
                None => continue,
            },
        };
        let key = kv.key.clone();
        show(context, session, kv, at)?;
        let watch = pb::WatchCreateRequest { key, start_revision: at + 1, ..Default::default() };
        let mut watch = client.watch(watch, WatchOptions::default());
        'leads: while let Some(heard) = watch.next().await.map_err(lost)? {
            let at = revision(heard.header.as_ref());
            for event in heard.events {
                match (event.r#type(), event.kv) {
                    (EventType::Put, Some(kv)) => show(context, session, kv, at)?,
                    _ => break 'leads,
                }
            }
        }
    }
}

/// The first key that is put into a queue; nothing when compaction came between.
async fn first_put(client: &Client, queue: &Queue, from: i64) -> Result<Option<KeyValue>, Error> {
    let pb::RangeRequest { key, range_end, .. } = queue.whole();
    let start_revision = from;
    let watch = pb::WatchCreateRequest { key, range_end, start_revision, ..Default::default() };
    let mut watch = client.watch(watch, WatchOptions::default());
    while let Some(heard) = watch.next().await? {
        let put = heard.events.into_iter().find(|event| event.r#type() == EventType::Put);
        if let Some(kv) = put.and_then(|event| event.kv) {
            return Ok(Some(kv));
        }
    }
    Ok(None)
}

fn show(
    context: &mut Context<'_>,
    session: &Session,
    kv: KeyValue,
    revision: i64,
) -> Result<(), Failure> {
    let header = Some(pb::ResponseHeader { revision, ..Default::default() });
    let response = pb::RangeResponse { header, kvs: vec![kv], ..Default::default() };
    context.show(session, Answer::Get(&response, GetStyle { value_only: false }))
}

fn revision(header: Option<&pb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

/// The signals that ask a process to end, caught from its making on.
struct Ending {
    interrupt: Signal,
    terminate: Signal,
}

impl Ending {
    fn new() -> Result<Ending, Failure> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Ending { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The keys below a name.
#[derive(Clone, Debug)]
struct Queue {
    prefix: Bytes,
}

impl Queue {
    fn of(name: &[u8]) -> Queue {
        Queue { prefix: [name, b"/"].concat().into() }
    }

    /// etcd writes the lease in hexadecimal, with its sign.
    fn own_key(&self, lease: i64) -> Bytes {
        let sign = if lease < 0 { "-" } else { "" };
        [&self.prefix[..], format!("{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into()
    }

    /// All keys. The prefix ends in `/`, so what ends it is the same with a `0`.
    fn whole(&self) -> pb::RangeRequest {
        let mut end = self.prefix.to_vec();
        end.pop();
        end.push(b'0');
        let key = self.prefix.clone();
        pb::RangeRequest { key, range_end: end.into(), ..Default::default() }
    }

    /// The oldest key.
    fn first(&self) -> pb::RangeRequest {
        pb::RangeRequest {
            sort_target: SortTarget::Create.into(),
            sort_order: SortOrder::Ascend.into(),
            limit: 1,
            ..self.whole()
        }
    }

    /// The youngest key made no later than at `made_max`.
    fn last_before(&self, made_max: i64) -> pb::RangeRequest {
        pb::RangeRequest {
            sort_target: SortTarget::Create.into(),
            sort_order: SortOrder::Descend.into(),
            limit: 1,
            max_create_revision: made_max,
            ..self.whole()
        }
    }
}

/// A key in a queue, on a lease of its own that is kept alive.
struct Place {
    client: Client,
    queue: Queue,
    key: Bytes,
    lease: i64,
    /// The revision the key was made at.
    made: i64,
    keeper: JoinHandle<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Place {
    async fn new(client: &Client, queue: Queue, ttl: i64) -> Result<Place, Failure> {
        let grant = pb::LeaseGrantRequest { ttl, id: 0 };
        let lease = client.lease_grant(grant).await.map_err(|e| Failure::call(&e))?.id;
        let mut keep = client.keep_alive(lease);
        let keeper = tokio::spawn(async move { while let Ok(Some(_)) = keep.next().await {} });
        let key = queue.own_key(lease);
        Ok(Place { client: client.clone(), queue, key, lease, made: 0, keeper })
    }

    /// Ends when the lease is no longer kept alive.
    async fn lost(&mut self) {
        let _ = (&mut self.keeper).await;
    }

    /// Enters the queue and waits until it is the first. Who is asked to end meanwhile leaves.
    async fn take(&mut self, value: Bytes, asked_to_end: &mut Ending) -> Result<(), Failure> {
        let taken = tokio::select! {
            taken = self.wait(value) => taken,
            () = asked_to_end.asked() => Err(Failure::new(Exit::ERROR, "context canceled")),
        };
        if taken.is_err() {
            // What was the matter is said already; the lease's end does the rest.
            let _ = self.leave().await;
        }
        taken
    }

    async fn wait(&mut self, value: Bytes) -> Result<(), Failure> {
        let failed = |error: Error| Failure::call(&error);
        let key = self.key.clone();
        let new = pb::Compare {
            key: key.clone(),
            target: CompareTarget::Create.into(),
            result: CompareResult::Equal.into(),
            target_union: Some(TargetUnion::CreateRevision(0)),
            ..Default::default()
        };
        let put = pb::PutRequest { key, value, lease: self.lease, ..Default::default() };
        let put = pb::RequestOp { request: Some(Op::RequestPut(put)) };
        let txn = pb::TxnRequest { compare: vec![new], success: vec![put], ..Default::default() };
        let entered = self.client.txn(txn).await.map_err(failed)?;
        // The lease was made for this key, so nobody has made the key before.
        self.made = revision(entered.header.as_ref());
        loop {
            let older = self.queue.last_before(self.made - 1);
            let older = self.client.range(older).await.map_err(failed)?;
            let from = revision(older.header.as_ref());
            let Some(before) = older.kvs.into_iter().next() else { break };
            wait_for_delete(&self.client, before.key, from).await.map_err(failed)?;
        }
        let own =
            pb::RangeRequest { key: self.key.clone(), count_only: true, ..Default::default() };
        match self.client.range(own).await.map_err(failed)?.count {
            0 => Err(Failure::new(Exit::ERROR, "mutex: session is expired")),
            _ => Ok(()),
        }
    }

    /// Prints the own key.
    async fn show(
        &self,
        context: &mut Context<'_>,
        session: &Session,
        otherwise: &str,
    ) -> Result<(), Failure> {
        let own = pb::RangeRequest { key: self.key.clone(), ..Default::default() };
        let found = self.client.range(own).await.map_err(|e| Failure::call(&e))?;
        if found.kvs.is_empty() {
            return Err(Failure::new(Exit::ERROR, otherwise));
        }
        context.show(session, Answer::Get(&found, GetStyle { value_only: false }))
    }

    /// Deletes the own key.
    async fn leave(&self) -> Result<(), Failure> {
        let delete = pb::DeleteRangeRequest { key: self.key.clone(), ..Default::default() };
        self.client.delete_range(delete).await.map(drop).map_err(|e| Failure::call(&e))
    }

    /// Runs a command that hears of the lock by its environment; how it ended.
    async fn run(&self, command: Vec<Vec<u8>>) -> Result<Exit, Failure> {
        use std::os::unix::ffi::OsStringExt as _;
        let mut words = command.into_iter().map(std::ffi::OsString::from_vec);
        let Some(program) = words.next() else { return Ok(Exit::SUCCESS) };
        let mut process = Process::new(&program);
        process.args(words).stdin(Stdio::null());
        let key = String::from_utf8_lossy(&self.key).into_owned();
        for (name, value) in [("ETCD_LOCK_KEY", key), ("ETCD_LOCK_REV", self.made.to_string())] {
            // Variables that are set already win, as with etcdctl.
            if std::env::var_os(name).is_none() {
                process.env(name, value);
            }
        }
        // On a thread of its own: the lease has to be renewed meanwhile.
        let ended = tokio::task::spawn_blocking(move || process.status()).await;
        let ended = ended.map_err(|died| Failure::new(Exit::ERROR, died.to_string()))?;
        match ended {
            Ok(status) if status.success() => Ok(Exit::SUCCESS),
            Ok(status) => match status.code() {
                Some(code) => {
                    let exit = Exit(u8::try_from(code).unwrap_or(u8::MAX));
                    Err(Failure::new(exit, format!("exit status {code}")))
                }
                None => Err(Failure::new(Exit::ERROR, status.to_string())),
            },
            Err(error) => Err(Failure::new(Exit::ERROR, not_run(&program, &error))),
        }
    }
}

fn not_run(program: &std::ffi::OsStr, error: &std::io::Error) -> String {
    let name = program.to_string_lossy();
    match error.kind() {
        std::io::ErrorKind::NotFound if name.contains('/') => {
            format!("fork/exec {name}: no such file or directory")
        }
        std::io::ErrorKind::NotFound => {
            format!("exec: {}: executable file not found in $PATH", go::quote(name.as_bytes()))
        }
        _ => format!("fork/exec {name}: {error}"),
    }
}

/// Waits until a key is deleted at `from` or later; may return early, where history was
/// compacted.
async fn wait_for_delete(client: &Client, key: Bytes, from: i64) -> Result<(), Error> {
    let watch = pb::WatchCreateRequest { key, start_revision: from, ..Default::default() };
    let mut watch = client.watch(watch, WatchOptions::default());
    while let Some(heard) = watch.next().await? {
        if heard.events.iter().any(|event| event.r#type() == EventType::Delete) {
            return Ok(());
        }
        if heard.canceled && heard.compact_revision == 0 {
            return Err(Error::Lost { message: heard.cancel_reason });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_etcdctl_names_them() {
        let queue = Queue::of(b"L");
        assert_eq!(queue.own_key(0x12c8_a1f9_6b3e_8a53), "L/12c8a1f96b3e8a53");
        assert_eq!(queue.own_key(-31), "L/-1f");
        assert_eq!((queue.whole().key, queue.whole().range_end), ("L/".into(), "L0".into()));
    }

    #[test]
    fn a_program_that_is_not_there() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        let said = |program: &str| not_run(std::ffi::OsStr::new(program), &missing);
        assert_eq!(said("/x"), "fork/exec /x: no such file or directory");
        assert_eq!(said("x"), "exec: \"x\": executable file not found in $PATH");
    }
}
