//! Processor time and memory of processes, as Linux tells them.

use std::path::PathBuf;

use serde::Serialize;

/// Ticks of processor time a second: the same on every Linux that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a server's process used while the load was on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerUse {
    /// The process.
    pub pid: u32,
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
    /// Requests done for each second of processor time, over all servers named.
    pub ops_per_cpu_second: f64,
    /// Memory at the end, in bytes.
    pub rss_bytes: u64,
    /// Most memory since the process began, in bytes.
    pub rss_peak_bytes: u64,
}

/// Processor time of a process so far, in seconds; `None` if there is no such process.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    parse_cpu(&std::fs::read_to_string(path(pid, "stat")).ok()?)
}

/// Memory now and at most, in bytes.
pub(crate) fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(path(pid, "status")).unwrap_or_default();
    (parse_kib(&status, "VmRSS:"), parse_kib(&status, "VmHWM:"))
}

fn path(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

fn parse_cpu(stat: &str) -> Option<f64> {
    // The name, in brackets, may hold anything; fields are counted after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let user: f64 = fields.get(11)?.parse().ok()?;
    let system: f64 = fields.get(12)?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn parse_kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(parse_cpu(stat), Some(3.0));
        assert_eq!(parse_cpu("nonsense"), None);
        let status = "Name:\tx\nVmHWM:\t  20 kB\nVmRSS:\t  10 kB\n";
        assert_eq!((parse_kib(status, "VmRSS:"), parse_kib(status, "VmHWM:")), (10240, 20480));
        assert_eq!(parse_kib(status, "VmSwap:"), 0);
    }

    #[test]
    fn of_this_process() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_some());
        assert!(memory(pid).0 > 0);
        assert_eq!(cpu_seconds(u32::MAX), None);
    }
}
