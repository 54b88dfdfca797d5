//! System calls of a running member that fail or take long, by `strace`.

use super::tool;
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to get hold of all threads of a member.
const ATTACH_MAX: Duration = Duration::from_secs(10);
/// How long it may take to let go of them.
const DETACH_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);
/// The calls that make data durable.
const SYNCS: &str = "fsync,fdatasync,sync_file_range,msync";

/// What happens to the syncs of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Syncs {
    /// The first of each thread fails.
    Fail,
    /// Each takes this many milliseconds more.
    Slow(u32),
}

/// A tracer of one process; it lets go when it goes.
#[derive(Debug)]
pub(crate) struct Tracer {
    child: Child,
    calls: PathBuf,
}

impl Tracer {
    /// Takes hold of a process. `name` is for the files in `dir`.
    pub(crate) fn attach(
        pid: i32,
        syncs: Syncs,
        (dir, name): (&Path, &str),
    ) -> anyhow::Result<Tracer> {
        let calls = dir.join(format!("{name}.strace"));
        let said = dir.join(format!("{name}.strace.log"));
        let what = match syncs {
            Syncs::Fail => "error=EIO:when=1".to_owned(),
            Syncs::Slow(milliseconds) => format!("delay_enter={milliseconds}ms"),
        };
        let log = File::create(&said).with_context(|| format!("cannot make {}", said.display()))?;
        let child = Command::new("strace")
            .args(["-f", "-p", &pid.to_string(), "-o", tool::word(&calls)?])
            .args(["-e", &format!("trace={SYNCS}"), "-e", &format!("inject={SYNCS}:{what}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start strace")?;
        let mut tracer = Tracer { child, calls };
        let until = Instant::now() + ATTACH_MAX;
        loop {
            let text = fs::read_to_string(&said).unwrap_or_default();
            if text.contains(" attached") {
                return Ok(tracer);
            }
            if tracer.child.try_wait().context("cannot wait for strace")?.is_some() {
                bail!("strace does not work here: {}", text.trim());
            }
            if Instant::now() > until {
                bail!("strace did not attach within {ATTACH_MAX:?}: {}", text.trim());
            }
            std::thread::sleep(POLL);
        }
    }

    /// How many calls it has changed.
    pub(crate) fn injected(&self) -> usize {
        let text = fs::read_to_string(&self.calls).unwrap_or_default();
        text.matches("INJECTED").count() + text.matches("DELAYED").count()
    }

    /// Lets go of the process; how many calls were changed.
    pub(crate) fn detach(mut self) -> usize {
        self.end();
        self.injected()
    }

    fn end(&mut self) {
        let until = Instant::now() + DETACH_MAX;
        if let Ok(None) = self.child.try_wait()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // Fails only when it is gone already.
            let _ = kill_process(pid, Signal::TERM);
        }
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.end();
    }
}
