//! A cluster of one member in one thread: a put goes through raft, the log and the machine.

use bytes::Bytes;
use drystone_api::etcdserverpb::{InternalRaftRequest, PutRequest, RequestHeader};
use drystone_backend::MemBackend;
use drystone_machine::MachineConfig;
use drystone_member::{Applier, ApplierConfig, Founding, LogWriter, Node, NodeConfig, Work};
use drystone_raft::{Config, Recovered, Replica};
use drystone_types::LogIndex;
use drystone_wal::testing::SimDisk;
use drystone_wal::{Identity, Wal};
use prost::Message;
use rand::{SeedableRng, rngs::StdRng};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let members = [("one".to_owned(), vec!["http://127.0.0.1:2380".to_owned()])];
    let founding = Founding::new(&members, "etcd-cluster")?;
    let id = founding.id_of("one").ok_or("the member is in its own list")?;
    let (entries, hard_state) = founding.log();
    let identity = Identity { cluster: founding.cluster, member: id };
    let disk = Arc::new(SimDisk::new(1));
    let mut wal = Wal::create(disk, Path::new("/wal"), drystone_wal::Config::default(), identity)?;
    wal.append_and_sync(&entries, Some(hard_state))?;

    let recovered = Recovered { hard_state, entries, ..Recovered::default() };
    let replica = Replica::new(Config::new(id), recovered, Box::new(StdRng::seed_from_u64(1)))?;
    let mut node: Node<()> = Node::new(NodeConfig::default(), replica, LogIndex(0), LogIndex(0));
    let mut log = LogWriter::new(wal);
    let config = ApplierConfig {
        machine: MachineConfig::default(),
        flush_entries: 10_000,
        lease_extend: Duration::from_secs(1),
        expiries_max: 500,
        checkpoints_max: 1_000,
    };
    let mut applier: Applier<()> = Applier::open(Arc::new(MemBackend::new()), config)?;

    let mut proposed = false;
    for round in 0..100 {
        if node.campaign_alone() && node.leadership().is_leader && !proposed {
            proposed = node.propose(put("greeting", "hello")).is_ok();
        }
        let effects = node.effects();
        for append in effects.append {
            log.append(append)?;
        }
        if let Some(number) = log.sync()?.number {
            node.persisted(number);
        }
        for work in effects.apply {
            let Work::Entries(entries) = work else { continue };
            let done = applier.apply(&entries, Duration::ZERO)?;
            for (index, change) in done.membership {
                node.membership_changed(index, &change)?;
            }
            node.applied(done.applied.index);
            if let Some(outcome) = done.outcomes.iter().find(|outcome| outcome.request != 0) {
                eprintln!(
                    "round {round}: request {} answered: {:?}",
                    outcome.request, outcome.answer
                );
                return Ok(());
            }
        }
    }
    Err("a single member answers within a few rounds".into())
}

fn put(key: &str, value: &str) -> Bytes {
    let request = InternalRaftRequest {
        header: Some(RequestHeader { id: 1, ..Default::default() }),
        put: Some(PutRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::copy_from_slice(value.as_bytes()),
            ..Default::default()
        }),
        ..Default::default()
    };
    request.encode_to_vec().into()
}
