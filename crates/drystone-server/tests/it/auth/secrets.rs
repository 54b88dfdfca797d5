//! Passwords and tokens stay where they belong.

use super::*;
use parking_lot::Mutex;
use std::io::Write;
use std::sync::{Arc, OnceLock};

/// Everything that this process logs with `--log-level=debug`, the finest there is.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log of the whole process, from the first call on.
fn log() -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    });
    log.clone()
}

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

    let logged = log.0.lock().clone();
    assert!(!logged.is_empty());
    for secret in PASSWORDS.into_iter().chain([first.as_str(), &second, &root]) {
        assert!(!holds(&logged, secret), "{secret} was logged");
    }
    let written = files(folder.path());
    assert!(written.len() > 2, "{written:?}");
    for path in written {
        let bytes = std::fs::read(&path).unwrap();
        for password in PASSWORDS {
            assert!(!holds(&bytes, password), "{password} is in {}", path.display());
        }
    }
}
