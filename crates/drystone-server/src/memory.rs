//! The memory of the process, kept out of swap where that was asked for.

use anyhow::Context;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// Keeps all memory of this process out of swap: what it has now and what it will have. A page is
/// locked when it is first touched, so that memory which is only reserved takes no room.
///
/// etcd locks the file of its store alone. Here that file is not mapped, and what must not wait
/// for a disk are caches and tables all over the process.
///
/// # Errors
/// What is missing, and how to give it. A limit that is not reached yet is refused too: the first
/// allocation beyond it would end the server in the midst of its work.
pub(crate) fn lock() -> anyhow::Result<()> {
    let is_free = capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK))
        || getrlimit(Resource::Memlock).current.is_none();
    anyhow::ensure!(
        is_free,
        "--memory-mlock needs a process that may lock all it has: give it the capability \
         CAP_IPC_LOCK, or lift its limit on locked memory (LimitMEMLOCK=infinity, ulimit -l \
         unlimited)"
    );
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .context("--memory-mlock: cannot lock memory")
}
