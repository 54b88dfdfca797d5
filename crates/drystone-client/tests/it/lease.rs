//! Leases kept alive over streams that break.

use std::time::Duration;

use tonic::Status;

use crate::fake::{Fake, client};

#[tokio::test]
async fn renews_until_the_lease_is_gone() {
    let fake = Fake::default();
    fake.ttls.lock().unwrap().extend([Ok(1), Err(Status::unavailable("gone")), Ok(1), Ok(0)]);
    let client = client(&[fake.serve().await]);
    let mut keeper = client.keep_alive(7);
    let begun = std::time::Instant::now();
    assert_eq!(keeper.next().await.unwrap().unwrap().id, 7);
    assert_eq!(keeper.next().await.unwrap().unwrap().ttl, 1);
    assert_eq!(keeper.next().await.unwrap(), None);
    assert_eq!(keeper.next().await.unwrap(), None);
    // Two waits of a third of a second each.
    assert!(begun.elapsed() >= Duration::from_millis(600));
    assert!(fake.ttls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn once() {
    let fake = Fake::default();
    fake.ttls.lock().unwrap().extend([Ok(0)]);
    let client = client(&[fake.serve().await]);
    assert_eq!(client.keep_alive_once(7).await.unwrap().ttl, 0);
}
