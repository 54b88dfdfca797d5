//! Lists that arrive in chunks, so that neither end holds all of one.

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::kv_client::KvClient;
use std::time::Duration;
use tonic::Streaming;

use crate::client::Repeat;
use crate::{Client, Error};

/// The answer to [`Client::range_stream`]. Dropping it ends the call.
#[derive(Debug)]
pub struct RangeStream {
    responses: Streaming<pb::RangeStreamResponse>,
    chunk_max: Option<Duration>,
}

impl RangeStream {
    /// The next chunk: pairs in ascending order of keys. The last one, and no other, has the
    /// header, `more` and `count`. `None` after it.
    ///
    /// # Errors
    /// The server's, for example when compaction passed the revision of the list meanwhile;
    /// [`Error::Deadline`] when a chunk takes longer than [`Timeouts::call`](crate::Timeouts).
    pub async fn message(&mut self) -> Result<Option<pb::RangeResponse>, Error> {
        let message = self.responses.message();
        let message = match self.chunk_max {
            Some(limit) => tokio::time::timeout(limit, message).await.or(Err(Error::Deadline))?,
            None => message.await,
        };
        match message {
            Ok(chunk) => Ok(chunk.map(|chunk| chunk.range_response.unwrap_or_default())),
            Err(status) => Err(Error::from_status(&status)),
        }
    }

    /// All chunks as one answer, as a plain range would give it.
    ///
    /// # Errors
    /// Those of [`RangeStream::message`].
    pub async fn merged(mut self) -> Result<pb::RangeResponse, Error> {
        let mut whole = pb::RangeResponse::default();
        while let Some(chunk) = self.message().await? {
            whole.header = chunk.header.or(whole.header);
            whole.more |= chunk.more;
            whole.count += chunk.count;
            whole.kvs.extend(chunk.kvs);
        }
        Ok(whole)
    }
}

impl Client {
    /// Reads keys in chunks, all at one revision; etcd has this from 3.7 on. The server refuses
    /// other orders than that of ascending keys, and bounds on revisions.
    ///
    /// # Errors
    /// Those of [`Client::range`].
    pub async fn range_stream(&self, request: pb::RangeRequest) -> Result<RangeStream, Error> {
        let config = self.config();
        let bytes_max = config.response_bytes_max;
        let responses = self
            .call(Repeat::Read, request, move |transport, request| async move {
                KvClient::new(transport)
                    .max_decoding_message_size(bytes_max)
                    .max_encoding_message_size(usize::MAX)
                    .range_stream(request)
                    .await
            })
            .await?;
        Ok(RangeStream { responses, chunk_max: config.timeouts.call })
    }
}
