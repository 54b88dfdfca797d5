//! A server that runs in a folder of its own, given its settings in one way.

use super::{Way, command, row};
use crate::drystone;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take for what is awaited of it, on a machine that is busy.
pub(super) const AWAITED_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// The line of the log after which clients are served.
const READY: &str = "ready to serve client requests";

/// A server that runs. Dropping it ends it.
pub(super) struct Running {
    child: Child,
    folder: tempfile::TempDir,
    /// Where it listens for clients.
    pub(super) client: String,
    /// Where it listens for members.
    pub(super) peer: String,
}

/// A port that nobody listens on. It lies below those that the system gives to who connects.
pub(super) fn port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id().wrapping_mul(131) % u32::from(COUNT);
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from((begin + step) % u32::from(COUNT)).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A URL of a free port.
pub(super) fn free(scheme: &str) -> String {
    format!("{scheme}://127.0.0.1:{}", port())
}

/// Looks again and again until there is something to return; an error says what is awaited.
pub(super) fn awaited<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let since = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(what) => assert!(since.elapsed() < AWAITED_MAX, "awaited in vain: {what}"),
        }
        std::thread::sleep(LOOK);
    }
}

impl Running {
    /// Starts a server with these flags and waits until it serves.
    pub(super) fn start(way: Way, flags: &[(&str, &str)]) -> Self {
        let running = Self::launch(way, flags);
        running.says(READY)
    }

    /// Starts a server with these flags beside those of its data and its ports.
    pub(super) fn launch(way: Way, flags: &[(&str, &str)]) -> Self {
        Self::launch_in(tempfile::tempdir().unwrap(), way, flags)
    }

    pub(super) fn launch_in(folder: tempfile::TempDir, way: Way, flags: &[(&str, &str)]) -> Self {
        let given = |name: &str| flags.iter().find(|(flag, _)| *flag == name).map(|(_, url)| *url);
        let url = |name| given(name).map_or_else(|| free("http"), str::to_owned);
        let (client, peer) = (url("listen-client-urls"), url("listen-peer-urls"));
        let data = folder.path().join("data").display().to_string();
        let mut settings = vec![
            ("data-dir", data.as_str()),
            ("listen-client-urls", client.as_str()),
            ("advertise-client-urls", client.as_str()),
            ("listen-peer-urls", peer.as_str()),
            ("initial-advertise-peer-urls", peer.as_str()),
        ];
        settings.retain(|(name, _)| given(name).is_none());
        settings.extend(flags);
        let rows: Vec<_> = settings.iter().map(|(name, value)| (row(name), *value)).collect();
        let mut server = command(folder.path(), &[], way, &rows);
        let stream = |name| {
            let path = folder.path().join(name);
            std::fs::File::options().create(true).append(true).open(path).unwrap()
        };
        let child = server.stdout(stream("out")).stderr(stream("err")).stdin(Stdio::null());
        let child = child.spawn().unwrap();
        Self { child, folder, client, peer }
    }

    /// Waits until its log holds this text.
    pub(super) fn says(mut self, text: &str) -> Self {
        awaited(|| {
            let ended = self.child.try_wait().unwrap();
            let said = self.said();
            if said.contains(text) {
                return Ok(());
            }
            assert!(ended.is_none(), "it ended by {ended:?}: {said}");
            Err(format!("{text:?} in {said}"))
        });
        self
    }

    /// Waits for its end by itself.
    pub(super) fn ends(&mut self) -> ExitStatus {
        awaited(|| self.child.try_wait().unwrap().ok_or_else(|| format!("an end: {}", self.said())))
    }

    /// Ends it by a signal and gives how it ended.
    pub(super) fn end(&mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        self.ends()
    }

    /// Ends it, and gives its folder to the next.
    pub(super) fn into_folder(mut self) -> tempfile::TempDir {
        self.end("-KILL");
        let empty = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.folder, empty)
    }

    /// Runs a command of `drystone ctl` against it: whether it went well, and all it said.
    pub(super) fn ctl(&self, words: &[&str]) -> (bool, String) {
        let endpoints = format!("--endpoints={}", self.client);
        let output = drystone(&[&["ctl", endpoints.as_str()][..], words].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    /// Both streams and, where there is one, the log's file.
    pub(super) fn said(&self) -> String {
        ["out", "err", "log"].map(|stream| self.stream(stream)).concat()
    }

    /// What went to `out`, `err` or a file of its folder.
    pub(super) fn stream(&self, name: &str) -> String {
        let bytes = std::fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The process, as the system shows it.
    pub(super) fn status(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
