//! The crate `etcd-client` against Drystone: puts, ranges, transactions, watches, leases.

use drystone_conformance::harness::{Cluster, Launch, Program};
use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, EventType, GetOptions, PutOptions, SortOrder,
    SortTarget, Txn, TxnOp, TxnOpResponse, WatchOptions,
};
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(10);

async fn start(members: usize) -> (Cluster, Client) {
    let drystone = Program::drystone().unwrap_or_else(|error| panic!("{error}"));
    let cluster = Cluster::start(&drystone, &Launch::of(members)).await;
    let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
    let client = Client::connect(cluster.endpoints(), None).await;
    (cluster, client.unwrap_or_else(|error| panic!("{error}")))
}

#[tokio::test]
async fn puts_and_ranges() {
    let (_cluster, mut client) = start(3).await;
    for n in 0..5 {
        client.put(format!("k{n}"), format!("{}", 9 - n), None).await.unwrap();
    }
    let again = client.put("k0", "x", Some(PutOptions::new().with_prev_key())).await.unwrap();
    assert_eq!(again.prev_key().unwrap().value_str().unwrap(), "9");

    let all = client.get("k", Some(GetOptions::new().with_prefix().with_limit(2))).await.unwrap();
    assert_eq!((all.count(), all.more(), all.kvs().len()), (5, true, 2));
    let sorted = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Value, SortOrder::Descend)
        .with_limit(1);
    let sorted = client.get("k", Some(sorted)).await.unwrap();
    assert_eq!(sorted.kvs()[0].key_str().unwrap(), "k0");
    let old = GetOptions::new().with_revision(again.header().unwrap().revision() - 1);
    let old = client.get("k0", Some(old)).await.unwrap();
    assert_eq!(old.kvs()[0].value_str().unwrap(), "9");

    let gone = client.delete("k", Some(DeleteOptions::new().with_prefix().with_prev_key()));
    let gone = gone.await.unwrap();
    assert_eq!((gone.deleted(), gone.prev_kvs().len()), (5, 5));
}

#[tokio::test]
async fn transactions() {
    let (_cluster, mut client) = start(1).await;
    client.put("a", "1", None).await.unwrap();
    let txn = Txn::new()
        .when([
            Compare::value("a", CompareOp::Equal, "1"),
            Compare::version("b", CompareOp::Equal, 0),
        ])
        .and_then([TxnOp::put("b", "2", None), TxnOp::get("a", None)])
        .or_else([TxnOp::delete("a", None)]);
    let first = client.txn(txn.clone()).await.unwrap();
    assert!(first.succeeded());
    let Some(TxnOpResponse::Get(got)) = first.op_responses().into_iter().nth(1) else {
        panic!("the second operation reads")
    };
    assert_eq!(got.kvs()[0].value_str().unwrap(), "1");
    assert!(!client.txn(txn).await.unwrap().succeeded());
    assert!(client.get("a", None).await.unwrap().kvs().is_empty());
}

#[tokio::test]
async fn watches() {
    let (_cluster, mut client) = start(3).await;
    let mut stream =
        client.watch("w/", Some(WatchOptions::new().with_prefix().with_prev_key())).await.unwrap();
    client.put("w/1", "a", None).await.unwrap();
    client.put("w/1", "b", None).await.unwrap();
    client.delete("w/1", None).await.unwrap();
    let mut events = Vec::new();
    while events.len() < 3 {
        let response = tokio::time::timeout(ANSWER, stream.message()).await.unwrap().unwrap();
        events.extend(response.unwrap().events().to_vec());
    }
    let kinds: Vec<EventType> = events.iter().map(etcd_client::Event::event_type).collect();
    assert_eq!(kinds, [EventType::Put, EventType::Put, EventType::Delete]);
    assert_eq!(events[1].prev_kv().unwrap().value_str().unwrap(), "a");
    assert_eq!(events[2].prev_kv().unwrap().value_str().unwrap(), "b");
}

#[tokio::test]
async fn leases() {
    let (_cluster, mut client) = start(3).await;
    let lease = client.lease_grant(1000, None).await.unwrap().id();
    client.put("k", "1", Some(PutOptions::new().with_lease(lease))).await.unwrap();
    let (mut keeper, mut answers) = client.lease_keep_alive(lease).await.unwrap();
    keeper.keep_alive().await.unwrap();
    let answer = tokio::time::timeout(ANSWER, answers.message()).await.unwrap().unwrap();
    assert_eq!(answer.unwrap().ttl(), 1000);
    let options = etcd_client::LeaseTimeToLiveOptions::new().with_keys();
    let left = client.lease_time_to_live(lease, Some(options)).await.unwrap();
    assert_eq!((left.granted_ttl(), left.keys()), (1000, &[b"k".to_vec()][..]));
    let listed = client.leases().await.unwrap();
    assert!(listed.leases().iter().any(|status| status.id() == lease));
    client.lease_revoke(lease).await.unwrap();
    assert_eq!(client.get("k", None).await.unwrap().count(), 0);
}

#[tokio::test]
async fn locks_and_elections() {
    let (_cluster, mut client) = start(3).await;
    let held = client.lock("L", None).await.unwrap();
    let key = held.key().to_vec();
    let mut other = client.clone();
    let mut waiting = tokio::spawn(async move { other.lock("L", None).await.unwrap() });
    // He who waits is in the queue, and has not been answered.
    let prefix = Some(GetOptions::new().with_prefix().with_count_only());
    while client.get("L/", prefix.clone()).await.unwrap().count() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!waiting.is_finished());
    client.unlock(key.clone()).await.unwrap();
    let next = tokio::time::timeout(ANSWER, &mut waiting).await.unwrap().unwrap();
    assert_ne!(next.key(), key);

    let lease = client.lease_grant(600, None).await.unwrap().id();
    let won = client.campaign("E", "one", lease).await.unwrap();
    let key = won.leader().unwrap().clone();
    let leader = client.leader("E").await.unwrap();
    assert_eq!(leader.kv().unwrap().value_str().unwrap(), "one");
    let mut leaders = client.observe("E").await.unwrap();
    let first = tokio::time::timeout(ANSWER, leaders.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.kv().unwrap().value_str().unwrap(), "one");
    let says = etcd_client::ProclaimOptions::new().with_leader(key.clone());
    client.proclaim("two", Some(says)).await.unwrap();
    let second = tokio::time::timeout(ANSWER, leaders.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(second.kv().unwrap().value_str().unwrap(), "two");
    let resigns = etcd_client::ResignOptions::new().with_leader(key);
    client.resign(Some(resigns)).await.unwrap();
    let none = client.leader("E").await.unwrap_err();
    assert!(none.to_string().contains("election: no leader"), "{none}");
}
