//! The page that lists what there is.

use super::super::answers;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Response, StatusCode};
use tonic::body::Body;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const INDEX: &str = "\
<html>
<head>
<title>/debug/pprof/</title>
</head>
<body>
/debug/pprof/
<ul>
<li><a href='cmdline'>cmdline</a>: the words this process was started with</li>
<li><a href='heap'>heap</a>: what memory the process has, and what its allocator says of it</li>
<li><a href='profile'>profile</a>: where the processor's time goes, for 30 seconds or as many as \
<code>seconds</code> says; open it with <code>go tool pprof</code></li>
</ul>
</body>
</html>
";

pub(super) fn index() -> Response<Body> {
    let mut answer = answers::of_type(StatusCode::OK, HTML, INDEX);
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
