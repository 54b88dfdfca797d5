//! What of a request's headers becomes metadata of the call, and what of the answer's metadata
//! becomes headers.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Headers with this beginning become metadata without it; and metadata of answers become
/// headers with it.
const METADATA: &str = "grpc-metadata-";
/// What the names of HTTP's own headers begin with as metadata.
const OWN: &str = "grpcgateway-";
/// Its presence is how a service knows the gateway's calls.
const MARK: &str = "grpcgateway-accept";
/// What the mark says when the client said nothing.
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// Headers that etcd's gateway passes on, beside those that ask for it.
const PASSED_ON: [&str; 24] = [
    "accept",
    "accept-charset",
    "accept-language",
    "accept-ranges",
    "authorization",
    "cache-control",
    "content-type",
    "cookie",
    "date",
    "expect",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-schedule-tag-match",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "warning",
];

/// Metadata that gRPC writes itself: a client does not get to.
const RESERVED: [&str; 8] = [
    "content-type",
    "te",
    "user-agent",
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "upgrade",
];

/// The metadata of a call. `host` is whom the client thinks it talks to.
pub(crate) fn of_request(headers: &HeaderMap, host: Option<&str>) -> Result<MetadataMap, Status> {
    let mut metadata = HeaderMap::new();
    for (name, value) in headers {
        let name = name.as_str();
        if name == "authorization" {
            append(&mut metadata, name, value);
        }
        if PASSED_ON.contains(&name) {
            append(&mut metadata, &format!("{OWN}{name}"), value);
        } else if let Some(own) = name.strip_prefix(METADATA) {
            check_binary(name, value)?;
            append(&mut metadata, own, value);
        }
    }
    if !metadata.contains_key(MARK) {
        metadata.insert(MARK, ANYTHING);
    }
    for (name, otherwise) in [("x-forwarded-host", host), ("x-forwarded-for", None)] {
        let given = headers.get(name).cloned();
        let value = given.or_else(|| HeaderValue::from_str(otherwise?).ok());
        if let Some(value) = value {
            append(&mut metadata, name, &value);
        }
    }
    Ok(MetadataMap::from_headers(metadata))
}

/// Adds a pair, unless gRPC would not carry it.
fn append(metadata: &mut HeaderMap, name: &str, value: &HeaderValue) {
    let is_own = RESERVED.contains(&name) || name.starts_with("grpc-");
    let is_text = value.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~'));
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte));
    if is_own || !is_text || !is_name {
        return;
    }
    if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
        metadata.append(name, value.clone());
    }
}

/// Names that end in `-bin` hold base64.
fn check_binary(name: &str, value: &HeaderValue) -> Result<(), Status> {
    const EITHER: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    if !name.ends_with("-bin") {
        return Ok(());
    }
    let sound = EITHER.decode(value.as_bytes());
    sound.map(drop).map_err(|error| {
        Status::invalid_argument(format!("invalid binary header {}: {error}", canonical(name)))
    })
}

/// A header's name as Go writes it: `Grpc-Metadata-X`.
fn canonical(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

/// How long the client waits: a number and a unit, as in `5S`.
pub(crate) fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    match duration(&text) {
        Some(Duration::ZERO) => Ok(None),
        Some(duration) => Ok(Some(duration)),
        None => Err(Status::invalid_argument(format!("invalid grpc-timeout: {text}"))),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (at, unit) = text.char_indices().last()?;
    let unit = match unit {
        'H' => Duration::from_secs(3600),
        'M' => Duration::from_secs(60),
        'S' => Duration::from_secs(1),
        'm' => Duration::from_millis(1),
        'u' => Duration::from_micros(1),
        'n' => Duration::from_nanos(1),
        _ => return None,
    };
    let count: i64 = text[..at].parse().ok()?;
    // A deadline that has passed already is as short as one can be.
    let Ok(count) = u64::try_from(count) else { return Some(Duration::from_nanos(1)) };
    Some(unit.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)))
}

/// The headers of an answer: what the service said, each name behind a prefix.
pub(crate) fn of_answer(metadata: MetadataMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &metadata.into_headers() {
        let own = name.as_str();
        if own.starts_with("grpc-") || own == "date" {
            continue;
        }
        if let Ok(name) = HeaderName::from_bytes(format!("{METADATA}{own}").as_bytes()) {
            headers.append(name, value.clone());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn headers_become_metadata_by_three_rules() {
        let given = headers(&[
            ("authorization", "Bearer secret"),
            ("grpc-metadata-hasleader", "true"),
            ("grpc-metadata-grpc-timeout", "1n"),
            ("grpc-metadata-content-type", "text/html"),
            ("grpc-metadata-x-bin", "AAE="),
            ("accept", "text/html"),
            ("x-unknown", "1"),
            ("connection", "close"),
        ]);
        let metadata = of_request(&given, Some("host:2379")).unwrap().into_headers();
        let expected = headers(&[
            ("authorization", "Bearer secret"),
            ("grpcgateway-authorization", "Bearer secret"),
            ("hasleader", "true"),
            ("x-bin", "AAE="),
            ("grpcgateway-accept", "text/html"),
            ("x-forwarded-host", "host:2379"),
        ]);
        assert_eq!(metadata, expected);
    }

    #[test]
    fn a_call_is_marked_also_when_the_client_accepts_nothing_in_particular() {
        let metadata = of_request(&HeaderMap::new(), None).unwrap().into_headers();
        assert_eq!(metadata, headers(&[("grpcgateway-accept", "*/*")]));
    }

    #[test]
    fn binary_metadata_must_be_base64() {
        let given = headers(&[("grpc-metadata-x-bin", "!")]);
        let refusal = of_request(&given, None).unwrap_err();
        assert!(refusal.message().starts_with("invalid binary header Grpc-Metadata-X-Bin: "));
    }

    #[test]
    fn deadlines_are_read_or_refused() {
        let read = |text| deadline(&headers(&[("grpc-timeout", text)]));
        assert_eq!(read("5S").unwrap(), Some(Duration::from_secs(5)));
        assert_eq!(read("250m").unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(read("0S").unwrap(), None);
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("-5S").unwrap(), Some(Duration::from_nanos(1)));
        assert!(read("9223372036854775807H").unwrap() > Some(Duration::from_secs(1 << 40)));
        for text in ["x", "S", "5", "5s", "5.0S", " 5S", "9223372036854775808S"] {
            let refusal = read(text).unwrap_err();
            assert_eq!(refusal.message(), format!("invalid grpc-timeout: {text}"));
        }
        assert_eq!(deadline(&HeaderMap::new()).unwrap(), None);
    }
}
