//! Names that etcd still carries although nothing moves them on its servers either.

use super::of;
use crate::family::{Family, NONE, Section, counter, gauge};

const V2: &str = "the API of version 2 is gone";
const PROXY: &str = "this is no gRPC proxy";

pub(super) const FAMILIES: [Family; 10] = of(
    Section::Legacy,
    [
        counter("etcd_debugging_store_expires_total", NONE, "Keys of version 2 that expired.")
            .idle(V2),
        counter("etcd_debugging_store_watch_requests_total", NONE, "Watches of version 2.")
            .idle(V2),
        gauge("etcd_debugging_store_watchers", NONE, "Watchers of version 2.").idle(V2),
        counter("etcd_debugging_store_reads_total", &["action"], "Reads of version 2.").idle(V2),
        counter("etcd_debugging_store_writes_total", &["action"], "Writes of version 2.").idle(V2),
        gauge("etcd_grpc_proxy_cache_hits_total", NONE, "Hits of a proxy's cache.").idle(PROXY),
        gauge("etcd_grpc_proxy_cache_misses_total", NONE, "Misses of a proxy's cache.").idle(PROXY),
        gauge("etcd_grpc_proxy_cache_keys_total", NONE, "Keys in a proxy's cache.").idle(PROXY),
        gauge("etcd_grpc_proxy_watchers_coalescing_total", NONE, "Watchers a proxy has joined.")
            .idle(PROXY),
        counter("etcd_grpc_proxy_events_coalescing_total", NONE, "Events a proxy has joined.")
            .idle(PROXY),
    ],
);
