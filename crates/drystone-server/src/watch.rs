//! The Watch service: one bidirectional stream, any number of watchers.

mod wire;

pub(crate) use wire::Wire;

use crate::access::Caller;
use crate::hub::{Command, Piece, pieces};
use crate::metrics::Sent;
use crate::shared::Shared;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{WatchRequest, watch_request::RequestUnion};
use drystone_api::raw::WatchResponse;
use drystone_member::watch_response;
use drystone_watch::{StreamId, WatchId};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Status};

/// A stream that asked for a leader ends after so many election timeouts without one.
const LEADERLESS_CHECKS_MAX: u32 = 3;

/// Serves `etcdserverpb.Watch`; [`Wire`] brings it to gRPC.
#[derive(Clone, Debug)]
pub(crate) struct WatchService {
    shared: Arc<Shared>,
}

impl WatchService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// Closes the hub's side when the stream's task ends, however it ends.
struct OpenStream {
    shared: Arc<Shared>,
    id: StreamId,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Err(command) = self.shared.hub.try_send(Command::Close(self.id)) {
            let hub = self.shared.hub.clone();
            tokio::spawn(async move { hub.send(command).await });
        }
    }
}

pub(crate) type Responses = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

impl WatchService {
    /// Opens a stream of watchers over requests, wherever they come from.
    pub(crate) async fn open(
        &self,
        request: Request<impl Stream<Item = Result<WatchRequest, Status>> + Send + Unpin + 'static>,
    ) -> Result<Responses, Status> {
        let needs_leader = crate::needs_leader(request.metadata());
        let caller = Caller::of(request.metadata(), request.extensions());
        let (outlet, responses) = pieces();
        let (reply, opened) = oneshot::channel();
        if !self.shared.hub.send(Command::Open(outlet, reply)).await {
            return Err(EtcdError::Stopped.into());
        }
        let id = opened.await.map_err(|_| Status::from(EtcdError::Stopped))?;
        let open = OpenStream { shared: self.shared.clone(), id };
        Ok(Box::pin(serve(open, caller, request.into_inner(), responses, needs_leader)))
    }
}

fn serve(
    open: OpenStream,
    caller: Caller,
    mut requests: impl Stream<Item = Result<WatchRequest, Status>> + Send + Unpin + 'static,
    mut responses: tokio::sync::mpsc::Receiver<Piece>,
    needs_leader: bool,
) -> impl Stream<Item = Result<WatchResponse, Status>> + Send {
    async_stream::stream! {
        let shared = open.shared.clone();
        let mut reading = true;
        let mut leaderless = 0;
        let mut check = tokio::time::interval(shared.config.election_timeout().max(Duration::from_millis(1)));
        loop {
            tokio::select! {
                piece = responses.recv() => {
                    let Some(piece) = piece else {
                        yield Err(EtcdError::Stopped.into());
                        return;
                    };
                    // Harmless when the hub was not waiting; when it was, nothing else would
                    // make it go on, so this must not be lost to a full queue of commands.
                    if responses.is_empty() && !shared.hub.send(Command::Drained(open.id)).await {
                        yield Err(EtcdError::Stopped.into());
                        return;
                    }
                    if shared.aside.get().is_some() {
                        yield Err(EtcdError::Corrupt.into());
                        return;
                    }
                    let Piece { responses, held } = piece;
                    for response in responses {
                        let header = shared.header(response.header_revision);
                        let (sent, began) = (Sent::of(&response), Instant::now());
                        yield Ok(watch_response(response, header));
                        // Here again when the transport asks for more.
                        shared.metrics.watches.sent(sent, began);
                    }
                    drop(held);
                }
                request = requests.next(), if reading => match request {
                    Some(Ok(request)) => {
                        if let Some(command) = command(&shared, &caller, open.id, request).await
                            && !shared.hub.send(command).await
                        {
                            yield Err(EtcdError::Stopped.into());
                            return;
                        }
                    }
                    // A client that closed its half goes on receiving, as with etcd.
                    None => reading = false,
                    Some(Err(broken)) => {
                        if broken.code() != Code::Cancelled {
                            shared.metrics.stream_broke("watch");
                        }
                        return;
                    }
                },
                _ = check.tick(), if needs_leader => {
                    leaderless = if shared.status.leader().is_none() { leaderless + 1 } else { 0 };
                    if leaderless >= LEADERLESS_CHECKS_MAX {
                        yield Err(EtcdError::NoLeader.into());
                        return;
                    }
                }
            }
        }
    }
}

/// What a request asks of the hub; nothing when it has no union member.
async fn command(
    shared: &Shared,
    caller: &Caller,
    stream: StreamId,
    request: WatchRequest,
) -> Option<Command> {
    match request.request_union? {
        RequestUnion::CreateRequest(request) => {
            Some(match shared.authorize(caller, request).await {
                Ok(create) => Command::Create(stream, Box::new(create)),
                Err(error) => Command::Refuse(stream, cancel_reason(error)),
            })
        }
        RequestUnion::CancelRequest(request) => {
            Some(Command::Cancel(stream, WatchId(request.watch_id)))
        }
        RequestUnion::ProgressRequest(_) => Some(Command::Progress(stream)),
    }
}

/// Why a watcher is refused, in the words of Go's gRPC: clients look for them inside the reason.
/// What has no text of its own there is a denied permission, as in etcd.
pub(crate) fn cancel_reason(error: EtcdError) -> String {
    let told = match error {
        EtcdError::UserEmpty | EtcdError::InvalidAuthToken | EtcdError::AuthOldRevision => error,
        _ => EtcdError::PermissionDenied,
    };
    let code = match told {
        EtcdError::UserEmpty | EtcdError::AuthOldRevision => "InvalidArgument",
        EtcdError::InvalidAuthToken => "Unauthenticated",
        _ => "PermissionDenied",
    };
    format!("rpc error: code = {code} desc = {}", told.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_that_clients_look_for() {
        for (error, reason) in [
            (
                EtcdError::UserEmpty,
                "rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
            ),
            (
                EtcdError::InvalidAuthToken,
                "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
            ),
            (
                EtcdError::AuthOldRevision,
                "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old",
            ),
            (
                EtcdError::UserNotFound,
                "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
            ),
        ] {
            assert_eq!(cancel_reason(error), reason);
        }
    }
}
