//! The process, as the system sees it. What cannot be read stays as it was.

use drystone_metrics::Registry;
use rustix::process::{Resource, getrlimit};
use std::fs;
use tokio::runtime::Handle;

/// The compiler's version, where Go programs tell Go's.
pub(super) const COMPILER: &str = concat!("rustc-", env!("CARGO_PKG_RUST_VERSION"));
/// Bytes of a page of memory count where the system counts pages; the others are kibibytes.
const KIB: f64 = 1024.0;

/// Shows what the system says. Reads a few small files.
pub(super) fn sample(registry: &Registry) {
    let gauge = |name, value: f64| registry.gauge(name, &[]).set(value);
    if let Some(open) = fs::read_dir("/proc/self/fd").ok().map(Iterator::count) {
        // The directory that is being read is one of them.
        let open = f64::from(u32::try_from(open.saturating_sub(1)).unwrap_or(u32::MAX));
        gauge("process_open_fds", open);
        gauge("os_fd_used", open);
    }
    let descriptors = limit(Resource::Nofile);
    gauge("process_max_fds", descriptors);
    gauge("os_fd_limit", descriptors);
    gauge("process_virtual_memory_max_bytes", limit(Resource::As));
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        memory(registry, &status);
    }
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        times(registry, &stat);
    }
    if let Ok(netstat) = fs::read_to_string("/proc/self/net/netstat") {
        for (column, name) in [
            ("InOctets", "process_network_receive_bytes_total"),
            ("OutOctets", "process_network_transmit_bytes_total"),
        ] {
            if let Some(bytes) = ip_column(&netstat, column) {
                registry.counted_elsewhere(name, &[]).set(bytes);
            }
        }
    }
    registry.gauge("go_info", &[COMPILER]).set(1.0);
    if let Ok(runtime) = Handle::try_current() {
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        gauge("go_goroutines", count(runtime.metrics().num_alive_tasks()));
        gauge("go_sched_gomaxprocs_threads", count(runtime.metrics().num_workers()));
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
fn limit(resource: Resource) -> f64 {
    getrlimit(resource).current.unwrap_or(u64::MAX) as f64
}

fn memory(registry: &Registry, status: &str) {
    for (key, unit, names) in [
        ("VmSize:", KIB, &["process_virtual_memory_bytes"][..]),
        ("VmRSS:", KIB, &["process_resident_memory_bytes"]),
        ("VmHWM:", KIB, &["go_memstats_sys_bytes", "go_memstats_heap_sys_bytes"]),
        (
            "RssAnon:",
            KIB,
            &[
                "go_memstats_alloc_bytes",
                "go_memstats_heap_alloc_bytes",
                "go_memstats_heap_inuse_bytes",
            ],
        ),
        ("VmStk:", KIB, &["go_memstats_stack_inuse_bytes"]),
        ("Threads:", 1.0, &["go_threads"]),
    ] {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        let Some(number) = number else { continue };
        for name in names {
            registry.gauge(name, &[]).set(number * unit);
        }
    }
}

/// The fields behind the command's name, which may hold anything, even brackets.
fn times(registry: &Registry, stat: &str) {
    let Some((_, rest)) = stat.rsplit_once(')') else { return };
    let fields: Vec<f64> = rest.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
    // Counted from the state, which is the third: user, system and start time.
    let [Some(user), Some(system), Some(start)] = [11, 12, 19].map(|at| fields.get(at)) else {
        return;
    };
    #[expect(clippy::cast_precision_loss, reason = "a hundred, most often")]
    let hertz = rustix::param::clock_ticks_per_second() as f64;
    let spent = registry.counted_elsewhere("process_cpu_seconds_total", &[]);
    spent.set((user + system) / hertz);
    let booted = fs::read_to_string("/proc/stat").ok().and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()
    });
    if let Some(booted) = booted {
        registry.gauge("process_start_time_seconds", &[]).set(booted + start / hertz);
    }
}

/// A number of the two lines that begin with `IpExt:`: names above, numbers below.
fn ip_column(netstat: &str, column: &str) -> Option<f64> {
    let mut lines = netstat.lines().filter(|line| line.starts_with("IpExt:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|name| name == column)?;
    numbers.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_metrics::Scrape;

    #[test]
    fn the_process_is_described() {
        let registry = Registry::new();
        sample(&registry);
        let scrape = Scrape::parse(&registry.render()).unwrap();
        for name in [
            "process_open_fds",
            "process_max_fds",
            "process_virtual_memory_bytes",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "go_threads",
            "go_memstats_alloc_bytes",
        ] {
            assert!(scrape.value(name, &[]).is_some_and(|value| value > 0.0), "{name}");
        }
        let resident = scrape.value("process_resident_memory_bytes", &[]);
        assert!(resident <= scrape.value("process_virtual_memory_bytes", &[]));
    }

    #[test]
    fn a_command_with_brackets_in_its_name_hides_nothing() {
        let registry = Registry::new();
        times(&registry, "1 (a) b)) S 0 1 1 0 -1 4 9 0 0 0 300 200 0 0 20 0 1 0 50 0 0");
        let scrape = Scrape::parse(&registry.render()).unwrap();
        assert_eq!(scrape.value("process_cpu_seconds_total", &[]), Some(5.0));
    }

    #[test]
    fn columns_are_found_by_name() {
        let text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: A InOctets\nIpExt: 3 4\n";
        assert_eq!(ip_column(text, "InOctets"), Some(4.0));
        assert_eq!(ip_column(text, "Gone"), None);
    }
}
