//! A snapshot that goes out.

use super::frame::{is_name, put_data, put_end, put_file, put_file_end};
use crate::call::{Body, Connection, empty, refusal};
use crate::codec::encode_frame;
use crate::headers::{NATIVE_SNAPSHOT, NATIVE_SNAPSHOT_1, native_snapshot};
use crate::peer::Peer;
use crate::{CallError, PeerUrl, Phase, SnapshotFile, SnapshotSource, Transfer};
use bytes::{Bytes, BytesMut};
use drystone_raft::Message;
use futures::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

/// Pieces that wait for the network.
const PIECES_WAITING: usize = 2;
/// Longest answer of a probe.
const PROBE_BYTES_MAX: usize = 4096;

type Piece = io::Result<Bytes>;

/// Sends a MsgSnap and its state in the background, and reports the outcome to the member
/// whatever happens.
pub(crate) fn start(peer: &Arc<Peer>, message: Message) {
    let permit = Arc::clone(&peer.shared.snapshot_sends).try_acquire_owned();
    let Ok(permit) = permit else {
        tracing::warn!(peer = %peer.id, "too many snapshots are being sent");
        report(peer, false);
        return;
    };
    peer.snapshots_in_flight.fetch_add(1, Ordering::Relaxed);
    let task_peer = Arc::clone(peer);
    let task = async move {
        let peer = task_peer;
        let began = Instant::now();
        let sent = peer.stop.run_until_cancelled(send(&peer, &message)).await;
        let outcome = sent.unwrap_or(Err(CallError::Stopped));
        peer.snapshots_in_flight.fetch_sub(1, Ordering::Relaxed);
        drop(permit);
        match &outcome {
            Ok(bytes) => {
                let took = began.elapsed();
                tracing::info!(peer = %peer.id, bytes, ?took, "sent database snapshot");
                peer.health.activate();
            }
            Err(error) => {
                let error = crate::error::chain(error);
                tracing::warn!(peer = %peer.id, error, "failed to send database snapshot");
            }
        }
        let phase = match &outcome {
            Ok(_) => Phase::Done(began.elapsed()),
            Err(_) => Phase::Failed,
        };
        let transfer = Transfer { peer: Some(peer.id), incoming: false, phase };
        peer.shared.handler.transferred(&transfer);
        report(&peer, outcome.is_ok());
    };
    peer.shared.tasks.spawn_on(task, &peer.shared.runtime);
}

fn report(peer: &Peer, delivered: bool) {
    let counters = &peer.health.counters;
    if delivered {
        counters.snapshots_sent.add(1);
    } else {
        counters.snapshots_failed.add(1);
        peer.shared.handler.report_unreachable(peer.id);
    }
    peer.shared.handler.report_snapshot(peer.id, delivered);
}

async fn send(peer: &Arc<Peer>, message: &Message) -> Result<u64, CallError> {
    let url = peer.url()?;
    let sent = send_to(peer, &url, message).await;
    match &sent {
        Err(CallError::Removed) => peer.shared.removed(peer.id),
        // The far end is well, or was not called.
        Err(CallError::NoNativeSnapshot | CallError::SnapshotSource(_)) => {}
        Err(error) => peer.failed("post snapshot", Some(&url), error),
        Ok(_) => {}
    }
    sent
}

async fn send_to(peer: &Arc<Peer>, url: &PeerUrl, message: &Message) -> Result<u64, CallError> {
    let shared = &peer.shared;
    let config = &shared.config;
    let mut connection = shared.connect(url).await?;
    agree(&mut connection).await?;

    let (source_for, opening) = (message.clone(), Arc::clone(&shared.handler));
    let open = move || opening.open_snapshot(&source_for);
    let opened = shared.tasks.spawn_blocking_on(open, &shared.runtime).await;
    let source = opened.map_err(|_| CallError::Stopped)?.map_err(CallError::SnapshotSource)?;
    let bytes = source.files.iter().map(|file| file.bytes).sum::<u64>();
    tracing::info!(peer = %peer.id, bytes, files = source.files.len(), "sending database snapshot");

    let mut head = BytesMut::new();
    encode_frame(message, &mut head);
    let (pieces, waiting) = mpsc::channel(PIECES_WAITING);
    let piece_bytes = config.snapshot_chunk_bytes;
    let read = move || read_files(source, head.freeze(), piece_bytes, &pieces);
    let reader = shared.tasks.spawn_blocking_on(read, &shared.runtime);

    let (all_taken, taken) = oneshot::channel();
    let body = paced(waiting, config.snapshot_bytes_per_second, all_taken);
    let mut headers = shared.headers.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(NATIVE_SNAPSHOT, NATIVE_SNAPSHOT_1);
    let answer = connection.start(Method::POST, "/raft/snapshot", headers, body)?;
    tokio::pin!(answer);
    // While bytes go out, the connection's write deadline watches; from then on, this one.
    let early = tokio::select! {
        answer = &mut answer => Some(answer),
        _ = taken => None,
    };
    let after: Duration = config.snapshot_settle_timeout;
    let answer = match early {
        Some(answer) => answer,
        None => timeout(after, answer).await.map_err(|_| CallError::ReadTimeout { after })?,
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            // A file that could not be read ends the body, which shows as a broken connection.
            drop(connection);
            return match reader.await {
                Ok(Err(source)) => Err(CallError::SnapshotSource(source)),
                _ => Err(error),
            };
        }
    };
    if answer.status() != StatusCode::NO_CONTENT {
        return Err(refusal(&connection, answer).await);
    }
    Ok(bytes)
}

