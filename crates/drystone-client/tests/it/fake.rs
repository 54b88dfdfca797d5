//! A server that answers from a script and remembers what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drystone_api::etcdserverpb::kv_server::{Kv, KvServer};
use drystone_api::etcdserverpb::lease_server::{Lease, LeaseServer};
use drystone_api::etcdserverpb::watch_request::RequestUnion;
use drystone_api::etcdserverpb::watch_server::{Watch, WatchServer};
use drystone_api::etcdserverpb::{self as pb, RangeStreamResponse};
use drystone_client::{Client, Config};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// One scripted watch: its responses, then how the stream ends (`None`: it stays open).
pub(crate) type WatchScript = (Vec<pb::WatchResponse>, Option<Status>);

#[derive(Clone, Default)]
pub(crate) struct Fake {
    /// Errors given before calls succeed.
    pub(crate) failures: Arc<Mutex<VecDeque<Status>>>,
    pub(crate) ranges: Arc<Mutex<Vec<pb::RangeRequest>>>,
    pub(crate) puts: Arc<Mutex<Vec<pb::PutRequest>>>,
    pub(crate) watches: Arc<Mutex<VecDeque<WatchScript>>>,
    pub(crate) creates: Arc<Mutex<Vec<pb::WatchCreateRequest>>>,
    pub(crate) progress: Arc<Mutex<usize>>,
    /// TTLs that renewals answer with; `Err` breaks the stream.
    pub(crate) ttls: Arc<Mutex<VecDeque<Result<i64, Status>>>>,
    pub(crate) metadata: Arc<Mutex<Vec<String>>>,
}

type Answer<T> = Result<Response<T>, Status>;
type Boxed<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Fake {
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.serve_on(listener)
    }

    pub(crate) fn serve_on(&self, listener: TcpListener) -> SocketAddr {
        let address = listener.local_addr().unwrap();
        let router = self.router();
        tokio::spawn(async move {
            router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        address
    }

    pub(crate) fn router(&self) -> tonic::transport::server::Router {
        tonic::transport::Server::builder()
            .add_service(KvServer::new(self.clone()))
            .add_service(WatchServer::new(self.clone()))
            .add_service(LeaseServer::new(self.clone()))
    }

    fn fail(&self) -> Result<(), Status> {
        self.failures.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

pub(crate) fn client(addresses: &[SocketAddr]) -> Client {
    client_with(addresses, |_| {})
}

pub(crate) fn client_with(addresses: &[SocketAddr], change: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::parse(addresses.iter().map(ToString::to_string)).unwrap();
    config.retries.pause = Duration::from_millis(2);
    change(&mut config);
    Client::new(config).unwrap()
}

/// An address that nobody listens on.
pub(crate) async fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

pub(crate) fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..Default::default() })
}

#[tonic::async_trait]
impl Kv for Fake {
    async fn range(&self, request: Request<pb::RangeRequest>) -> Answer<pb::RangeResponse> {
        let metadata = request.metadata();
        let said = ["token", "hasleader", "grpc-timeout"].map(|name| {
            metadata.get(name).map_or(String::new(), |value| format!("{name}={value:?}"))
        });
        *self.metadata.lock().unwrap() = said.to_vec();
        self.ranges.lock().unwrap().push(request.into_inner());
        self.fail()?;
        Ok(Response::new(pb::RangeResponse { header: header(1), ..Default::default() }))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Answer<pb::PutResponse> {
        self.puts.lock().unwrap().push(request.into_inner());
        self.fail()?;
        Ok(Response::new(pb::PutResponse { header: header(2), prev_kv: None }))
    }

    type RangeStreamStream = Boxed<RangeStreamResponse>;

    /// Two chunks, as many pairs in each as the limit says; one without a limit.
    async fn range_stream(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Answer<Self::RangeStreamStream> {
        self.fail()?;
        let request = request.into_inner();
        let pair = drystone_api::mvccpb::KeyValue { key: request.key, ..Default::default() };
        let pairs = vec![pair; usize::try_from(request.limit).unwrap_or(0)];
        let first = pb::RangeResponse { kvs: pairs.clone(), ..Default::default() };
        let (header, count) = (header(3), request.limit * 2);
        let last = pb::RangeResponse { header, kvs: pairs, more: true, count };
        let chunks = if request.limit > 0 { vec![first, last] } else { vec![last] };
        let chunks =
            chunks.into_iter().map(|chunk| Ok(RangeStreamResponse { range_response: Some(chunk) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks.collect::<Vec<_>>()))))
    }

    async fn delete_range(
        &self,
        _: Request<pb::DeleteRangeRequest>,
    ) -> Answer<pb::DeleteRangeResponse> {
        Err(Status::unimplemented("delete_range"))
    }

    async fn txn(&self, _: Request<pb::TxnRequest>) -> Answer<pb::TxnResponse> {
        Err(Status::unimplemented("txn"))
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
        let leader = request.metadata().get("hasleader").is_some();
        self.metadata.lock().unwrap().push(format!("hasleader={leader}"));
        let mut requests = request.into_inner();
        let (out, responses) = tokio::sync::mpsc::channel(16);
        let fake = self.clone();
        tokio::spawn(async move {
            let first = requests.next().await.unwrap().unwrap();
            let Some(RequestUnion::CreateRequest(create)) = first.request_union else {
                panic!("a watch begins with its creation");
            };
            fake.creates.lock().unwrap().push(create);
            let (script, end) = fake.watches.lock().unwrap().pop_front().unwrap();
            for response in script {
                let _ = out.send(Ok(response)).await;
            }
            if let Some(status) = end {
                let _ = out.send(Err(status)).await;
                return;
            }
            while let Some(Ok(request)) = requests.next().await {
                if let Some(RequestUnion::ProgressRequest(_)) = request.request_union {
                    *fake.progress.lock().unwrap() += 1;
                    let note = pb::WatchResponse { header: header(99), ..Default::default() };
                    let _ = out.send(Ok(note)).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}

#[tonic::async_trait]
impl Lease for Fake {
    type LeaseKeepAliveStream = Boxed<pb::LeaseKeepAliveResponse>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Answer<Self::LeaseKeepAliveStream> {
        let ttls = self.ttls.clone();
        let answers = request.into_inner().map(move |request| {
            let ttl = ttls.lock().unwrap().pop_front().unwrap()?;
            Ok(pb::LeaseKeepAliveResponse { header: header(1), id: request?.id, ttl })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_grant(
        &self,
        _: Request<pb::LeaseGrantRequest>,
    ) -> Answer<pb::LeaseGrantResponse> {
        Err(Status::unimplemented("lease_grant"))
    }

    async fn lease_revoke(
        &self,
        _: Request<pb::LeaseRevokeRequest>,
    ) -> Answer<pb::LeaseRevokeResponse> {
        Err(Status::unimplemented("lease_revoke"))
    }

    async fn lease_time_to_live(
        &self,
        _: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Answer<pb::LeaseTimeToLiveResponse> {
        Err(Status::unimplemented("lease_time_to_live"))
    }

    async fn lease_leases(
        &self,
        _: Request<pb::LeaseLeasesRequest>,
    ) -> Answer<pb::LeaseLeasesResponse> {
        Err(Status::unimplemented("lease_leases"))
    }
}
