//! One process.

use super::{HarnessError, Launch, Limits, Program, client_of};
use drystone_api::etcdserverpb::RangeRequest;
use drystone_client::Client;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// How often the harness looks whether what it waits for has happened.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// How long one question "are you there" may take.
const PROBE: Duration = Duration::from_secs(1);
/// How much of a log is shown.
const LOG_TAIL_BYTES: usize = 8 << 10;
const NAMES: [&str; 7] =
    ["hornblende", "feldspar", "sandstone", "gritstone", "limestone", "slatestone", "ragstone"];

/// How a member is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Asked to end (SIGTERM), and waited for.
    Terminate,
    /// Ended without being asked (SIGKILL).
    Kill,
}

/// Where a member runs and keeps what it writes.
#[derive(Clone, Debug)]
pub struct Place {
    /// A program and its words that go before the server's own, and that turn into the server
    /// instead of starting it, so that the process keeps its id. Empty for the server as it is.
    pub launcher: Vec<String>,
    /// `HOST:PORT` for clients.
    pub client_address: String,
    /// `HOST:PORT` for other members.
    pub peer_address: String,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Its log, in a directory that is there.
    pub log_path: PathBuf,
}

/// One member of a cluster: its process, data directory and log.
#[derive(Debug)]
pub struct Member {
    program: PathBuf,
    name: String,
    place: Place,
    flags: Vec<String>,
    limits: Limits,
    initial_cluster: String,
    id: u64,
    child: Option<Child>,
    client: Client,
}

impl Member {
    pub(super) fn new(program: &Program, n: usize, place: Place, launch: &Launch) -> Member {
        Member {
            program: program.path().to_owned(),
            client: client_of(std::slice::from_ref(&place.client_address), &launch.limits),
            place,
            name: name(n),
            flags: launch.flags.clone(),
            limits: launch.limits,
            initial_cluster: String::new(),
            id: 0,
            child: None,
        }
    }

    /// This member's part of `--initial-cluster`.
    pub fn entry(&self) -> String {
        format!("{}={}", self.name, self.peer_url())
    }

    /// Sets the `--initial-cluster` of its next start.
    pub fn expect_cluster(&mut self, initial: &str) {
        initial.clone_into(&mut self.initial_cluster);
    }

    pub(super) fn set_id(&mut self, id: Option<u64>) {
        self.id = id.unwrap_or(0);
    }