/// Asks whether the far end takes this framing, on the connection that is to carry it.
async fn agree(connection: &mut Connection) -> Result<(), CallError> {
    let mut headers = HeaderMap::new();
    headers.insert(NATIVE_SNAPSHOT, NATIVE_SNAPSHOT_1);
    let answer = connection.send(Method::GET, "/raft/probing", headers, empty(), 0).await?;
    let agreed = answer.status() == StatusCode::OK && native_snapshot(answer.headers());
    connection.body(answer, PROBE_BYTES_MAX).await?;
    if agreed { Ok(()) } else { Err(CallError::NoNativeSnapshot) }
}

/// Turns pieces into a body that keeps to a pace, and says when the last one was taken.
fn paced(
    pieces: mpsc::Receiver<Piece>,
    bytes_per_second: u64,
    all_taken: oneshot::Sender<()>,
) -> Body {
    struct State {
        pieces: mpsc::Receiver<Piece>,
        next_at: Instant,
        all_taken: Option<oneshot::Sender<()>>,
    }
    let state = State { pieces, next_at: Instant::now(), all_taken: Some(all_taken) };
    let frames = stream::unfold(state, move |mut state| async move {
        let Some(piece) = state.pieces.recv().await else {
            if let Some(all_taken) = state.all_taken.take() {
                // Nobody listens any more when the answer came early.
                let _ = all_taken.send(());
            }
            return None;
        };
        if bytes_per_second > 0 {
            sleep_until(state.next_at).await;
            let bytes = piece.as_ref().map_or(0, Bytes::len) as u64;
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second);
            let pause = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            // Time that the network could not use is not made up for.
            state.next_at = state.next_at.max(Instant::now()) + pause;
        }
        Some((piece.map(Frame::data).map_err(Into::into), state))
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

/// Reads all files on a blocking thread, a piece at a time. An error goes to the body as well,
/// which must not end as if it were whole.
fn read_files(
    source: SnapshotSource,
    head: Bytes,
    piece_bytes: usize,
    pieces: &mpsc::Sender<Piece>,
) -> io::Result<()> {
    let send = |piece: Bytes| {
        let sent = pieces.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the connection ended"))
    };
    let outcome = (|| {
        send(head)?;
        let mut buf = vec![0; piece_bytes];
        let mut total = 0;
        for file in &source.files {
            read_file(file, &mut buf, &send)?;
            total += file.bytes;
        }
        let files = u32::try_from(source.files.len()).map_err(io::Error::other)?;
        let mut end = BytesMut::new();
        put_end(&mut end, files, total);
        send(end.freeze())
    })();
    if let Err(error) = &outcome {
        let copy = io::Error::new(error.kind(), error.to_string());
        // A body that is gone needs no error.
        let _ = pieces.blocking_send(Err(copy));
    }
    outcome
}

fn read_file(
    file: &SnapshotFile,
    buf: &mut [u8],
    send: &impl Fn(Bytes) -> io::Result<()>,
) -> io::Result<()> {
    let changed = || {
        let text = format!("{} does not have {} bytes", file.path.display(), file.bytes);
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    if !is_name(&file.name) {
        let text = format!("{:?} is no name for a file of a snapshot", file.name);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut input = File::open(&file.path)?;
    let mut out = BytesMut::new();
    put_file(&mut out, &file.name, file.bytes);
    let (mut left, mut crc) = (file.bytes, 0);
    while left > 0 {
        let wanted = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let got = input.read(&mut buf[..wanted])?;
        if got == 0 {
            return Err(changed());
        }
        put_data(&mut out, &buf[..got]);
        crc = crc32c::crc32c_append(crc, &buf[..got]);
        left -= got as u64;
        send(out.split().freeze())?;
    }
    if input.read(&mut buf[..1])? != 0 {
        return Err(changed());
    }
    put_file_end(&mut out, crc);
    send(out.freeze())
}
