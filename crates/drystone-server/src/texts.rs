//! Texts that clients of etcd know from Go's gRPC library, where tonic's own differ.

use http::{HeaderMap, HeaderValue, Response};

/// The code of gRPC's OUT_OF_RANGE, with which tonic refuses a message that is too large.
const OUT_OF_RANGE: &str = "11";
/// The code of gRPC's RESOURCE_EXHAUSTED, with which Go refuses it.
const RESOURCE_EXHAUSTED: HeaderValue = HeaderValue::from_static("8");
/// How tonic's refusal begins, before percent encoding.
const TOO_LARGE: &str = "Error, decoded message length too large: found ";

/// Translates an answer on its way out.
pub(crate) fn go_texts<A>(mut answer: Response<A>) -> Response<A> {
    translate(answer.headers_mut());
    answer
}

/// Turns tonic's refusal of a large message into Go's.
fn translate(headers: &mut HeaderMap) {
    let refused = headers.get("grpc-status").is_some_and(|code| code == OUT_OF_RANGE);
    if !refused {
        return;
    }
    let Some(text) = headers.get("grpc-message").and_then(|text| text.to_str().ok()) else {
        return;
    };
    let plain = text.replace("%20", " ").replace("%2C", ",").replace("%3A", ":");
    let Some(rest) = plain.strip_prefix(TOO_LARGE) else { return };
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    if let (Some(found), Some(limit)) = (numbers.next(), numbers.next()) {
        let text = format!("grpc: received message larger than max ({found} vs. {limit})");
        if let Ok(text) = HeaderValue::from_str(&text) {
            headers.insert("grpc-status", RESOURCE_EXHAUSTED);
            headers.insert("grpc-message", text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_large_is_refused_in_gos_words() {
        let status = tonic::Status::out_of_range(
            "Error, decoded message length too large: found 3000000 bytes, the limit is: 2097152 bytes",
        );
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        translate(&mut headers);
        assert_eq!(headers["grpc-status"], "8");
        assert_eq!(
            headers["grpc-message"],
            "grpc: received message larger than max (3000000 vs. 2097152)"
        );
    }

    #[test]
    fn other_answers_stay_as_they_are() {
        let status =
            tonic::Status::out_of_range("etcdserver: mvcc: required revision has been compacted");
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        let before = headers.clone();
        translate(&mut headers);
        assert_eq!(headers, before);
    }
}
