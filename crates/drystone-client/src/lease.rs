//! Keeping a lease alive.

use std::time::Duration;

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::lease_client::LeaseClient;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::client::Backoff;
use crate::{Client, Error};

/// Renews one lease for as long as [`KeepAlive::next`] is awaited.
///
/// Renewals go out when a third of the lease's time has passed (as in etcd's
/// client/v3/lease.go). A lost connection is opened again while the lease can still live.
#[derive(Debug)]
pub struct KeepAlive {
    client: Client,
    id: i64,
    stream: Option<Stream>,
    /// When the next renewal goes out.
    due: Instant,
    /// When the server may have dropped the lease if it heard nothing more.
    dead: Option<Instant>,
    awaiting: bool,
    ended: bool,
    backoff: Backoff,
}

#[derive(Debug)]
struct Stream {
    requests: mpsc::Sender<pb::LeaseKeepAliveRequest>,
    responses: Streaming<pb::LeaseKeepAliveResponse>,
}

impl Client {
    /// Keeps a lease alive. The first renewal goes out at once.
    pub fn keep_alive(&self, id: i64) -> KeepAlive {
        KeepAlive {
            client: self.clone(),
            id,
            stream: None,
            due: Instant::now(),
            dead: None,
            awaiting: false,
            ended: false,
            backoff: Backoff::new(self.config()),
        }
    }

    /// Renews a lease once. A lease that is gone answers with a `ttl` of 0 or less.
    ///
    /// # Errors
    /// [`Error::Deadline`] after [`Timeouts::call`](crate::Timeouts::call), if that is set.
    pub async fn keep_alive_once(&self, id: i64) -> Result<pb::LeaseKeepAliveResponse, Error> {
        let mut keeper = self.keep_alive(id);
        let answer = keeper.answer();
        match self.config().timeouts.call {
            Some(limit) => {
                tokio::time::timeout(limit, answer).await.unwrap_or(Err(Error::Deadline))
            }
            None => answer.await,
        }
    }
}

impl KeepAlive {
    /// Waits for the next renewal and its answer. `None`: the lease has expired or was
    /// revoked, and so it stays.
    ///
    /// Safe to drop and call again, as in `select!`.
    pub async fn next(&mut self) -> Result<Option<pb::LeaseKeepAliveResponse>, Error> {
        if self.ended {
            return Ok(None);
        }
        let answer = match self.dead {
            None => self.answer().await,
            Some(dead) => match tokio::time::timeout_at(dead, self.answer()).await {
                Ok(answer) => answer,
                Err(_) => {
                    self.ended = true;
                    return Ok(None);
                }
            },
        };
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                self.ended = true;
                return Err(error);
            }
        };
        if response.ttl <= 0 {
            self.ended = true;
            return Ok(None);
        }
        Ok(Some(response))
    }

    /// One renewal, over new streams where needed.
    async fn answer(&mut self) -> Result<pb::LeaseKeepAliveResponse, Error> {
        tokio::time::sleep_until(self.due).await;
        loop {
            match self.exchange().await {
                Ok(response) => {
                    self.awaiting = false;
                    self.backoff = Backoff::new(self.client.config());
                    let ttl = Duration::from_secs(u64::try_from(response.ttl).unwrap_or(0));
                    let now = Instant::now();
                    self.due = now + ttl / 3;
                    self.dead = now.checked_add(ttl);
                    return Ok(response);
                }
                Err(error) => {
                    self.stream = None;
                    self.awaiting = false;
                    let again = matches!(error.code(), Code::Unavailable | Code::Internal);
                    if !again || !self.backoff.another(&error).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn exchange(&mut self) -> Result<pb::LeaseKeepAliveResponse, Error> {
        if self.stream.is_none() {
            self.stream = Some(self.open().await?);
            self.awaiting = true;
        }
        let lost = || Error::Lost { message: "the keep-alive stream ended".into() };
        let stream = self.stream.as_mut().ok_or_else(lost)?;
        if !self.awaiting {
            let renewal = pb::LeaseKeepAliveRequest { id: self.id };
            stream.requests.try_send(renewal).map_err(|_| lost())?;
            self.awaiting = true;
        }
        match stream.responses.message().await {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(lost()),
            Err(status) => Err(Error::from_status(&status)),
        }
    }

    /// Opens a stream with the first renewal already on it: servers may answer nothing, not
    /// even headers, before they have a request.
    async fn open(&self) -> Result<Stream, Error> {
        let (requests, queue) = mpsc::channel(1);
        let _ = requests.try_send(pb::LeaseKeepAliveRequest { id: self.id });
        let mut request = tonic::Request::new(ReceiverStream::new(queue));
        self.client.describe(request.metadata_mut(), false);
        let response = LeaseClient::new(self.client.transport())
            .lease_keep_alive(request)
            .await
            .map_err(|status| Error::from_status(&status))?;
        Ok(Stream { requests, responses: response.into_inner() })
    }
}
