//! Watchers whose right to hear is taken away.

use super::*;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use watch_request::RequestUnion::CreateRequest;

/// Bound on what would hang if it went wrong.
const HANG_MAX: Duration = Duration::from_secs(60);
const TAKEN: &str = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";

/// A stream of watchers in one user's name.
struct Watching {
    requests: Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Watching {
    async fn open(channel_to: &Channel, token: Option<&str>) -> Self {
        let (requests, open) = channel(8);
        let mut client = watch_client::WatchClient::new(channel_to.clone());
        let answers = client.watch(by(token, ReceiverStream::new(open))).await.unwrap();
        Self { requests, answers: answers.into_inner() }
    }

    async fn create(&mut self, key: &'static str, end: &'static str) -> WatchResponse {
        let create =
            WatchCreateRequest { key: key.into(), range_end: end.into(), ..Default::default() };
        let request = WatchRequest { request_union: Some(CreateRequest(create)) };
        self.requests.send(request).await.unwrap();
        self.next().await
    }

    async fn next(&mut self) -> WatchResponse {
        let next = tokio::time::timeout(HANG_MAX, self.answers.message());
        next.await.expect("nothing was heard").unwrap().unwrap()
    }

    /// The value of the one event that is heard next.
    async fn value(&mut self) -> String {
        let heard = self.next().await;
        assert_eq!(heard.events.len(), 1, "{heard:?}");
        String::from_utf8(heard.events[0].kv.as_ref().unwrap().value.to_vec()).unwrap()
    }
}

fn revoke(key: &'static str, end: &'static str) -> AuthRoleRevokePermissionRequest {
    AuthRoleRevokePermissionRequest {
        role: "open".to_owned(),
        key: key.into(),
        range_end: end.into(),
    }
}

/// etcd asks for the right when a watcher is made, and never again.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_hears_nothing_that_was_written_after_its_right_was_taken_away() {
    let guarded = Guarded::start(&[]).await;
    let (mut kv, mut auth) = (guarded.kv(), guarded.auth());
    let root = Some(guarded.root.as_str());
    let mut theirs = Watching::open(&guarded.channel, root).await;
    assert!(theirs.create("open/", "open0").await.created);
    let mut hers = Watching::open(&guarded.channel, Some(&guarded.alice)).await;
    let all = hers.create("open/", "open0").await;
    let one = hers.create("open/1", "").await;
    assert!(all.created && one.created && !one.canceled);
    kv.put(by(root, put("open/2", "before", 0))).await.unwrap();
    assert_eq!(hers.value().await, "before");

    // What is left of the right keeps the watcher that needs no more.
    auth.role_grant_permission(by(root, grant("open", "open/1", ""))).await.unwrap();
    auth.role_revoke_permission(by(root, revoke("open/", "open0"))).await.unwrap();
    kv.put(by(root, put("open/2", "hidden", 0))).await.unwrap();
    kv.put(by(root, put("open/1", "seen", 0))).await.unwrap();
    let ended = hers.next().await;
    assert!(ended.canceled && !ended.created && ended.events.is_empty(), "{ended:?}");
    assert_eq!((ended.watch_id, ended.cancel_reason.as_str()), (all.watch_id, TAKEN));
    assert_eq!(hers.value().await, "seen");

    // The stream goes on, and takes her again when she has the right again.
    assert_eq!(hers.create("open/2", "").await.cancel_reason, TAKEN);
    auth.role_grant_permission(by(root, grant("open", "open/2", ""))).await.unwrap();
    assert!(!hers.create("open/2", "").await.canceled);
    kv.put(by(root, put("open/2", "again", 0))).await.unwrap();
    assert_eq!(hers.value().await, "again");
    for value in ["before", "hidden", "seen", "again"] {
        assert_eq!(theirs.value().await, value);
    }

    auth.user_delete(by(root, AuthUserDeleteRequest { name: ALICE.into() })).await.unwrap();
    for _ in 0..2 {
        assert_eq!(hers.next().await.cancel_reason, TAKEN);
    }
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_of_nobody_ends_when_permissions_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = server(folder.path(), &[]).await;
    let mut anybody = Watching::open(&channel, None).await;
    assert!(anybody.create("\0", "\0").await.created);
    guard(&channel).await;
    let root = login(&channel, ROOT).await;
    let mut kv = KvClient::new(channel.clone());
    kv.put(by(Some(&root), put("secret/1", "hidden", 0))).await.unwrap();
    let ended = anybody.next().await;
    assert!(ended.canceled && ended.events.is_empty(), "{ended:?}");
    let reason = format!("rpc error: code = InvalidArgument desc = {NO_USER}");
    assert_eq!(ended.cancel_reason, reason);
    server.stop().await;
}
