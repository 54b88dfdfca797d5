//! Calls at the lowest price: one connection each, messages encoded straight into the frame,
//! responses scanned in the frame's buffer.

use std::marker::PhantomData;
use std::time::Duration;

use drystone_client::{Config, Endpoint, Transport, Windows};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Response, Status, Streaming};

use crate::Error;
use crate::scan::{Scan, scan};

pub(crate) const RANGE: &str = "/etcdserverpb.KV/Range";
pub(crate) const PUT: &str = "/etcdserverpb.KV/Put";
pub(crate) const TXN: &str = "/etcdserverpb.KV/Txn";
pub(crate) const DELETE_RANGE: &str = "/etcdserverpb.KV/DeleteRange";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// Large enough that lists do not wait for window updates.
const WINDOWS: Windows = Windows { stream_bytes: 16 << 20, connection_bytes: 32 << 20 };

/// One connection to one server.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    transport: Transport,
    timeout: Duration,
}

impl Wire {
    pub(crate) fn new(endpoint: &Endpoint, timeout: Duration) -> Result<Wire, Error> {
        let mut config = Config::new(vec![endpoint.clone()]);
        config.windows = WINDOWS;
        Ok(Wire { transport: Transport::new(&config)?, timeout })
    }

    /// Opens the connection.
    pub(crate) async fn connect(&self) -> Result<(), Error> {
        Ok(self.transport.connect().await?)
    }

    /// One unary call.
    pub(crate) async fn call<Q, R>(&self, path: &'static str, request: Q) -> Result<R, Status>
    where
        Q: Message + Default + Send + 'static,
        R: Scan,
    {
        let mut grpc = self.grpc();
        let path = PathAndQuery::from_static(path);
        let call = grpc.unary(Request::new(request), path, Scanning::<Q, R>::default());
        match tokio::time::timeout(self.timeout, call).await {
            Ok(response) => response.map(Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("the request took too long")),
        }
    }

    /// A watch stream.
    pub(crate) async fn watch<Q, R>(
        &self,
        requests: impl tokio_stream::Stream<Item = Q> + Send + 'static,
    ) -> Result<Streaming<R>, Status>
    where
        Q: Message + Default + Send + 'static,
        R: Scan,
    {
        let mut grpc = self.grpc();
        let path = PathAndQuery::from_static(WATCH);
        let codec = Scanning::<Q, R>::default();
        Ok(grpc.streaming(Request::new(requests), path, codec).await?.into_inner())
    }

    fn grpc(&self) -> Grpc<Transport> {
        Grpc::new(self.transport.clone()).max_decoding_message_size(usize::MAX)
    }
}

/// Encodes `Q` with prost and scans `R`.
struct Scanning<Q, R>(PhantomData<(Q, R)>);

impl<Q, R> Default for Scanning<Q, R> {
    fn default() -> Scanning<Q, R> {
        Scanning(PhantomData)
    }
}

impl<Q: Message + Send + 'static, R: Scan> Codec for Scanning<Q, R> {
    type Encode = Q;
    type Decode = R;
    type Encoder = Scanning<Q, R>;
    type Decoder = Scanning<Q, R>;

    fn encoder(&mut self) -> Scanning<Q, R> {
        Scanning::default()
    }
    fn decoder(&mut self) -> Scanning<Q, R> {
        Scanning::default()
    }
}

impl<Q: Message + Send + 'static, R: Scan> Encoder for Scanning<Q, R> {
    type Item = Q;
    type Error = Status;

    fn encode(&mut self, item: Q, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<Q: Message + Send + 'static, R: Scan> Decoder for Scanning<Q, R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        scan(buf).map(Some)
    }
}
