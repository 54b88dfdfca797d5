//! What clients connect to: the gRPC stack over connections, wherever they come from.

use crate::auth::AuthService;
use crate::cluster::ClusterService;
use crate::connection::{Connection, Guarded};
use crate::deadline::Deadlines;
use crate::election::ElectionService;
use crate::gate::Gate;
use crate::kv::KvService;
use crate::lease::LeaseService;
use crate::lock::LockService;
use crate::maintenance::MaintenanceService;
use crate::range::PiecewiseRange;
use crate::shared::Shared;
use crate::watch::WatchService;
use drystone_api::etcdserverpb::auth_server::AuthServer;
use drystone_api::etcdserverpb::cluster_server::ClusterServer;
use drystone_api::etcdserverpb::lease_server::LeaseServer;
use drystone_api::etcdserverpb::maintenance_server::MaintenanceServer;
use drystone_api::health::health_server::HealthServer;
use drystone_api::limits::TRANSPORT_OVERHEAD_BYTES;
use drystone_api::raw::{kv_server::KvServer, watch_server::WatchServer};
use drystone_api::v3electionpb::election_server::ElectionServer;
use drystone_api::v3lockpb::lock_server::LockServer;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server as GrpcServer;

/// HTTP/2 windows: large enough that a list is not cut up by its round trips.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Streams that a client may reset before it is taken for an attacker (h2's own default).
const PENDING_RESETS_MAX: usize = 20;

/// Where clients' connections come from. An error is one connection's that came to nothing.
pub trait Accept<C>: Stream<Item = io::Result<C>> + Send + 'static {}

impl<C, T: Stream<Item = io::Result<C>> + Send + 'static> Accept<C> for T {}

/// The connections that a listener accepts.
pub(crate) fn accepted(listener: TcpListener) -> impl Accept<TcpStream> {
    tokio_stream::StreamExt::map(TcpListenerStream::new(listener), |connection| {
        connection.inspect(|connection| {
            // Answers are small; waiting to fill a segment only delays them.
            let _ = connection.set_nodelay(true);
        })
    })
}

/// Serves clients until told to stop.
pub(crate) async fn serve_clients<C: Connection>(
    shared: Arc<Shared>,
    incoming: impl Accept<C>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let receive_max = shared.config.max_request_bytes + TRANSPORT_OVERHEAD_BYTES;
    let send_max = drystone_api::limits::RESPONSE_BYTES_MAX;
    let keepalive = shared.config.grpc_keepalive_interval;
    // A client that is silent for so long was pinged, and did not answer.
    let silence_max =
        (!keepalive.is_zero()).then_some(keepalive + shared.config.grpc_keepalive_timeout);
    let incoming = tokio_stream::StreamExt::map(incoming, move |connection| {
        connection.map(|connection| Guarded::new(connection, silence_max))
    });
    let kv = KvService::new(shared.clone());
    macro_rules! sized {
        ($server:expr) => {
            $server.max_decoding_message_size(receive_max).max_encoding_message_size(send_max)
        };
    }
    GrpcServer::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(shared.config.max_concurrent_streams)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_keepalive_interval((!keepalive.is_zero()).then_some(keepalive))
        .http2_keepalive_timeout(Some(shared.config.grpc_keepalive_timeout))
        .layer(tower::util::MapResponseLayer::new(crate::texts::go_texts))
        .layer(Deadlines)
        .layer(Gate::new(shared.clone()))
        .layer(shared.brakes.clone())
        .add_service(PiecewiseRange::new(sized!(KvServer::new(kv.clone())), kv, receive_max))
        .add_service(sized!(WatchServer::new(WatchService::new(shared.clone()))))
        .add_service(sized!(LeaseServer::new(LeaseService::new(shared.clone()))))
        .add_service(sized!(LockServer::new(LockService::new(shared.clone()))))
        .add_service(sized!(ElectionServer::new(ElectionService::new(shared.clone()))))
        .add_service(sized!(ClusterServer::new(ClusterService::new(shared.clone()))))
        .add_service(sized!(MaintenanceServer::new(MaintenanceService::new(shared.clone()))))
        .add_service(sized!(AuthServer::new(AuthService::new(shared))))
        .add_service(HealthServer::new(crate::health::HealthService))
        .serve_with_incoming_shutdown(incoming, async move {
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await
}
