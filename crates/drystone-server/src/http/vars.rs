//! `/debug/vars`: what Go programs show of themselves, as far as this one has it.

use super::admission::descriptors;
use super::answers;
use crate::shared::Shared;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use std::sync::atomic::Ordering;
use tonic::body::Body;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The process and its part in consensus. `memstats` has Go's names for what a process of any
/// language has: `Sys` is what is resident, `Alloc` is what of it no file stands behind.
pub(crate) fn vars(shared: &Shared) -> Response<Body> {
    let status = &shared.status;
    let is_leader = status.is_leader.load(Ordering::Acquire);
    let is_learner = status.is_learner.load(Ordering::Acquire);
    let state = match (is_leader, is_learner, status.leader()) {
        (true, _, _) => "StateLeader",
        (false, false, None) => "StateCandidate",
        (false, _, _) => "StateFollower",
    };
    let memory = Memory::now();
    let words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let vars = [
        ("cmdline", json!(words)),
        ("file_descriptor_limit", json!(descriptors())),
        ("memstats", json!({ "Alloc": memory.anonymous_bytes, "Sys": memory.resident_bytes })),
        (
            "raft.status",
            json!({
                "id": shared.member.to_string(),
                "term": status.term.load(Ordering::Acquire),
                "commit": status.committed.load(Ordering::Acquire),
                "lead": status.leader().map_or_else(|| "0".to_owned(), |id| id.to_string()),
                "raftState": state,
                "applied": status.applied.load(Ordering::Acquire),
            }),
        ),
    ];
    let lines: Vec<String> =
        vars.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    answers::of_type(StatusCode::OK, JSON, format!("{{\n{}\n}}\n", lines.join(",\n")))
}

/// Memory of this process, as the system counts it; zero where it does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident_bytes: u64,
    pub(crate) anonymous_bytes: u64,
}

impl Memory {
    pub(crate) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib << 10)
        };
        Self {
            resident_bytes: bytes("VmRSS:").unwrap_or_default(),
            anonymous_bytes: bytes("RssAnon:").unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory() {
        let memory = Memory::now();
        assert!(memory.resident_bytes > memory.anonymous_bytes && memory.anonymous_bytes > 0);
    }
}
