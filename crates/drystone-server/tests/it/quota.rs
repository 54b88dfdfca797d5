//! A store that reaches its quota, and what brings the cluster back to writing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::{READY_MAX, config_with, start_as};
use bytes::Bytes;
use drystone_api::etcdserverpb::alarm_request::AlarmAction;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::lease_client::LeaseClient;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use drystone_api::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, CompactionRequest, DefragmentRequest, DeleteRangeRequest,
    LeaseGrantRequest, LeaseRevokeRequest, PutRequest, StatusRequest, StatusResponse,
};
use drystone_server::Server;
use std::path::Path;
use std::time::Duration;
use tonic::Code;
use tonic::transport::Channel;

const QUOTA: &str = "--quota-backend-bytes=1048576";
const FULL: &str = "etcdserver: mvcc: database space exceeded";

struct Bench {
    server: Server,
    kv: KvClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
    leases: LeaseClient<Channel>,
}

async fn open(folder: &Path) -> Bench {
    let (server, channel) = start_as(config_with(folder, &[QUOTA])).await;
    let kv = KvClient::new(channel.clone());
    let maintenance = MaintenanceClient::new(channel.clone());
    Bench { server, kv, maintenance, leases: LeaseClient::new(channel) }
}

fn large(key: u32) -> PutRequest {
    let key = Bytes::from(format!("key-{key:04}"));
    PutRequest { key, value: Bytes::from(vec![b'v'; 32 << 10]), ..Default::default() }
}

impl Bench {
    /// Writes until the store is full.
    async fn fill(&mut self) {
        for key in 0.. {
            let Err(refused) = self.kv.put(large(key)).await else { continue };
            assert_eq!((refused.code(), refused.message()), (Code::ResourceExhausted, FULL));
            assert!(key >= 30, "refused after {key} values of 32 KiB");
            return;
        }
    }

    async fn alarms(&mut self) -> Vec<AlarmMember> {
        let request = AlarmRequest::default();
        self.maintenance.alarm(request).await.unwrap().into_inner().alarms
    }

    async fn change_alarm(&mut self, action: AlarmAction, member_id: u64) {
        let alarm = AlarmType::Nospace.into();
        let request = AlarmRequest { action: action.into(), member_id, alarm };
        self.maintenance.alarm(request).await.unwrap();
    }

    async fn status(&mut self) -> StatusResponse {
        self.maintenance.status(StatusRequest {}).await.unwrap().into_inner()
    }

    /// Deletes everything and lets go of the history, as somebody would who cleans up.
    async fn free(&mut self) {
        let all = Bytes::from_static(b"\0");
        let delete = DeleteRangeRequest { key: all.clone(), range_end: all, ..Default::default() };
        let deleted = self.kv.delete_range(delete).await.unwrap().into_inner();
        let revision = deleted.header.unwrap().revision;
        let compaction = CompactionRequest { revision, physical: true };
        self.kv.compact(compaction).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_that_is_freed_writes_again_without_a_human() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = open(folder.path()).await;
    bench.leases.lease_grant(LeaseGrantRequest { ttl: 600, id: 7 }).await.unwrap();
    bench.fill().await;
    // Whoever was refused finds the alarm set.
    let alarms = bench.alarms().await;
    let status = bench.status().await;
    let member_id = status.header.as_ref().unwrap().member_id;
    assert_eq!(alarms, [AlarmMember { member_id, alarm: AlarmType::Nospace.into() }]);
    assert_eq!(status.errors, [format!("memberID:{member_id} alarm:NOSPACE")]);
    assert_eq!(status.db_size_quota, 1 << 20);
    assert!(status.db_size_in_use > 900 << 10 && status.db_size >= status.db_size_in_use);
    let small = PutRequest { key: "a".into(), ..Default::default() };
    assert_eq!(bench.kv.put(small.clone()).await.unwrap_err().message(), FULL);
    let grant = LeaseGrantRequest { ttl: 600, id: 8 };
    assert_eq!(bench.leases.lease_grant(grant).await.unwrap_err().message(), FULL);
    bench.leases.lease_revoke(LeaseRevokeRequest { id: 7 }).await.unwrap();

    // The alarm lasts, and who raised it is known, through a restart.
    bench.server.stop().await;
    let mut bench = open(folder.path()).await;
    assert_eq!(bench.kv.put(small.clone()).await.unwrap_err().message(), FULL);
    bench.free().await;
    assert!(bench.status().await.db_size_in_use < 1 << 10, "what is compacted does not count");
    let writes = async {
        while bench.kv.put(small.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY_MAX, writes).await.unwrap();
    assert!(bench.alarms().await.is_empty());
    assert!(bench.status().await.errors.is_empty());
    bench.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_set_waits_for_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = open(folder.path()).await;
    bench.fill().await;
    let member = bench.status().await.header.unwrap().member_id;
    bench.change_alarm(AlarmAction::Activate, member).await;
    bench.free().await;
    // etcd's way: compaction, defragmentation, and then the alarm by hand.
    let answer = bench.maintenance.defragment(DefragmentRequest {}).await.unwrap().into_inner();
    assert!(answer.header.is_none());
    assert_eq!(bench.kv.put(large(0)).await.unwrap_err().message(), FULL);
    bench.change_alarm(AlarmAction::Deactivate, member).await;
    bench.kv.put(large(0)).await.unwrap();
    bench.server.stop().await;
}
