//! The answer to `GET /metrics`.

use super::sample::sample;
use crate::shared::Shared;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;
use tonic::body::Body;

/// The text format, as etcd's library names it.
const TEXT: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");

/// Answers a scrape, compressed where its headers allow for it. What takes time is done where
/// blocking is allowed.
pub(crate) async fn respond(shared: Arc<Shared>, asked: &HeaderMap) -> Response<Body> {
    let zipped = takes_gzip(asked);
    let scrapes = shared.metrics.clone();
    scrapes.scrapes.in_flight.increment(1.0);
    let rendered = tokio::task::spawn_blocking(move || render(&shared, zipped)).await;
    scrapes.scrapes.in_flight.decrement(1.0);
    let Ok(body) = rendered else {
        scrapes.scrapes.failed.increment(1);
        let mut answer = Response::new(Body::new(Full::from("the metrics cannot be told now\n")));
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return answer;
    };
    scrapes.scrapes.answered.increment(1);
    let mut answer = Response::new(Body::new(Full::from(body)));
    answer.headers_mut().insert(CONTENT_TYPE, TEXT);
    if zipped {
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn render(shared: &Shared, zipped: bool) -> Vec<u8> {
    let began = Instant::now();
    sample(shared);
    let text = shared.metrics.registry.render();
    let body = if zipped { gzip(&text) } else { text.into_bytes() };
    shared.metrics.scrapes.seconds.increment(began.elapsed().as_secs_f64());
    body
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.expect("a vector takes all that is written to it")
}

/// Whether the caller takes gzip: it names it, and not with a weight of 0.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let offers = asked.get_all(ACCEPT_ENCODING);
    offers.iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(',')).any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        named && weight.is_none_or(|q| q.trim().parse::<f32>().is_ok_and(|q| q > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn gzip_is_used_only_where_it_is_taken() {
        let takes = |offer: &'static str| {
            let mut asked = HeaderMap::new();
            asked.insert(ACCEPT_ENCODING, HeaderValue::from_static(offer));
            takes_gzip(&asked)
        };
        assert!(takes("gzip") && takes("deflate, GZIP;q=0.5") && !takes("gzip;q=0"));
        assert!(!takes("br") && !takes("gzip;q=x") && !takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_was_compressed_is_the_same_again() {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&gzip("abc\n")[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc\n");
    }
}
