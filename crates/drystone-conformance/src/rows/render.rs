//! Answers as one line of text each, without what servers choose.

use bytes::Bytes;
use drystone_api::etcdserverpb::response_op::Response;
use drystone_api::etcdserverpb::{
    DeleteRangeResponse, PutResponse, RangeResponse, ResponseHeader, TxnResponse, WatchResponse,
};
use drystone_api::mvccpb::{Event, KeyValue, event::EventType};
use std::fmt::Write as _;

/// Values longer than this are shown by their length.
const VALUE_BYTES_MAX: usize = 40;

fn text(bytes: &Bytes) -> String {
    if bytes.len() > VALUE_BYTES_MAX {
        return format!("<{} bytes>", bytes.len());
    }
    bytes.escape_ascii().to_string()
}

pub(crate) fn revision(header: Option<&ResponseHeader>) -> String {
    header.map_or_else(|| "no header".to_owned(), |header| format!("rev {}", header.revision))
}

pub(crate) fn pair(kv: &KeyValue) -> String {
    let mut line = format!(
        "{}={} c{} m{} v{}",
        text(&kv.key),
        text(&kv.value),
        kv.create_revision,
        kv.mod_revision,
        kv.version
    );
    if kv.lease != 0 {
        let _ = write!(line, " l{}", kv.lease);
    }
    line
}

fn pairs(kvs: &[KeyValue]) -> String {
    format!("[{}]", kvs.iter().map(pair).collect::<Vec<_>>().join(", "))
}

pub(crate) fn range(response: &RangeResponse) -> String {
    let more = if response.more { ", more" } else { "" };
    let header = revision(response.header.as_ref());
    format!("range: {header}, count {}{more} {}", response.count, pairs(&response.kvs))
}

pub(crate) fn put(response: &PutResponse) -> String {
    let prev =
        response.prev_kv.as_ref().map_or_else(String::new, |kv| format!(", was {}", pair(kv)));
    format!("put: {}{prev}", revision(response.header.as_ref()))
}

pub(crate) fn delete(response: &DeleteRangeResponse) -> String {
    let mut line = format!("delete: {}, {}", revision(response.header.as_ref()), response.deleted);
    if !response.prev_kvs.is_empty() {
        let _ = write!(line, ", were {}", pairs(&response.prev_kvs));
    }
    line
}

pub(crate) fn txn(response: &TxnResponse) -> String {
    let answers = response.responses.iter().map(|op| match &op.response {
        Some(Response::ResponseRange(response)) => range(response),
        Some(Response::ResponsePut(response)) => put(response),
        Some(Response::ResponseDeleteRange(response)) => delete(response),
        Some(Response::ResponseTxn(response)) => txn(response),
        None => "nothing".to_owned(),
    });
    let answers: Vec<String> = answers.collect();
    let header = revision(response.header.as_ref());
    format!("txn: {header}, {} {{{}}}", response.succeeded, answers.join("; "))
}

pub(crate) fn event(event: &Event) -> String {
    let Some(kv) = &event.kv else { return "event without a pair".to_owned() };
    let mut line = match event.r#type() {
        EventType::Put => format!("PUT {}", pair(kv)),
        EventType::Delete => format!("DELETE {} m{}", text(&kv.key), kv.mod_revision),
    };
    if let Some(prev) = &event.prev_kv {
        let _ = write!(line, " (was {})", pair(prev));
    }
    line
}

/// More events than this in one response are counted instead of shown.
const EVENTS_SHOWN_MAX: usize = 8;

pub(crate) fn watch(response: &WatchResponse) -> String {
    let mut line = format!("watch {}: {}", response.watch_id, revision(response.header.as_ref()));
    for (flag, name) in [
        (response.created, ", created"),
        (response.canceled, ", canceled"),
        (response.fragment, ", fragment"),
    ] {
        if flag {
            line.push_str(name);
        }
    }
    if response.compact_revision != 0 {
        let _ = write!(line, ", compacted {}", response.compact_revision);
    }
    if !response.cancel_reason.is_empty() {
        let _ = write!(line, ", \"{}\"", response.cancel_reason);
    }
    match response.events.len() {
        0 => {}
        count if count > EVENTS_SHOWN_MAX => {
            let _ = write!(line, " {count} events");
        }
        _ => {
            let events: Vec<String> = response.events.iter().map(event).collect();
            let _ = write!(line, " [{}]", events.join(", "));
        }
    }
    line
}
