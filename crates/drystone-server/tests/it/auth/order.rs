//! What is said first when a request has more than one fault, and what a refusal says besides.

use super::*;
use lease_client::LeaseClient;
use watch_client::WatchClient;

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_lease_counts_before_how_long_it_shall_live() {
    let guarded = Guarded::start(&[]).await;
    let mut leases = LeaseClient::new(guarded.channel.clone());
    let forever = || LeaseGrantRequest { ttl: i64::MAX, id: 1 };
    unnamed(leases.lease_grant(forever()).await);
    let bad = leases.lease_grant(by(Some("nobody.gave.it"), forever())).await.unwrap_err();
    assert_eq!(bad.message(), BAD_TOKEN);
    let late = leases.lease_grant(by(Some(&guarded.alice), forever())).await.unwrap_err();
    assert_eq!(late.message(), "etcdserver: too large lease TTL");
    guarded.server.stop().await;
}

/// The hub once took news of changes only before it made a watch, not before it refused one.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_watch_names_no_revision_before_what_was_answered() {
    let guarded = Guarded::start(&[]).await;
    let mut kv = guarded.kv();
    for round in 0..100 {
        let change = by(Some(&guarded.root), put("open/1", &round.to_string(), 0));
        let answered = kv.put(change).await.unwrap().into_inner().header.unwrap().revision;
        let create = WatchCreateRequest { key: "open/1".into(), ..Default::default() };
        let create = watch_request::RequestUnion::CreateRequest(create);
        let create = WatchRequest { request_union: Some(create) };
        let open =
            tokio_stream::StreamExt::chain(tokio_stream::once(create), tokio_stream::pending());
        let mut client = WatchClient::new(guarded.channel.clone());
        let mut responses = client.watch(open).await.unwrap().into_inner();
        let refused = responses.message().await.unwrap().unwrap();
        assert!(refused.created && refused.canceled);
        assert!(refused.header.unwrap().revision >= answered, "round {round}");
    }
    guarded.server.stop().await;
}
