//! Passwords and tokens stay where they belong.

use super::log::log;
use super::*;

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let (folders, mut all): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    for folder in folders {
        all.extend(files(&folder));
    }
    all
}

const PASSWORDS: [&str; 4] =
    ["first-pa55word-of-eve", "second-pa55word-of-eve", "wrong-pa55word", "pa55word-of-nobody"];

/// CVE-2021-28235 and GHSA-528j-9r78-wffx; etcd also logged tokens up to 3.6.6.
#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_logged_or_written_and_no_token_is_logged() {
    let log = log();
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = server(folder.path(), &[]).await;
    guard(&channel).await;
    let root = login(&channel, ROOT).await;
    let mut auth = AuthClient::new(channel.clone());
    let eve = || "eve".to_owned();
    let add = AuthUserAddRequest {
        name: eve(),
        password: PASSWORDS[0].into(),
        hashed_password: "a hash that is not taken".into(),
        ..Default::default()
    };
    auth.user_add(by(Some(&root), add)).await.unwrap();
    let first = authenticate(&channel, "eve", PASSWORDS[0]).await.unwrap();
    let change = AuthUserChangePasswordRequest {
        name: eve(),
        password: PASSWORDS[1].into(),
        ..Default::default()
    };
    auth.user_change_password(by(Some(&root), change)).await.unwrap();
    let second = authenticate(&channel, "eve", PASSWORDS[1]).await.unwrap();
    let failed = "etcdserver: authentication failed, invalid user ID or password";
    for (name, password) in [("eve", PASSWORDS[2]), ("nobody-at-all", PASSWORDS[3])] {
        let refused = authenticate(&channel, name, password).await.unwrap_err();
        assert_eq!(refused.message(), failed);
    }
    for token in [&first, &second] {
        let _ = auth.user_list(by(Some(token), AuthUserListRequest {})).await;
    }
    let again =
        AuthUserAddRequest { name: eve(), password: PASSWORDS[3].into(), ..Default::default() };
    auth.user_add(by(Some(&root), again)).await.unwrap_err();
    server.stop().await;

    let mut logged = 0;
    log.read(|piece| logged += piece.len());
    assert!(logged > 0);
    let secrets: Vec<&str> =
        PASSWORDS.into_iter().chain([first.as_str(), &second, &root]).collect();
    assert_eq!(log.lines_with(&secrets), [""; 0]);
    let written = files(folder.path());
    assert!(written.len() > 2, "{written:?}");
    for path in written {
        let bytes = std::fs::read(&path).unwrap();
        for password in PASSWORDS {
            assert!(!holds(&bytes, password), "{password} is in {}", path.display());
        }
    }
}
