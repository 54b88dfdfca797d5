//! Starts a cluster of three, writes through one member, reads through the others, and ends it.
//!
//! `cargo run -p drystone-conformance --example cluster -- /usr/bin/etcd`

use drystone_api::etcdserverpb::{PutRequest, RangeRequest};
use drystone_conformance::harness::{Cluster, Launch, Program};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let program = match std::env::args().nth(1) {
        Some(path) => Program::at("server", path)?,
        None => Program::drystone()?,
    };
    let cluster = Cluster::start(&program, &Launch::of(3)).await?;
    let put = PutRequest { key: "stone".into(), value: "granite".into(), ..Default::default() };
    cluster.members()[0].client().put(put).await?;
    for member in cluster.members() {
        let read = RangeRequest { key: "stone".into(), ..Default::default() };
        let found = member.client().range(read).await?;
        eprintln!("{} at {}: {} pair(s)", member.name(), member.client_address(), found.count);
    }
    Ok(())
}
