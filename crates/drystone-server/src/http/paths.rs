//! Paths that are written otherwise than they should be, and where their callers are sent.
//!
//! Go's mux sends them to the path that is meant, with a status that keeps method and body.

use super::answers;
use http::header::LOCATION;
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use tonic::body::Body;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Where a request for `uri` is sent instead; `None` when its path is as it should be.
/// `folders` are paths, with a slash at their end, that callers may name without it.
pub(super) fn elsewhere(method: &Method, uri: &Uri, folders: &[&str]) -> Option<Response<Body>> {
    let path = uri.path();
    if method == Method::CONNECT || !path.starts_with('/') {
        return None;
    }
    let meant = cleaned(path);
    let is_folder = |folder: &&&str| folder.strip_suffix('/') == Some(meant.as_str());
    let meant = folders.iter().find(is_folder).map_or(meant.clone(), |folder| (*folder).to_owned());
    if meant == path {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}{query}", escaped(&meant));
    // A caller may have put anything into the query that a header must not have.
    let header = HeaderValue::from_str(&location).ok()?;
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if method == Method::GET || method == Method::HEAD {
        let link = format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", in_html(&location));
        answer = answers::of_type(StatusCode::TEMPORARY_REDIRECT, HTML, link);
    }
    answer.headers_mut().insert(LOCATION, header);
    Some(answer)
}

/// The path without empty parts, `.` and `..`. Escapes stay what they are: `%2e` is no dot.
fn cleaned(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{end}", parts.join("/"))
}

/// The path as a URL may hold it. What is escaped already stays so. A backslash above all must
/// not remain: browsers take it for a slash, and two of those for the name of another host.
fn escaped(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/%-._~!$&'()*+,;=:@".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Text inside an attribute of HTML.
fn in_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(path: &str) -> Option<String> {
        let uri: Uri = path.parse().unwrap();
        let folders = ["/v3/", "/debug/pprof/"];
        let answer = elsewhere(&Method::POST, &uri, &folders)?;
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
        Some(answer.headers()[LOCATION].to_str().unwrap().to_owned())
    }

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, meant) in [
            ("//v3/kv/range", "/v3/kv/range"),
            ("/v3//kv/range?a=b", "/v3/kv/range?a=b"),
            ("/v3/../v3/kv/range", "/v3/kv/range"),
            ("/v3/./kv/range", "/v3/kv/range"),
            ("/../../health", "/health"),
            ("/a/..", "/"),
            ("/a/.", "/a"),
            ("//", "/"),
            ("//nothing/", "/nothing/"),
            ("/v3", "/v3/"),
            ("/v3/.", "/v3/"),
            ("/debug/pprof?a", "/debug/pprof/?a"),
            ("//a%2f%20b/../c%C3%A9?q=1&r=%3C", "/c%C3%A9?q=1&r=%3C"),
        ] {
            assert_eq!(location(path).as_deref(), Some(meant), "{path}");
        }
        for path in ["/", "/v3/", "/v3/kv/range/", "/v3/kv/%2e%2e/kv/range", "/..a/b..", "/health"]
        {
            assert_eq!(location(path), None, "{path}");
        }
    }

    #[test]
    fn nobody_is_sent_to_another_host() {
        for path in ["//evil.example/a", "///evil.example", "//\\evil.example", "/.//evil.example"]
        {
            let location = location(path).unwrap();
            assert!(location.starts_with('/') && !location[1..].starts_with(['/', '\\']));
        }
    }
}
