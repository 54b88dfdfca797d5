//! Memory, processor time and files of processes on this machine, as Linux tells them.

use rustix::process::{Resource, Rlimit};
use std::io;
use std::path::Path;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What it holds now.
    pub(crate) now: u64,
    /// The most it held since it began, or since [`forget_peak`].
    pub(crate) peak: u64,
}

/// The memory of a process; zeros once it is gone.
pub(crate) fn memory(pid: i32) -> Memory {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Memory { now: kib(&status, "VmRSS:"), peak: kib(&status, "VmHWM:") }
}

fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Lets a process's peak begin anew from what it holds now.
pub(crate) fn forget_peak(pid: i32) -> io::Result<()> {
    // proc_pid_clear_refs(5): 5 resets the peak of resident memory.
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// Lets this process open as many files as it may allow itself.
pub(crate) fn raise_descriptors() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    // Where that is refused, what needs more than there are says so.
    let _ =
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Bytes of all files below a directory; files that go meanwhile count nothing.
pub(crate) fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        Ok(_) => entry.metadata().map_or(0, |metadata| metadata.len()),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_status() {
        let status = "Name:\tx\nVmHWM:\t  20 kB\nVmRSS:\t  10 kB\n";
        assert_eq!((kib(status, "VmRSS:"), kib(status, "VmHWM:")), (10_240, 20_480));
        assert_eq!(kib(status, "VmSwap:"), 0);
    }

    #[test]
    fn of_this_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let memory = memory(pid);
        assert!(memory.now > 0 && memory.peak >= memory.now);
        assert_eq!(super::memory(i32::MAX), Memory::default());
    }

    #[test]
    fn files_of_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b"), [0; 7]).unwrap();
        std::fs::write(dir.path().join("c"), [0; 5]).unwrap();
        assert_eq!(bytes_below(dir.path()), 12);
        assert_eq!(bytes_below(&dir.path().join("none")), 0);
    }
}
