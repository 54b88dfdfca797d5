//! What clients call over gRPC: the services, and what every call passes on its way to them.

use crate::auth::AuthService;
use crate::brakes::Braked;
use crate::calls::{TellOfCalls, Told};
use crate::cluster::ClusterService;
use crate::deadline::{Deadlines, Hurried};
use crate::election::ElectionService;
use crate::gate::{Gate, Gated};
use crate::kv::KvService;
use crate::lease::LeaseService;
use crate::lock::LockService;
use crate::maintenance::MaintenanceService;
use crate::range::PiecewiseRange;
use crate::shared::Shared;
use crate::watch::{WatchService, Wire as WatchWire};
use drystone_api::etcdserverpb::auth_server::AuthServer;
use drystone_api::etcdserverpb::cluster_server::ClusterServer;
use drystone_api::etcdserverpb::lease_server::LeaseServer;
use drystone_api::etcdserverpb::maintenance_server::MaintenanceServer;
use drystone_api::health::health_server::HealthServer;
use drystone_api::limits::TRANSPORT_OVERHEAD_BYTES;
use drystone_api::raw::kv_server::KvServer;
use drystone_api::v3electionpb::election_server::ElectionServer;
use drystone_api::v3lockpb::lock_server::LockServer;
use http::Response;
use std::sync::Arc;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Layer as _;
use tower::util::MapResponse;

/// All services behind one face. Cloned for each call.
pub(crate) type Grpc =
    Told<MapResponse<Hurried<Gated<Braked<Routes>>>, fn(Response<Body>) -> Response<Body>>>;

/// The services of this member.
pub(crate) fn grpc(shared: &Arc<Shared>) -> Grpc {
    let receive_max = shared.config.max_request_bytes + TRANSPORT_OVERHEAD_BYTES;
    let send_max = drystone_api::limits::RESPONSE_BYTES_MAX;
    let kv = KvService::new(shared.clone());
    macro_rules! sized {
        ($server:expr) => {
            $server.max_decoding_message_size(receive_max).max_encoding_message_size(send_max)
        };
    }
    let range = PiecewiseRange::new(sized!(KvServer::new(kv.clone())), kv, receive_max);
    let routes = Routes::new(range)
        .add_service(WatchWire::new(WatchService::new(shared.clone()), receive_max))
        .add_service(sized!(LeaseServer::new(LeaseService::new(shared.clone()))))
        .add_service(sized!(LockServer::new(LockService::new(shared.clone()))))
        .add_service(sized!(ElectionServer::new(ElectionService::new(shared.clone()))))
        .add_service(sized!(ClusterServer::new(ClusterService::new(shared.clone()))))
        .add_service(sized!(MaintenanceServer::new(MaintenanceService::new(shared.clone()))))
        .add_service(sized!(AuthServer::new(AuthService::new(shared.clone()))))
        .add_service(HealthServer::new(crate::health::HealthService))
        .prepare();
    let braked = shared.brakes.clone().layer(routes);
    let gated = Gate::new(shared.clone()).layer(braked);
    let hurried = Deadlines.layer(gated);
    let told: fn(Response<Body>) -> Response<Body> = crate::texts::go_texts;
    // Outside of all that may refuse a call.
    TellOfCalls(shared.hearers.clone()).layer(MapResponse::new(hurried, told))
}
