//! The process and its runtime.

use super::of;
use crate::family::{Family, NONE, Section, counter, gauge};

const ANONYMOUS: &str = "resident memory that is no file's: what the program has allocated";

pub(super) const FAMILIES: [Family; 23] = of(
    Section::Process,
    [
        counter("process_cpu_seconds_total", NONE, "Processor time in user and system mode."),
        gauge("process_open_fds", NONE, "Open file descriptors."),
        gauge("process_max_fds", NONE, "File descriptors that may be open."),
        gauge("process_virtual_memory_bytes", NONE, "Bytes of address space in use."),
        gauge("process_virtual_memory_max_bytes", NONE, "Bytes of address space there may be."),
        gauge("process_resident_memory_bytes", NONE, "Bytes of memory in use."),
        gauge("process_start_time_seconds", NONE, "When the process began, since 1970."),
        counter(
            "process_network_receive_bytes_total",
            NONE,
            "Bytes that came in over the network, of all processes in its namespace.",
        ),
        counter(
            "process_network_transmit_bytes_total",
            NONE,
            "Bytes that went out over the network, of all processes in its namespace.",
        ),
        gauge("os_fd_used", NONE, "Open file descriptors."),
        gauge("os_fd_limit", NONE, "File descriptors that may be open."),
        gauge(
            "promhttp_metric_handler_requests_in_flight",
            NONE,
            "Scrapes that are being answered.",
        ),
        counter(
            "promhttp_metric_handler_requests_total",
            &["code"],
            "Scrapes, by the status of the answer.",
        ),
        gauge("go_info", &["version"], "1 for the compiler's version.")
            .nearest("the version of rustc"),
        gauge("go_goroutines", NONE, "Tasks that are there.").nearest("the runtime's tasks"),
        gauge("go_threads", NONE, "Threads of the process."),
        gauge("go_sched_gomaxprocs_threads", NONE, "Threads that run tasks.")
            .nearest("the runtime's workers"),
        gauge("go_memstats_alloc_bytes", NONE, "Bytes of memory in use.").nearest(ANONYMOUS),
        gauge("go_memstats_heap_alloc_bytes", NONE, "Bytes of memory in use.").nearest(ANONYMOUS),
        gauge("go_memstats_heap_inuse_bytes", NONE, "Bytes of memory in use.").nearest(ANONYMOUS),
        gauge("go_memstats_sys_bytes", NONE, "Bytes of memory taken from the system.")
            .nearest("the most resident memory so far"),
        gauge("go_memstats_heap_sys_bytes", NONE, "Bytes of memory taken from the system.")
            .nearest("the most resident memory so far"),
        gauge("go_memstats_stack_inuse_bytes", NONE, "Bytes of the first thread's stack.")
            .nearest("the stack of the first thread"),
    ],
);
