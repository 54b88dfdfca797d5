//! What comes before any path of HTTP: which `Host` is answered, and what browsers are told.
//!
//! A page in a browser can be made to ask a server of the local network, under a name of its own
//! that resolves to that server (CVE-2018-5702). Where nothing proves the server's name, the
//! operator says which names it is asked under.

use super::answers;
use super::gateway::PREFIX;
use super::web::is_web;
use crate::config::Config;
use crate::connection::FarEnd;
use crate::shared::Shared;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, HOST, ORIGIN,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use std::collections::BTreeSet;
use tonic::body::Body;

/// A list that stands for everybody.
const ANY: &str = "*";
const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static("accept, content-type, authorization");
/// The same with what callers of gRPC-web send.
const HEADERS_OF_WEB: HeaderValue = HeaderValue::from_static(
    "accept, content-type, authorization, x-grpc-web, x-user-agent, grpc-timeout, token, hasleader",
);
/// What they read of a refusal, which has no body.
const OUTCOME: HeaderValue = HeaderValue::from_static("grpc-status, grpc-message");
/// What the gateway's paths began with before etcd 3.4.
const OLD_GATEWAY: &str = "/v3beta/";
const NAME_IGNORED: &str = "CommonName of client sending a request against gateway will be ignored and not used as expected\n";
const FOREIGN_PAGE: &str = "pages of this origin may not call; list it in --cors\n";

/// The rules for requests of HTTP, as an operator set them. `None` is no rule.
#[derive(Debug)]
pub(crate) struct Browsers {
    hosts: Option<BTreeSet<String>>,
    origins: Option<BTreeSet<String>>,
    grpc_web: bool,
}

/// What comes of a request that reaches the rules.
pub(crate) enum Entry {
    /// It goes on. Its answer gets this as the origin that may read it.
    Allowed(Option<HeaderValue>),
    /// It is answered at once.
    Answered(Box<Response<Body>>),
}

impl Browsers {
    pub(crate) fn new(config: &Config) -> Self {
        let list = |words: &[String]| {
            let any = words.is_empty() || words.iter().any(|word| word == ANY);
            (!any).then(|| words.iter().cloned().collect())
        };
        let (hosts, origins) = (list(&config.host_whitelist), list(&config.cors));
        Self { hosts, origins, grpc_web: config.grpc_web }
    }

    /// Judges a request. May put it on another path.
    pub(crate) fn admit(
        &self,
        shared: &Shared,
        far_end: &FarEnd,
        request: &mut Request<Body>,
    ) -> Entry {
        rewrite(request.uri_mut());
        if far_end.is_secure {
            let names_itself = far_end.common_name.is_some()
                && shared.config.grpc_gateway
                && request.uri().path().starts_with(PREFIX);
            if names_itself && shared.auth().is_enabled() {
                let refusal = answers::text(StatusCode::BAD_REQUEST, NAME_IGNORED);
                return Entry::Answered(Box::new(refusal));
            }
        } else if let Some(hosts) = &self.hosts {
            let host = host(request);
            if !hosts.contains(host) {
                tracing::warn!(host, "rejecting HTTP request to prevent DNS rebinding attacks");
                let status = StatusCode::MISDIRECTED_REQUEST;
                return Entry::Answered(Box::new(answers::text(status, unknown_host(host))));
            }
        }
        let origin = self.origin(request);
        // A browser sends some requests of any page without asking first, and CORS only keeps the
        // answer from the page: the write is done by then (CVE-2018-1098). etcd lets them pass.
        let of_a_page = request.headers().contains_key(ORIGIN);
        let calls = request.uri().path().starts_with(PREFIX) || is_web(request);
        if of_a_page && origin.is_none() && calls {
            return Entry::Answered(Box::new(answers::text(StatusCode::FORBIDDEN, FOREIGN_PAGE)));
        }
        if request.method() == Method::OPTIONS {
            let mut answer = Response::new(Body::empty());
            self.share(&mut answer, origin);
            return Entry::Answered(Box::new(answer));
        }
        Entry::Allowed(origin)
    }

    /// Who may read the answer, as the answer says it.
    fn origin(&self, request: &Request<Body>) -> Option<HeaderValue> {
        let Some(origins) = &self.origins else { return Some(HeaderValue::from_static(ANY)) };
        let origin = request.headers().get(ORIGIN)?;
        origins.contains(origin.to_str().ok()?).then(|| origin.clone())
    }

    /// Tells a browser that pages of an origin may read an answer.
    pub(crate) fn share(&self, answer: &mut Response<Body>, origin: Option<HeaderValue>) {
        let Some(origin) = origin else { return };
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.grpc_web {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS_OF_WEB);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, OUTCOME);
        } else {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        }
    }
}

/// Leads the gateway's old paths to the new ones.
fn rewrite(uri: &mut Uri) {
    let Some(rest) = uri.path().strip_prefix(OLD_GATEWAY) else { return };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{PREFIX}{rest}{query}");
    let mut parts = uri.clone().into_parts();
    // It was a path before, and begins as one still.
    parts.path_and_query = path.parse().ok();
    if let Ok(rewritten) = Uri::from_parts(parts) {
        *uri = rewritten;
    }
}

/// The host that is asked for, without its port.
fn host(request: &Request<Body>) -> &str {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = authority.or(named).unwrap_or_default();
    let Some((name, port)) = host.rsplit_once(':') else { return host };
    let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    match bracketed {
        Some(name) => name,
        None if is_port && !name.contains(':') => name,
        None => host,
    }
}

fn unknown_host(host: &str) -> String {
    // etcd's own words: scripts and operators search for them.
    format!(
        r#"
etcd received your request, but the Host header was unrecognized.

To fix this, choose one of the following options:
- Enable TLS, then any HTTPS request will be allowed.
- Add the hostname you want to use to the whitelist in settings.
  - e.g. etcd --host-whitelist "{host}"

This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).

"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: &str) -> Request<Body> {
        Request::builder().uri("/health").header(HOST, host).body(Body::empty()).unwrap()
    }

    #[test]
    fn a_host_is_taken_without_its_port() {
        for (given, name) in [
            ("a.example", "a.example"),
            ("a.example:2379", "a.example"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]:2379", "::1"),
            ("::1", "::1"),
            ("a:b:1", "a:b:1"),
            ("", ""),
        ] {
            assert_eq!(host(&asked(given)), name);
        }
    }

    #[test]
    fn the_old_paths_of_the_gateway_lead_to_the_new_ones() {
        for (from, to) in [
            ("/v3beta/kv/range", "/v3/kv/range"),
            ("/v3beta/kv/range?a=b", "/v3/kv/range?a=b"),
            ("/v3beta", "/v3beta"),
            ("/a/v3beta/", "/a/v3beta/"),
        ] {
            let mut uri: Uri = from.parse().unwrap();
            rewrite(&mut uri);
            assert_eq!(uri.to_string(), to);
        }
    }
}
