//! Watches that live longer than the connection they began on.

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::watch_client::WatchClient;
use drystone_api::etcdserverpb::watch_request::RequestUnion;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::client::Backoff;
use crate::{Client, Error};

/// What a watch asks for beside its [`pb::WatchCreateRequest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// End the watch with `etcdserver: no leader` when the server loses its leader, instead
    /// of waiting in silence (metadata `hasleader: true`).
    pub require_leader: bool,
    /// Also hand out the first response that only says that the watch exists.
    pub created_notify: bool,
}

/// One watch, on a stream of its own.
///
/// Events come in order, each once and none left out, also over lost connections: the watch
/// is made again from the revision after the last one that was handed out (as etcd's
/// client/v3/watch.go does). A revision comes whole: fragments are joined.
///
/// Holds at most one response in memory; a reader that does not read makes the server wait.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    request: pb::WatchCreateRequest,
    options: WatchOptions,
    stream: Option<Stream>,
    /// Where to go on after a lost connection; 0 until the server has said where it began.
    next_revision: i64,
    backoff: Backoff,
    announced: bool,
    fragments: Option<pb::WatchResponse>,
    progress_wanted: bool,
    ended: bool,
}

#[derive(Debug)]
struct Stream {
    requests: mpsc::Sender<pb::WatchRequest>,
    responses: Streaming<pb::WatchResponse>,
}

/// Requests of one watch that wait to be sent: its creation, then progress requests.
const REQUESTS_MAX: usize = 4;

const TEXT_NO_LEADER: &str = "etcdserver: no leader";

impl Client {
    /// Watches keys. Nothing is sent before [`Watch::next`] is awaited.
    pub fn watch(&self, request: pb::WatchCreateRequest, options: WatchOptions) -> Watch {
        Watch {
            client: self.clone(),
            next_revision: request.start_revision,
            request,
            options,
            stream: None,
            backoff: Backoff::new(self.config()),
            announced: false,
            fragments: None,
            progress_wanted: false,
            ended: false,
        }
    }
}

impl Watch {
    /// The next response: events, a progress note (no events), or, at last, one with
    /// `canceled` set. `None` after that one.
    ///
    /// Safe to drop and call again, as in `select!`.
    ///
    /// # Errors
    /// What cannot be mended by connecting again; the watch has then ended.
    pub async fn next(&mut self) -> Result<Option<pb::WatchResponse>, Error> {
        while !self.ended {
            let Some(stream) = &mut self.stream else {
                self.open().await?;
                continue;
            };
            let received = match stream.responses.message().await {
                Ok(Some(response)) => Ok(response),
                Ok(None) => Err(Error::Lost { message: "the watch stream ended".into() }),
                Err(status) => Err(Error::from_status(&status)),
            };
            match received {
                Ok(response) => {
                    if let Some(whole) = self.take_in(response) {
                        return Ok(Some(whole));
                    }
                }
                Err(error) => self.mend(error).await?,
            }
        }
        Ok(None)
    }

    /// Asks for a progress note: it comes as a response without events once everything
    /// before its revision has been handed out.
    pub fn request_progress(&mut self) {
        self.progress_wanted = true;
        self.flush_progress();
    }

    fn flush_progress(&mut self) {
        let Some(stream) = self.stream.as_ref().filter(|_| self.announced) else { return };
        let progress = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
        // A full queue already holds a progress request that will be answered.
        let _ = stream.requests.try_send(pb::WatchRequest { request_union: Some(progress) });
        self.progress_wanted = false;
    }

    async fn open(&mut self) -> Result<(), Error> {
        self.fragments = None;
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let mut create = self.request.clone();
        create.start_revision = self.next_revision;
        let create = RequestUnion::CreateRequest(create);
        // The queue is new and empty, so this cannot fail for want of room.
        let _ = requests.try_send(pb::WatchRequest { request_union: Some(create) });
        let mut request = tonic::Request::new(ReceiverStream::new(queue));
        self.client.describe(request.metadata_mut(), self.options.require_leader);
        let mut watch = WatchClient::new(self.client.transport())
            .max_decoding_message_size(self.client.config().response_bytes_max)
            .max_encoding_message_size(usize::MAX);
        match watch.watch(request).await {
            Ok(response) => {
                self.stream = Some(Stream { requests, responses: response.into_inner() });
                Ok(())
            }
            Err(status) => self.mend(Error::from_status(&status)).await,
        }
    }

    /// Waits and lets the watch be opened again, or ends it with `error`.
    async fn mend(&mut self, error: Error) -> Result<(), Error> {
        self.stream = None;
        let again = matches!(error.code(), Code::Unavailable | Code::Internal)
            && !error.is_server(TEXT_NO_LEADER);
        if again && self.backoff.another(&error).await {
            return Ok(());
        }
        self.ended = true;
        Err(error)
    }

    /// Notes what a response says about where the watch stands; gives it back if it is for
    /// the caller.
    fn take_in(&mut self, response: pb::WatchResponse) -> Option<pb::WatchResponse> {
        self.backoff = Backoff::new(self.client.config());
        let revision = response.header.as_ref().map_or(0, |header| header.revision);
        if response.canceled {
            self.ended = true;
            self.stream = None;
            return Some(response);
        }
        if response.created {
            if self.next_revision <= 0 {
                self.next_revision = revision + 1;
            }
            let first = !std::mem::replace(&mut self.announced, true);
            if self.progress_wanted {
                self.flush_progress();
            }
            return (first && self.options.created_notify).then_some(response);
        }
        let whole = self.join_fragments(response)?;
        let last = whole.events.last().and_then(|event| event.kv.as_ref());
        self.next_revision = match last {
            Some(kv) => kv.mod_revision + 1,
            None => self.next_revision.max(revision + 1),
        };
        Some(whole)
    }

    fn join_fragments(&mut self, response: pb::WatchResponse) -> Option<pb::WatchResponse> {
        let more = response.fragment;
        let mut whole = match self.fragments.take() {
            Some(mut whole) => {
                whole.events.extend(response.events);
                whole
            }
            None => response,
        };
        whole.fragment = false;
        if more {
            self.fragments = Some(whole);
            return None;
        }
        Some(whole)
    }
}