    /// Flags for the next starts of this member, in place of those the cluster gave it.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// Starts the process on this member's directory and ports; does not wait for an answer.
    pub fn spawn(&mut self) -> Result<(), HarnessError> {
        let log = || -> std::io::Result<File> {
            OpenOptions::new().create(true).append(true).open(&self.place.log_path)
        };
        let open =
            |error| HarnessError::io(format!("cannot open {}", self.log_path().display()))(error);
        let client_url = format!("http://{}", self.client_address());
        let peer_url = self.peer_url();
        let mut command = match self.place.launcher.split_first() {
            Some((launcher, words)) => {
                let mut command = Command::new(launcher);
                command.args(words).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        let child = command
            .args(["--name", &self.name])
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--listen-client-urls", &client_url])
            .args(["--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url])
            .args(["--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &self.initial_cluster])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log().map_err(open)?)
            .stderr(log().map_err(open)?)
            .spawn()
            .map_err(HarnessError::io(format!("cannot start {}", self.program.display())))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until this member answers a linearizable read.
    ///
    /// # Errors
    /// [`HarnessError::Ended`] as soon as the process is gone, [`HarnessError::Silent`] after
    /// [`Limits::start`].
    pub async fn ready(&mut self) -> Result<(), HarnessError> {
        let until = Instant::now() + self.limits.start;
        let mut last = String::from("nothing asked yet");
        while Instant::now() < until {
            if let Some(status) = self.ended() {
                return Err(HarnessError::Ended {
                    name: self.name.clone(),
                    status: describe(status),
                    log: self.log_tail(),
                });
            }
            let read = RangeRequest { key: "ready".into(), count_only: true, ..Default::default() };
            // A client of its own: the lasting one would remember that the port was closed.
            let client = client_of(std::slice::from_ref(&self.place.client_address), &self.limits);
            match tokio::time::timeout(PROBE, client.range(read)).await {
                Ok(Ok(_)) => return Ok(()),
                // It is asked who reads: what was acknowledged is there.
                Ok(Err(error)) if error.is_server("etcdserver: user name is empty") => {
                    return Ok(());
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = format!("no answer within {PROBE:?}"),
            }
            tokio::time::sleep(POLL).await;
        }
        Err(HarnessError::Silent {
            name: self.name.clone(),
            limit: self.limits.start,
            last,
            log: self.log_tail(),
        })
    }

    /// Ends the process and waits until it is gone; how it ended.
    ///
    /// # Errors
    /// [`HarnessError::Stuck`] when it does not end in time; it is killed then.
    pub async fn stop(&mut self, how: Stop) -> Result<Option<ExitStatus>, HarnessError> {
        let signal = match how {
            Stop::Terminate => Signal::TERM,
            Stop::Kill => Signal::KILL,
        };
        self.signal(signal)?;
        let Some(child) = self.child.as_mut() else { return Ok(None) };
        let until = Instant::now() + self.limits.stop;
        let mut gone = None;
        while gone.is_none() && Instant::now() < until {
            gone = child.try_wait().map_err(HarnessError::io("cannot wait for a member"))?;
            tokio::time::sleep(POLL / 4).await;
        }
        if gone.is_none() {
            self.end_now();
            return Err(HarnessError::Stuck {
                name: self.name.clone(),
                limit: self.limits.stop,
                log: self.log_tail(),
            });
        }
        self.child = None;
        Ok(gone)
    }

    /// Ends the process, starts it again on the same data, and waits until it answers.
    pub async fn restart(&mut self, how: Stop) -> Result<(), HarnessError> {
        self.stop(how).await?;
        self.spawn()?;
        self.ready().await?;
        self.client = client_of(std::slice::from_ref(&self.place.client_address), &self.limits);
        Ok(())
    }

    /// Sends a signal to the process, if there is one.
    pub fn signal(&self, signal: Signal) -> Result<(), HarnessError> {
        let Some(pid) = self.pid().and_then(Pid::from_raw) else { return Ok(()) };
        kill_process(pid, signal)
            .map_err(|errno| HarnessError::io(format!("cannot signal {}", self.name))(errno.into()))
    }

    /// The process id, while there is a process that nobody has waited for.
    pub fn pid(&self) -> Option<i32> {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    /// Whether the harness started the process and has not ended it.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// How the process ended, if it did so by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// The same, and if it did, lets it go: the member counts as not running from then on.
    pub fn reap(&mut self) -> Option<ExitStatus> {
        let status = self.ended();
        if status.is_some() {
            self.child = None;
        }
        status
    }

    /// A client of this member alone.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The name it was started with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that the cluster gave it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// `HOST:PORT` for clients.
    pub fn client_address(&self) -> &str {
        &self.place.client_address
    }

    /// `HOST:PORT` for other members.
    pub fn peer_address(&self) -> &str {
        &self.place.peer_address
    }

    /// The URL for other members.
    pub fn peer_url(&self) -> String {
        format!("http://{}", self.peer_address())
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.place.data_dir
    }

    /// Its log: what it wrote to both outputs since it was first started.
    pub fn log_path(&self) -> &Path {
        &self.place.log_path
    }

    /// The end of its log, under a headline.
    pub fn log_tail(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        let tail = &bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..];
        format!("--- log of {}\n{}", self.name, String::from_utf8_lossy(tail))
    }

    fn end_now(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only when the process is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end_now();
    }
}

/// What the `n`th member of a cluster is called.
pub(super) fn name(n: usize) -> String {
    match NAMES.get(n) {
        Some(name) => (*name).to_owned(),
        None => format!("cobblestone{n}"),
    }
}

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("signal {signal}"),
        None => status.to_string(),
    }
}
