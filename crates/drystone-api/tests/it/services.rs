//! Plain clients talk to raw servers, joined without a socket.

use std::pin::Pin;

use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::watch_client::WatchClient;
use drystone_api::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, PutRequest, RangeRequest,
    ResponseHeader, TxnRequest, WatchRequest,
};
use drystone_api::mvccpb::{Event, KeyValue, event::EventType};
use drystone_api::raw::{self, kv_server, watch_server};
use futures::executor::block_on;
use futures::{Stream, StreamExt, stream};
use prost::Message;
use tonic::{Code, Request, Response, Status, Streaming};

type Pieces<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn pair(key: &str) -> KeyValue {
    KeyValue { key: key.to_owned().into(), value: "granite".into(), ..Default::default() }
}

fn stored(message: &impl Message) -> bytes::Bytes {
    message.encode_to_vec().into()
}

/// Holds two pairs, and refuses what is not a read.
struct TwoStones;

#[tonic::async_trait]
impl kv_server::Kv for TwoStones {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<raw::RangeResponse>, Status> {
        if request.get_ref().key.is_empty() {
            return Err(EtcdError::EmptyKey.into());
        }
        Ok(Response::new(raw::RangeResponse {
            header: Some(ResponseHeader { revision: 3, ..Default::default() }),
            kvs: vec![stored(&pair("a")), stored(&pair("b"))],
            more: false,
            count: 2,
        }))
    }

    type RangeStreamStream = Pieces<raw::RangeStreamResponse>;

    async fn range_stream(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let whole = self.range(request).await?.into_inner();
        let pieces = whole.kvs.into_iter().map(|kv| {
            let piece = raw::RangeResponse { kvs: vec![kv], ..Default::default() };
            Ok(raw::RangeStreamResponse { range_response: Some(piece) })
        });
        let pieces: Vec<_> = pieces.collect();
        Ok(Response::new(Box::pin(stream::iter(pieces))))
    }

    async fn put(&self, _: Request<PutRequest>) -> Result<Response<raw::PutResponse>, Status> {
        Err(EtcdError::NoSpace.into())
    }

    async fn delete_range(
        &self,
        _: Request<DeleteRangeRequest>,
    ) -> Result<Response<raw::DeleteRangeResponse>, Status> {
        Err(EtcdError::Corrupt.into())
    }

    async fn txn(&self, _: Request<TxnRequest>) -> Result<Response<raw::TxnResponse>, Status> {
        Err(EtcdError::RequestTooManyRequests.into())
    }

    async fn compact(
        &self,
        _: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        Err(EtcdError::FutureRev.into())
    }
}

/// Answers each request on the stream with one event.
struct Echo;

#[tonic::async_trait]
impl watch_server::Watch for Echo {
    type WatchStream = Pieces<raw::WatchResponse>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let answers = request.into_inner().map(|request| {
            request?;
            let event = raw::Event {
                r#type: EventType::Put.into(),
                kv: Some(stored(&pair("a"))),
                prev_kv: None,
            };
            Ok(raw::WatchResponse { events: vec![stored(&event)], ..Default::default() })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

#[test]
fn a_plain_client_reads_a_raw_range() {
    block_on(async {
        let mut client = KvClient::new(kv_server::KvServer::new(TwoStones));
        let request = RangeRequest { key: "a".into(), ..Default::default() };
        let answer = client.range(request.clone()).await.unwrap().into_inner();
        assert_eq!(answer.kvs, [pair("a"), pair("b")]);
        assert_eq!((answer.count, answer.header.unwrap().revision), (2, 3));

        let mut pieces = client.range_stream(request).await.unwrap().into_inner();
        let mut kvs = Vec::new();
        while let Some(piece) = pieces.next().await {
            kvs.extend(piece.unwrap().range_response.unwrap().kvs);
        }
        assert_eq!(kvs, answer.kvs);
    });
}

#[test]
fn refusals_arrive_with_code_and_text() {
    block_on(async {
        let mut client = KvClient::new(kv_server::KvServer::new(TwoStones));
        let refused = client.range(RangeRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(EtcdError::from_message(refused.message()), Some(EtcdError::EmptyKey));
        let refused = client.txn(TxnRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unknown);
        let error = EtcdError::from_message(refused.message());
        assert_eq!(error, Some(EtcdError::RequestTooManyRequests));
    });
}

#[test]
fn a_plain_client_watches_a_raw_stream() {
    block_on(async {
        let mut client = WatchClient::new(watch_server::WatchServer::new(Echo));
        let requests = stream::iter([WatchRequest::default(), WatchRequest::default()]);
        let mut answers = client.watch(requests).await.unwrap().into_inner();
        let event = Event { kv: Some(pair("a")), ..Default::default() };
        for _ in 0..2 {
            let answer = answers.next().await.unwrap().unwrap();
            assert_eq!(answer.events, std::slice::from_ref(&event));
        }
        assert!(answers.next().await.is_none());
    });
}
