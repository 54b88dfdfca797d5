//! Calls as OpenTelemetry's spans, by etcd's flags.
//!
//! A call is sampled when its caller's trace is, or, without one, at the configured rate. Spans
//! go into a bounded queue of the library, whose own thread sends them; what finds no room, and
//! what the collector does not take in time, is lost.

use super::content::{bytes, number, occurrences, prefix};
use super::record::Record;
use crate::config::Tracing;
use anyhow::Context as _;
use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter,
};
use std::time::{Duration, Instant, SystemTime};
use tonic::transport::Endpoint;

/// Spans that may wait.
const SPANS_MAX: usize = 2_048;
/// Spans that are sent at once.
const BATCH_SPANS_MAX: usize = 512;
/// How long spans wait for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch, and for a connection.
const SEND_MAX: Duration = Duration::from_secs(5);
/// How long a server that stops waits for its last spans.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// What a rate of all calls is written as.
const MILLION: f64 = 1_000_000.0;
/// Codes of calls that failed by the server's fault, as OpenTelemetry's rules for gRPC say.
const FAULTS: [usize; 6] = [2, 4, 12, 13, 14, 15];

/// Makes spans of calls and sends them to a collector.
#[derive(Debug)]
pub(crate) struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    parents: TraceContextPropagator,
}

/// The span of a call that goes on.
#[derive(Debug)]
pub(super) struct CallSpan {
    span: Span,
    began: SystemTime,
}

impl Spans {
    /// Begins to send. Nothing is sent yet, and whether the collector is there is not looked at.
    ///
    /// # Errors
    /// The address is none.
    pub(crate) fn open(tracing: &Tracing) -> anyhow::Result<Self> {
        let address = &tracing.address;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .with_context(|| format!("--distributed-tracing-address={address}"))?;
        let channel = endpoint.connect_timeout(SEND_MAX).timeout(SEND_MAX).connect_lazy();
        let once = RetryPolicy::disabled();
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_channel(channel)
            .with_timeout(SEND_MAX)
            .with_retry_policy(once)
            .build()
            .context("the sender of traces could not be made")?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(SPANS_MAX)
            .with_max_export_batch_size(BATCH_SPANS_MAX)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let told = Told { exporter, address: address.clone() };
        let sender = BatchSpanProcessor::builder(told).with_batch_config(batches).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(sender)
            .with_resource(resource(tracing))
            .with_sampler(Sampler::ParentBased(Box::new(sampler(tracing.samples_per_million))))
            .build();
        let tracer = provider.tracer("drystone-server");
        Ok(Self { provider, tracer, parents: TraceContextPropagator::new() })
    }

    /// The span of a call that begins, if it is sampled.
    pub(super) fn begin(&self, record: &Record, headers: &HeaderMap) -> Option<Box<CallSpan>> {
        let method = record.series.method;
        let parent = self.parents.extract_with_context(&Context::new(), &Headers(headers));
        let began = SystemTime::now();
        let builder = self
            .tracer
            .span_builder(format!("{}/{}", method.service, method.name))
            .with_kind(SpanKind::Server)
            .with_start_time(began);
        let mut span = self.tracer.build_with_context(builder, &parent);
        if !span.is_recording() {
            return None;
        }
        span.set_attributes([
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", method.service),
            KeyValue::new("rpc.method", method.name),
        ]);
        if let Some(peer) = record.peer {
            span.set_attribute(KeyValue::new("network.peer.address", peer.ip().to_string()));
            span.set_attribute(KeyValue::new("network.peer.port", i64::from(peer.port())));
        }
        Some(Box::new(CallSpan { span, began }))
    }

    /// Ends the span of a call, and tells what was done inside until the answer stood.
    pub(super) fn end(&self, call: CallSpan, record: &Record, took: Duration, code: usize) {
        let CallSpan { mut span, began } = call;
        self.tell_inner(span.span_context().clone(), began, record, took);
        let number = i64::try_from(code).unwrap_or_default();
        span.set_attribute(KeyValue::new("rpc.grpc.status_code", number));
        if FAULTS.contains(&code) {
            span.set_status(Status::error(""));
        }
        span.end();
    }

    /// The span inside, under etcd's name, with the steps that were noted.
    fn tell_inner(&self, parent: SpanContext, began: SystemTime, record: &Record, took: Duration) {
        let method = record.series.method;
        let told = |message: &[u8]| inner(method.name, message);
        let Some((name, attributes)) = record.with_message(told) else { return };
        let moment = |instant: Instant| began + instant.saturating_duration_since(record.began);
        let builder = self
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Internal)
            .with_start_time(began)
            .with_attributes(attributes);
        let parent = Context::new().with_remote_span_context(parent);
        let mut span = self.tracer.build_with_context(builder, &parent);
        for (at, step) in record.steps() {
            span.add_event_with_timestamp(step, moment(at), Vec::new());
        }
        span.end_with_timestamp(began + took);
    }

    /// Sends what waits and ends, or gives it up after a while. Blocks.
    pub(crate) fn close(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(CLOSE_MAX) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

fn sampler(per_million: u32) -> Sampler {
    match per_million {
        0 => Sampler::AlwaysOff,
        rate => Sampler::TraceIdRatioBased(f64::from(rate) / MILLION),
    }
}

fn resource(tracing: &Tracing) -> Resource {
    let mut resource = Resource::builder_empty().with_service_name(tracing.service_name.clone());
    if !tracing.instance_id.is_empty() {
        let id = tracing.instance_id.clone();
        resource = resource.with_attribute(KeyValue::new("service.instance.id", id));
    }
    resource.build()
}

/// Name and attributes of what a method does inside, as etcd 3.7 has them; of keys their prefixes.
fn inner(method: &str, message: &[u8]) -> Option<(&'static str, Vec<KeyValue>)> {
    let key = |name, field| {
        let key = prefix(bytes(message, field).unwrap_or_default());
        KeyValue::new(name, String::from_utf8_lossy(key).into_owned())
    };
    let value = |name, field| KeyValue::new(name, number(message, field).unwrap_or_default());
    let flag =
        |name, field| KeyValue::new(name, number(message, field).is_some_and(|flag| flag != 0));
    let count = |name, field| KeyValue::new(name, occurrences(message, field));
    let range = || {
        vec![
            key("range_begin", 1),
            key("range_end", 2),
            value("rev", 4),
            value("limit", 3),
            flag("count_only", 9),
        ]
    };
    Some(match method {
        "Range" => {
            let mut attributes = range();
            attributes.push(flag("keys_only", 8));
            ("range", attributes)
        }
        "RangeStream" => ("range_streaming", range()),
        "Put" => ("put", vec![key("key", 1)]),
        "DeleteRange" => ("delete_range", vec![key("range_begin", 1), key("range_end", 2)]),
        "Txn" => {
            ("txn", vec![count("compare_len", 1), count("success_len", 2), count("failure_len", 3)])
        }
        "Compact" => ("compact", vec![flag("is_physical", 2), value("rev", 1)]),
        "LeaseGrant" => ("lease_grant", vec![value("id", 2), value("ttl", 1)]),
        "LeaseRevoke" => ("lease_revoke", vec![value("id", 1)]),
        _ => return None,
    })
}

/// A call's metadata, for the one who looks for its caller's trace in it.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// A sender that says so in the log when the collector does not take what it sends.
#[derive(Debug)]
struct Told {
    exporter: opentelemetry_otlp::SpanExporter,
    address: String,
}

impl SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.exporter.export(batch).await;
        if let Err(error) = &sent {
            tracing::warn!(address = self.address, spans, %error, "spans were not sent");
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
