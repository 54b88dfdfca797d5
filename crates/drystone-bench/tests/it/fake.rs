//! A server in memory: puts, ranges at the present, guarded updates, deletes, watches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use drystone_api::etcdserverpb::compare::TargetUnion;
use drystone_api::etcdserverpb::kv_server::{Kv, KvServer};
use drystone_api::etcdserverpb::request_op::Request as Op;
use drystone_api::etcdserverpb::response_op::Response as Done;
use drystone_api::etcdserverpb::watch_request::RequestUnion;
use drystone_api::etcdserverpb::watch_server::{Watch, WatchServer};
use drystone_api::{etcdserverpb as pb, mvccpb};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

#[derive(Clone, Default)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    failing: bool,
}

#[derive(Default)]
struct State {
    revision: i64,
    pairs: BTreeMap<Bytes, mvccpb::KeyValue>,
    paged: Vec<pb::RangeRequest>,
    watchers: Vec<(i64, Bytes, Bytes, Out)>,
}

type Out = mpsc::Sender<Result<pb::WatchResponse, Status>>;
type Answer<T> = Result<Response<T>, Status>;
type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Fake {
    pub(crate) fn failing() -> Fake {
        Fake { failing: true, ..Fake::default() }
    }

    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = tonic::transport::Server::builder()
            .add_service(KvServer::new(self.clone()))
            .add_service(WatchServer::new(self.clone()));
        tokio::spawn(async move {
            router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        address
    }

    pub(crate) fn pairs(&self) -> Vec<mvccpb::KeyValue> {
        self.state.lock().unwrap().pairs.values().cloned().collect()
    }

    /// As etcd counts: 1 before the first write.
    pub(crate) fn revision(&self) -> i64 {
        self.state.lock().unwrap().revision + 1
    }

    pub(crate) fn paged(&self) -> Vec<pb::RangeRequest> {
        self.state.lock().unwrap().paged.clone()
    }
}

impl State {
    fn header(&self) -> Option<pb::ResponseHeader> {
        Some(pb::ResponseHeader { revision: self.revision + 1, ..Default::default() })
    }

    fn put(&mut self, put: pb::PutRequest) {
        self.store(put, self.revision + 2);
        self.revision += 1;
    }

    fn store(&mut self, put: pb::PutRequest, mod_revision: i64) {
        let kv = mvccpb::KeyValue {
            key: put.key.clone(),
            value: put.value,
            mod_revision,
            ..Default::default()
        };
        for (watch_id, key, end, out) in &self.watchers {
            if put.key == *key || (put.key > *key && put.key < *end) {
                let event = mvccpb::Event { kv: Some(kv.clone()), ..Default::default() };
                let response = pb::WatchResponse {
                    watch_id: *watch_id,
                    events: vec![event],
                    ..Default::default()
                };
                out.try_send(Ok(response)).unwrap();
            }
        }
        self.pairs.insert(put.key, kv);
    }

    fn range(&mut self, range: &pb::RangeRequest) -> pb::RangeResponse {
        let found: Vec<_> = match range.range_end.is_empty() {
            true => self.pairs.get(&range.key).into_iter().cloned().collect(),
            false => {
                let bounds = range.key.clone()..range.range_end.clone();
                self.pairs.range(bounds).map(|(_, kv)| kv.clone()).collect()
            }
        };
        let asked = usize::try_from(range.limit).unwrap();
        let limit = if asked > 0 { asked } else { usize::MAX };
        if range.limit > 0 {
            self.paged.push(range.clone());
        }
        pb::RangeResponse {
            header: self.header(),
            count: found.len() as i64,
            more: found.len() > limit,
            kvs: match range.count_only {
                true => Vec::new(),
                false => found.into_iter().take(limit).collect(),
            },
        }
    }
}

#[tonic::async_trait]
impl Kv for Fake {
    async fn range(&self, request: Request<pb::RangeRequest>) -> Answer<pb::RangeResponse> {
        Ok(Response::new(self.state.lock().unwrap().range(request.get_ref())))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Answer<pb::PutResponse> {
        if self.failing {
            return Err(Status::internal("broken"));
        }
        let mut state = self.state.lock().unwrap();
        state.put(request.into_inner());
        Ok(Response::new(pb::PutResponse { header: state.header(), prev_kv: None }))
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Answer<pb::TxnResponse> {
        let txn = request.into_inner();
        let mut state = self.state.lock().unwrap();
        let holds = |compare: &pb::Compare| {
            let modified = state.pairs.get(&compare.key).map_or(0, |kv| kv.mod_revision);
            compare.target_union == Some(TargetUnion::ModRevision(modified))
        };
        let succeeded = txn.compare.iter().all(holds);
        let ops = if succeeded { txn.success } else { txn.failure };
        let mut responses = Vec::new();
        let mod_revision = state.revision + 2;
        let mut wrote = false;
        for op in ops {
            responses.push(match op.request.unwrap() {
                Op::RequestPut(put) => {
                    state.store(put, mod_revision);
                    wrote = true;
                    Done::ResponsePut(pb::PutResponse::default())
                }
                Op::RequestRange(range) => Done::ResponseRange(state.range(&range)),
                other => panic!("not expected: {other:?}"),
            });
        }
        state.revision += i64::from(wrote);
        let responses =
            responses.into_iter().map(|done| pb::ResponseOp { response: Some(done) }).collect();
        Ok(Response::new(pb::TxnResponse { header: state.header(), succeeded, responses }))
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Answer<pb::DeleteRangeResponse> {
        let range = request.into_inner();
        self.state
            .lock()
            .unwrap()
            .pairs
            .retain(|key, _| *key < range.key || *key >= range.range_end);
        Ok(Response::new(pb::DeleteRangeResponse::default()))
    }

    type RangeStreamStream = Boxed<pb::RangeStreamResponse>;

    async fn range_stream(&self, _: Request<pb::RangeRequest>) -> Answer<Self::RangeStreamStream> {
        Err(Status::unimplemented("range_stream"))
    }

    async fn compact(&self, _: Request<pb::CompactionRequest>) -> Answer<pb::CompactionResponse> {
        Err(Status::unimplemented("compact"))
    }
}

#[tonic::async_trait]
impl Watch for Fake {
    type WatchStream = Boxed<pb::WatchResponse>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Answer<Self::WatchStream> {
        let mut requests = request.into_inner();
        let (out, responses) = mpsc::channel(1024);
        let state = self.state.clone();
        tokio::spawn(async move {
            let mut watch_id = 0;
            while let Some(Ok(request)) = requests.next().await {
                let Some(RequestUnion::CreateRequest(create)) = request.request_union else {
                    continue;
                };
                let mut state = state.lock().unwrap();
                state.watchers.push((watch_id, create.key, create.range_end, out.clone()));
                let created = pb::WatchResponse { watch_id, created: true, ..Default::default() };
                out.try_send(Ok(created)).unwrap();
                watch_id += 1;
            }
            state.lock().unwrap().watchers.retain(|(_, _, _, other)| !other.same_channel(&out));
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}
