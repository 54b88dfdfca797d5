//! `/health`, `/livez` and `/readyz`: what supervisors ask a member.

use super::answers::{self, method_not_allowed, text};
use crate::access::Authority;
use crate::kv::read_error;
use crate::shared::Shared;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::RangeRequest;
use drystone_machine::{Alarm, convert};
use futures::future::join_all;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use tonic::body::Body;

/// One thing that a probe looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Nobody has found the stores of the members to differ.
    DataCorruption,
    /// This member answers reads of what it has applied.
    SerializableRead,
    /// This member answers reads that a majority stands behind.
    LinearizableRead,
    /// This member has a vote.
    NonLearner,
}

/// A family of checks under one path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    path: &'static str,
    checks: &'static [Check],
}

/// Whether the process is of any use, or should be started anew.
pub(crate) const LIVEZ: Checks = Checks { path: "/livez", checks: &[Check::SerializableRead] };
/// Whether clients should be sent here.
pub(crate) const READYZ: Checks = Checks {
    path: "/readyz",
    checks: &[
        Check::DataCorruption,
        Check::SerializableRead,
        Check::LinearizableRead,
        Check::NonLearner,
    ],
};

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    /// Looks; an error says what is wrong.
    async fn look(self, shared: &Shared) -> Result<(), String> {
        match self {
            Self::DataCorruption if shared.view.read().alarms.is_set(Alarm::Corrupt) => {
                Err(format!("alarm activated: {}", Alarm::Corrupt.name()))
            }
            Self::DataCorruption => Ok(()),
            Self::SerializableRead => read(shared, true).await,
            Self::LinearizableRead => read(shared, false).await,
            Self::NonLearner if shared.status.is_learner.load(Ordering::Acquire) => {
                Err("not supported for learner".to_owned())
            }
            Self::NonLearner => Ok(()),
        }
    }
}

/// Reads one key as a client may, with the same bound on its time. The key is none that anybody
/// is told of, and no right is asked for.
async fn read(shared: &Shared, serializable: bool) -> Result<(), String> {
    let told = |error: EtcdError| error.message().to_owned();
    if shared.stopping.load(Ordering::Acquire) {
        return Err(told(EtcdError::Stopped));
    }
    if shared.aside.get().is_some() {
        return Err(told(EtcdError::Corrupt));
    }
    if !serializable {
        shared.confirm_read().await.map_err(told)?;
    }
    let first = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        limit: 1,
        keys_only: true,
        ..RangeRequest::default()
    };
    let snapshot = shared.snapshot(&Authority::of_this_member()).map_err(told)?;
    match snapshot.range(&convert::range(first)) {
        Ok(_) => Ok(()),
        Err(error) => Err(read_error(error).message().to_owned()),
    }
}

/// The values of one parameter of a query.
fn values<'a>(head: &'a Parts, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let query = head.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .filter(move |(key, _)| key == name)
        .map(|(_, value)| value)
}

impl Checks {
    /// Answers when the path is of this family.
    pub(crate) async fn answer(self, shared: &Shared, head: &Parts) -> Option<Response<Body>> {
        let below = head.uri.path().strip_prefix(self.path)?;
        let one = match below.strip_prefix('/') {
            None if below.is_empty() => None,
            None => return None,
            Some(name) => Some(*self.checks.iter().find(|check| check.name() == name)?),
        };
        if head.method != Method::GET {
            return Some(method_not_allowed("GET"));
        }
        let checks = match one {
            Some(check) => vec![check],
            None => self.asked(head),
        };
        let verbose = values(head, "verbose").next().is_some();
        Some(report(self.path, shared, &checks, verbose).await)
    }

    /// The checks that a request does not exclude.
    fn asked(self, head: &Parts) -> Vec<Check> {
        let excluded: Vec<Cow<'_, str>> =
            values(head, "exclude").filter(|name| !name.is_empty()).collect();
        let unknown: Vec<&str> = excluded
            .iter()
            .map(|name| &**name)
            .filter(|name| self.checks.iter().all(|check| check.name() != *name))
            .collect();
        if !unknown.is_empty() {
            let names = unknown.join(",");
            tracing::warn!(path = self.path, names, "some health checks cannot be excluded");
        }
        let is_asked = |check: &Check| excluded.iter().all(|name| name != check.name());
        self.checks.iter().copied().filter(is_asked).collect()
    }
}

async fn report(path: &str, shared: &Shared, checks: &[Check], verbose: bool) -> Response<Body> {
    let outcomes = join_all(checks.iter().map(|check| check.look(shared))).await;
    let mut lines = String::new();
    for (check, outcome) in checks.iter().zip(&outcomes) {
        let kind = path.trim_start_matches('/');
        shared.metrics.probes.checked(kind, check.name(), outcome.is_ok());
        // Writing to a string does not fail.
        let _ = match outcome {
            Ok(()) => writeln!(lines, "[+]{} ok", check.name()),
            Err(error) => writeln!(lines, "[-]{} failed: {error}", check.name()),
        };
    }
    if outcomes.iter().any(Result::is_err) {
        tracing::warn!(path, output = lines, "Health check error");
        return text(StatusCode::SERVICE_UNAVAILABLE, lines + "\n");
    }
    text(StatusCode::OK, if verbose { lines + "ok\n" } else { "ok\n".to_owned() })
}

/// `/health`, as supervisors asked before there were the other two.
pub(crate) async fn health(shared: &Shared, head: &Parts) -> Response<Body> {
    if head.method != Method::GET {
        return method_not_allowed("GET");
    }
    let serializable = values(head, "serializable").next().is_some_and(|word| word == "true");
    let excluded: Vec<Cow<'_, str>> = values(head, "exclude").collect();
    let ill = ills(shared, &excluded, serializable).await;
    shared.metrics.probes.health(ill.is_none());
    match ill {
        None => {
            let body = r#"{"health":"true","reason":""}"#;
            answers::of_type(StatusCode::OK, answers::PLAIN_TEXT, body)
        }
        Some(reason) => {
            let reason = serde_json::Value::String(reason);
            let body = format!("{{\"health\":\"false\",\"reason\":{reason}}}\n");
            tracing::warn!(output = body.trim_end(), "/health error");
            text(StatusCode::SERVICE_UNAVAILABLE, body)
        }
    }
}

/// The first thing that is wrong.
async fn ills(shared: &Shared, excluded: &[Cow<'_, str>], serializable: bool) -> Option<String> {
    let raised = {
        let view = shared.view.read();
        let mut names = view.alarms.list(None).map(|(_, alarm)| alarm.name());
        names.find(|name| excluded.iter().all(|excluded| excluded != name))
    };
    if let Some(alarm) = raised {
        return Some(format!("ALARM {alarm}"));
    }
    if !serializable && shared.status.leader().is_none() {
        return Some("RAFT NO LEADER".to_owned());
    }
    let error = read(shared, serializable).await.err()?;
    Some(format!("RANGE ERROR:{error}"))
}
