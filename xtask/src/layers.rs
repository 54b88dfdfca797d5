//! The wall: which of our crates may use which, held against what cargo says they use.

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::BTreeMap;
use std::path::Path;

/// The table of `ARCHITECTURE.md`: a crate and all of our crates it may name. Arrows go down
/// only, and siblings of a layer do not meet. A development dependency obeys the same table.
const WALL: &[(&str, &[&str])] = &[
    ("drystone-types", &[]),
    ("drystone-api", &[]),
    ("drystone-probe", &[]),
    ("drystone-metrics", &[]),
    ("drystone-backend", &["drystone-types", "drystone-probe"]),
    ("drystone-mvcc", &["drystone-types", "drystone-probe", "drystone-backend"]),
    ("drystone-lease", &["drystone-types", "drystone-probe", "drystone-backend"]),
    ("drystone-auth", &["drystone-types", "drystone-probe", "drystone-backend"]),
    ("drystone-watch", &["drystone-types", "drystone-probe"]),
    ("drystone-raft", &["drystone-types", "drystone-probe"]),
    ("drystone-wal", &["drystone-types", "drystone-probe"]),
    ("drystone-rocks", &["drystone-types", "drystone-backend"]),
    (
        "drystone-machine",
        &[
            "drystone-types",
            "drystone-api",
            "drystone-probe",
            "drystone-backend",
            "drystone-mvcc",
            "drystone-lease",
            "drystone-auth",
        ],
    ),
    (
        "drystone-member",
        &[
            "drystone-types",
            "drystone-api",
            "drystone-probe",
            "drystone-backend",
            "drystone-machine",
            "drystone-mvcc",
            "drystone-raft",
            "drystone-wal",
            "drystone-watch",
        ],
    ),
    ("drystone-tls", &[]),
    ("drystone-peer", &["drystone-types", "drystone-api", "drystone-raft", "drystone-member"]),
    ("drystone-gateway", &["drystone-api"]),
    (
        "drystone-server",
        &[
            "drystone-types",
            "drystone-api",
            "drystone-auth",
            "drystone-backend",
            "drystone-gateway",
            "drystone-lease",
            "drystone-machine",
            "drystone-member",
            "drystone-metrics",
            "drystone-mvcc",
            "drystone-peer",
            "drystone-raft",
            "drystone-rocks",
            "drystone-tls",
            "drystone-wal",
            "drystone-watch",
            // Members of a new cluster find each other in another one's keys, as its clients.
            "drystone-client",
            // In tests: what users of the server saw is judged.
            "drystone-judge",
        ],
    ),
    ("drystone-client", &["drystone-types", "drystone-api", "drystone-tls"]),
    ("drystone-ctl", &["drystone-types", "drystone-api", "drystone-client"]),
    ("drystone-bench", &["drystone-types", "drystone-api", "drystone-client"]),
    (
        "drystone",
        &[
            "drystone-server",
            "drystone-ctl",
            "drystone-bench",
            "drystone-client",
            "drystone-api",
            // In tests: certificates.
            "drystone-tls",
        ],
    ),
    ("drystone-judge", &["drystone-types", "drystone-api"]),
    (
        "drystone-sim",
        &[
            "drystone-types",
            "drystone-api",
            "drystone-probe",
            "drystone-backend",
            "drystone-lease",
            "drystone-machine",
            "drystone-member",
            "drystone-mvcc",
            "drystone-raft",
            "drystone-wal",
            "drystone-watch",
            "drystone-judge",
        ],
    ),
    (
        "drystone-conformance",
        &[
            "drystone-api",
            "drystone-client",
            "drystone-gateway",
            "drystone-types",
            "drystone-judge",
            "drystone-metrics",
            "drystone-tls",
            "drystone-wal",
        ],
    ),
    ("xtask", &["drystone-api", "drystone-bench", "drystone-client"]),
];

/// Crates from outside that only these of ours may use, so that runtimes, codecs and engines
/// stay where the wall puts them.
const KEEPERS: &[(&str, &[&str])] = &[
    ("rocksdb", &["drystone-rocks"]),
    ("raft", &["drystone-raft"]),
    ("protobuf", &["drystone-raft"]),
    ("rustls", &["drystone-tls"]),
    ("tokio-rustls", &["drystone-tls"]),
    ("rcgen", &["drystone-tls"]),
    ("hickory-resolver", &["drystone-client"]),
    (
        "tokio",
        &[
            "drystone-tls",
            "drystone-peer",
            "drystone-gateway",
            "drystone-server",
            "drystone-client",
            "drystone-ctl",
            "drystone-bench",
            "drystone",
            "drystone-conformance",
            "xtask",
        ],
    ),
    (
        "tonic",
        &[
            "drystone-api",
            "drystone-gateway",
            "drystone-server",
            "drystone-client",
            "drystone-ctl",
            "drystone-bench",
            "drystone-conformance",
            "drystone",
            "xtask",
        ],
    ),
];

/// Fails on an edge that the table does not hold, and on a crate that it does not name.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let wall: BTreeMap<&str, &[&str]> = WALL.iter().copied().collect();
    let mut faults = Vec::new();
    let mut edges = 0;
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(allowed) = wall.get(name) else {
            faults.push(format!("{name} has no place in the table of xtask/src/layers.rs"));
            continue;
        };
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            let kind = match dependency.kind {
                DependencyKind::Development => " (in its tests)",
                _ => "",
            };
            if wall.contains_key(to) && to != name {
                edges += 1;
                if !allowed.contains(&to) {
                    faults.push(format!("{name} must not use {to}{kind}"));
                }
            }
            let keepers = KEEPERS.iter().find(|(kept, _)| *kept == to);
            if let Some((_, keepers)) = keepers
                && !keepers.contains(&name)
            {
                faults.push(format!("{name} must not use {to}{kind}: it belongs to {keepers:?}"));
            }
        }
    }
    if !faults.is_empty() {
        bail!("the wall is broken:\n  {}", faults.join("\n  "));
    }
    eprintln!("layers: {} crates, {edges} edges, all of them down", metadata.packages.len());
    Ok(())
}
