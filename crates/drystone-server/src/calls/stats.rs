//! Lines of the log that tell of single requests, with etcd's fields.

use super::answer::Answered;
use super::content::{occurrences, told};
use super::record::Record;
use crate::logging::timestamp;
use crate::slow::go_duration;
use std::time::{Duration, SystemTime};
use tracing::level_filters::LevelFilter;

/// The service of which requests are told with their content.
const KV: &str = "etcdserverpb.KV";
/// What etcd tells of requests to other services.
const NOT_TOLD: i64 = -1;

/// How many keys or operations a request and its answer have, and their bytes.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    request_count: i64,
    request_bytes: i64,
    response_count: i64,
    response_bytes: i64,
}

impl Sizes {
    const NOT_TOLD: Self = Self {
        request_count: NOT_TOLD,
        request_bytes: NOT_TOLD,
        response_count: NOT_TOLD,
        response_bytes: NOT_TOLD,
    };

    fn of(record: &Record, answered: &Answered) -> Self {
        let method = record.series.method;
        let succeeded = answered.second_field().is_some_and(|succeeded| succeeded != 0);
        let branch = if succeeded { 2 } else { 3 };
        let (request_count, response_count) = match method.name {
            "Range" => (0, record.count()),
            "Put" => (1, 0),
            "DeleteRange" => (0, answered.second_field().unwrap_or_default().cast_signed()),
            "Txn" => (record.with_message(|message| occurrences(message, branch)), 0),
            _ => return Self::NOT_TOLD,
        };
        let bytes = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        Self {
            request_count,
            request_bytes: bytes(record.received_bytes()),
            response_count,
            response_bytes: bytes(answered.bytes),
        }
    }
}

/// From how long on the steps of an operation are told, as in etcd.
const STEPS_FROM: Duration = Duration::from_millis(100);

/// Tells the steps of an operation of the KV service that was slow, and how long each took.
pub(super) fn tell_steps(record: &Record, took: Duration) {
    if took <= STEPS_FROM || record.series.method.service != KV {
        return;
    }
    let operation = match record.series.method.name {
        "Range" => "range",
        "RangeStream" => "range_streaming",
        "Put" => "put",
        "DeleteRange" => "delete_range",
        "Txn" => "transaction",
        "Compact" => "compact",
        _ => return,
    };
    let mut before = record.began;
    let mut steps = Vec::new();
    for (at, step) in record.steps() {
        let duration = go_duration(at.saturating_duration_since(before));
        steps.push(format!("'{step}'  (duration: {duration})"));
        before = at;
    }
    let began = SystemTime::now() - record.began.elapsed();
    tracing::info!(
        trace_id = rand::random::<u32>() >> 1,
        operation,
        detail = "",
        duration = go_duration(took),
        start = timestamp(began),
        end = timestamp(began + took),
        ?steps,
        step_count = steps.len(),
        "trace"
    );
}

/// Warns of a unary request that took longer than `slow`, and tells of every one where the log
/// takes that.
pub(super) fn tell(record: &Record, answered: &Answered, took: Duration, slow: Duration) {
    let is_slow = took > slow;
    if !is_slow && LevelFilter::current() < LevelFilter::DEBUG {
        return;
    }
    let method = record.series.method;
    if !method.form.is_unary() {
        return;
    }
    let is_kv = method.service == KV;
    let sizes = if is_kv { Sizes::of(record, answered) } else { Sizes::NOT_TOLD };
    let content = |message: &[u8]| told(method.name, message, record.received_bytes());
    let content = if is_kv { record.with_message(content) } else { String::new() };
    let remote = record.peer.map_or("No remote client info.".to_owned(), |peer| peer.to_string());
    macro_rules! tell {
        ($level:ident) => {
            tracing::$level!(
                "start time" = timestamp(SystemTime::now() - record.began.elapsed()),
                "time spent" = go_duration(took),
                remote,
                "response type" = format!("/{}/{}", method.service, method.name),
                "request count" = sizes.request_count,
                "request size" = sizes.request_bytes,
                "response count" = sizes.response_count,
                "response size" = sizes.response_bytes,
                "request content" = content,
                "request stats"
            )
        };
    }
    if is_slow {
        tell!(warn);
    } else {
        tell!(debug);
    }
}
