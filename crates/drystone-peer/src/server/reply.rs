//! Answers as Go's HTTP server and etcd write them.

use super::Answer;
use crate::call::{empty, full};
use crate::headers::CLUSTER_ID;
use bytes::Bytes;
use drystone_types::ClusterId;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};

/// Text and a newline, as Go's `http.Error`.
pub(crate) fn text(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(full(format!("{text}\n")));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

pub(crate) fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "404 page not found")
}

/// `None` if the request has the one method that its path takes.
pub(crate) fn refuse_method<B>(request: &Request<B>, method: &'static str) -> Option<Answer> {
    if request.method().as_str() == method {
        return None;
    }
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
    Some(answer)
}

/// As [`refuse_method`], in the words of etcd's lease handlers.
pub(crate) fn refuse_lease_method<B>(request: &Request<B>) -> Option<Answer> {
    let refused = request.method() != Method::POST;
    refused.then(|| text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"))
}

pub(crate) fn body(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(full(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(crate) fn json_message(status: StatusCode, message: &str) -> Answer {
    let text = serde_json::json!({ "message": message }).to_string();
    let mut answer = body("application/json", text);
    *answer.status_mut() = status;
    answer
}

pub(crate) fn no_content() -> Answer {
    let mut answer = Response::new(empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// Ends the connection after the answer, where etcd aborts it.
pub(crate) fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

pub(crate) fn with_cluster(mut answer: Answer, cluster: ClusterId) -> Answer {
    answer.headers_mut().insert(CLUSTER_ID, crate::headers::value(&cluster));
    answer
}
