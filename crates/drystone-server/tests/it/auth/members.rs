//! Simple tokens among members: one that lags, one that is cut off, one that comes back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;
use crate::three_with;
use tempfile::TempDir;

/// Logins whose tokens are used at once at members that cannot have applied them yet.
const LOGINS: usize = 20;
/// Bound on what would hang if it went wrong.
const HANG_MAX: Duration = Duration::from_secs(60);

/// Three members that ask for permissions.
async fn cluster(folders: &[TempDir; 3]) -> ([Server; 3], [Channel; 3]) {
    let [a, b, c] = three_with(folders, &["--bcrypt-cost=4"]);
    let (a, b, c) = tokio::join!(Server::start(a), Server::start(b), Server::start(c));
    let servers = [a.unwrap(), b.unwrap(), c.unwrap()];
    let [a, b, c] =
        [0, 1, 2].map(|n| connect(format!("http://{}", servers[n].client_addresses()[0])));
    let channels = [a.await, b.await, c.await];
    guard(&channels[0]).await;
    (servers, channels)
}

/// A member learns that a login was agreed on some time after the client has its token.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_at_once_at_members_that_have_not_heard_of_it_and_for_no_more() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (servers, channels) = cluster(&folders).await;
    let root = login(&channels[0], ROOT).await;
    let hidden = put("secret/1", "hidden", 0);
    KvClient::new(channels[0].clone()).put(by(Some(&root), hidden)).await.unwrap();
    for turn in 0..LOGINS {
        let token = login(&channels[turn % 3], ALICE).await;
        for other in [1, 2].map(|step| (turn + step) % 3) {
            let mut kv = KvClient::new(channels[other].clone());
            let serializable =
                |request: RangeRequest| RangeRequest { serializable: true, ..request };
            let asked = serializable(range("open/", "open0"));
            kv.range(by(Some(&token), asked)).await.unwrap();
            let refused = kv.range(by(Some(&token), serializable(range("secret/1", "")))).await;
            denied(refused);
            kv.put(by(Some(&token), put("open/1", "x", 0))).await.unwrap();
            denied(kv.put(by(Some(&token), put("secret/1", "x", 0))).await);
        }
    }
    for server in servers {
        server.stop().await;
    }
}

/// The entry that would make the token known can never come.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_still_come_is_refused_by_a_member_that_is_cut_off() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let ([alone, b, c], channels) = cluster(&folders).await;
    let known = login(&channels[0], ALICE).await;
    let mut kv = KvClient::new(channels[0].clone());
    let all = || RangeRequest { serializable: true, ..range("open/", "open0") };
    kv.range(by(Some(&known), all())).await.unwrap();
    b.stop().await;
    c.stop().await;
    let (word, index) = known.split_once('.').unwrap();
    let index: u64 = index.parse().unwrap();
    let to_come = format!("{}.{}", word.chars().rev().collect::<String>(), index + 1_000);
    let asked = kv.range(by(Some(&to_come), all()));
    let refused = tokio::time::timeout(HANG_MAX, asked).await.expect("it hangs").unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    // Who is known reads what this member has, and no more than he may.
    kv.range(by(Some(&known), all())).await.unwrap();
    let hidden = RangeRequest { serializable: true, ..range("secret/1", "") };
    let asked = kv.range(by(Some(&known), hidden));
    let refused = tokio::time::timeout(HANG_MAX, asked).await.expect("it hangs");
    denied(refused);
    alone.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A login stays in the log until the store is flushed, which may be days later: its token came
/// to life again when a crash had the entry applied once more.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_applied_again_after_a_crash_revives_no_token() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (first, channel) = server(folders[0].path(), &[]).await;
    guard(&channel).await;
    let token = login(&channel, ROOT).await;
    let mut auth = AuthClient::new(channel.clone());
    auth.user_list(by(Some(&token), AuthUserListRequest {})).await.unwrap();
    // What a crash would leave.
    copy(folders[0].path(), folders[1].path());
    let (second, channel) = server(folders[1].path(), &[]).await;
    let mut auth = AuthClient::new(channel.clone());
    let refused = auth.user_list(by(Some(&token), AuthUserListRequest {})).await.unwrap_err();
    assert_eq!(refused.message(), BAD_TOKEN);
    let token = login(&channel, ROOT).await;
    auth.user_list(by(Some(&token), AuthUserListRequest {})).await.unwrap();
    first.stop().await;
    second.stop().await;
}
