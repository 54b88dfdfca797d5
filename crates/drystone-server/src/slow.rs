//! Warnings of what took too long, in etcd's words.
//!
//! The threads measure for the metrics anyway; here only what was slow is looked at. Requests are
//! told by their kind and size: keys and values are in no line.

use crate::config::format_nanoseconds;
use crate::metrics::kind_of;
use drystone_types::Entry;
use std::time::Duration;

/// How long one sync of the log may take before the disk counts as slow, as in etcd.
pub(crate) const SYNC_EXPECTED: Duration = Duration::from_secs(1);

/// A duration as Go writes it.
pub(crate) fn go_duration(duration: Duration) -> String {
    format_nanoseconds(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// Warns if a sync of the log was slow.
pub(crate) fn sync(took: Duration) {
    if took > SYNC_EXPECTED {
        let expected = go_duration(SYNC_EXPECTED);
        let took = go_duration(took);
        tracing::warn!(took, "expected-duration" = expected, "slow fdatasync");
    }
}

/// Warns if applying a batch took longer than `expected`, and says whether it did. Each of its
/// requests waited for all of it; the largest one is named.
pub(crate) fn apply<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    took: Duration,
    expected: Duration,
) -> bool {
    if took <= expected {
        return false;
    }
    let (mut requests, mut largest) = (0_u64, None::<&Entry>);
    for entry in entries {
        requests += 1;
        if largest.is_none_or(|largest| entry.data.len() > largest.data.len()) {
            largest = Some(entry);
        }
    }
    let request = largest.map(|entry| {
        let (kind, bytes) = (kind_of(&entry.data).name(), entry.data.len());
        format!("index:{} kind:{kind} size:{bytes}", entry.index)
    });
    tracing::warn!(
        took = go_duration(took),
        "expected-duration" = go_duration(expected),
        prefix = "",
        request,
        requests,
        "apply request took too long"
    );
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;
    use crate::logging::testing::logged;
    use drystone_api::etcdserverpb::{InternalRaftRequest, PutRequest};
    use drystone_types::{EntryKind, LogIndex, Term};
    use prost::Message as _;

    #[test]
    fn a_slow_batch_names_its_largest_request_without_key_and_value() {
        let entry = |index, value: &'static [u8]| {
            let put = PutRequest {
                key: b"secret".as_slice().into(),
                value: value.into(),
                ..Default::default()
            };
            let request = InternalRaftRequest { put: Some(put), ..Default::default() };
            let data = request.encode_to_vec().into();
            Entry { term: Term(1), index: LogIndex(index), kind: EntryKind::Normal, data }
        };
        let entries = [entry(7, b"a"), entry(8, b"secret too"), entry(9, b"")];
        let limit = Duration::from_millis(100);
        let lines = logged(LogFormat::Json, || {
            assert!(!apply(entries.iter(), limit, limit));
            assert!(apply(entries.iter(), Duration::from_millis(1_234), limit));
            sync(SYNC_EXPECTED);
            sync(Duration::from_millis(61_500));
        });
        let lines: Vec<serde_json::Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0]["msg"], "apply request took too long");
        assert_eq!(lines[0]["level"], "warn");
        assert_eq!((&lines[0]["took"], &lines[0]["requests"]), (&"1.234s".into(), &3.into()));
        assert_eq!(lines[0]["expected-duration"], "100ms");
        let size = entries[1].data.len();
        assert_eq!(lines[0]["request"], format!("index:8 kind:Put size:{size}"));
        assert!(!lines[0].to_string().contains("secret"), "{}", lines[0]);
        assert_eq!(lines[1]["msg"], "slow fdatasync");
        assert_eq!(lines[1]["took"], "1m1.5s");
    }
}
