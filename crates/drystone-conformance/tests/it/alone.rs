//! `--force-new-cluster`: one member goes on when the others are gone for good.

use crate::tables::alone;
use drystone_api::etcdserverpb::{MemberListRequest, PutRequest, RangeRequest};
use drystone_conformance::harness::{Cluster, Launch, Program, Stop};

/// What was answered is there, under the same ids, and the cluster takes writes with one member,
/// now and after the next start without the flag. (etcd 3.4.23 loses the last answered write in
/// this very sequence: it cuts off what the member does not know to be committed.)
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_member_goes_on_alone_with_every_answered_write() {
    let _turn = alone().await;
    let program = Program::drystone().unwrap_or_else(|error| panic!("{error}"));
    let mut cluster = Cluster::start(&program, &Launch::of(3)).await.unwrap();
    let client = cluster.client();
    for n in 0..50 {
        let put = PutRequest { key: "k".into(), value: n.to_string().into(), ..Default::default() };
        client.put(put).await.unwrap();
    }
    cluster.settle().await.unwrap();
    let (cluster_id, survivor_id) = (cluster.id(), cluster.members()[0].id());
    for n in 0..3 {
        cluster.member_mut(n).stop(Stop::Kill).await.unwrap();
    }
    let survivor = cluster.member_mut(0);
    for flags in [&["--force-new-cluster"][..], &[]] {
        survivor.set_flags(flags);
        survivor.spawn().unwrap();
        survivor.ready().await.unwrap();
        let alone = survivor.client();
        let range = RangeRequest { key: "k".into(), ..Default::default() };
        let found = alone.range(range).await.unwrap();
        assert_eq!(found.kvs[0].value, "49", "{flags:?}");
        assert_eq!(found.header.unwrap().cluster_id, cluster_id, "{flags:?}");
        let list = MemberListRequest { linearizable: true };
        let members = alone.member_list(list).await.unwrap().members;
        let ids: Vec<u64> = members.iter().map(|member| member.id).collect();
        assert_eq!(ids, [survivor_id], "{flags:?}");
        let put = PutRequest { key: "after".into(), ..Default::default() };
        alone.put(put).await.unwrap();
        survivor.stop(Stop::Kill).await.unwrap();
    }
}
