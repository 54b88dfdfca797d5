//! JSON under `/v3/`: the gateway in front of the same services that gRPC reaches.

use crate::brakes::Braked;
use crate::clients::Grpc;
use crate::shared::Shared;
use drystone_api::limits::TRANSPORT_OVERHEAD_BYTES;
use drystone_gateway::{Config, Gateway};
use tower::Layer as _;

/// What its paths begin with.
pub(crate) const PREFIX: &str = "/v3/";

/// The gateway. What it reads counts as its connection's, as JSON first and then as the message
/// that comes of it.
pub(crate) type JsonGateway = Braked<Gateway<Grpc>>;

/// The gateway to these services; none where a flag says so.
pub(crate) fn gateway(shared: &Shared, grpc: &Grpc) -> Option<JsonGateway> {
    let message_bytes_max = shared.config.max_request_bytes + TRANSPORT_OVERHEAD_BYTES;
    let gateway = Gateway::new(grpc.clone(), Config { message_bytes_max });
    shared.config.grpc_gateway.then(|| shared.brakes.layer(gateway))
}
