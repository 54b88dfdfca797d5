//! From a message to JSON: field names as in the `.proto` files, zeros left out, 64-bit integers
//! as strings.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde::Serialize;
use tonic::{Code, Status};

const OPTIONS: SerializeOptions = SerializeOptions::new()
    .stringify_64_bit_integers(true)
    .use_enum_numbers(false)
    .use_proto_field_name(true)
    .skip_default_fields(true);

/// A message as it stands alone in the answer of a unary call.
pub(crate) fn message(message: &DynamicMessage) -> Vec<u8> {
    let mut json = Vec::new();
    message
        .serialize_with_options(&mut serde_json::Serializer::new(&mut json), &OPTIONS)
        .expect("memory takes every byte, and every value of a message has a form");
    json
}

/// A message as a line of a stream.
pub(crate) fn result_line(answer: &DynamicMessage) -> Bytes {
    line("result", &message(answer))
}

/// A refusal that ends a stream, as its line.
pub(crate) fn error_line(status: &Status) -> Bytes {
    line("error", &error(status))
}

/// A refusal as it stands alone.
pub(crate) fn error(status: &Status) -> Vec<u8> {
    #[derive(Serialize)]
    struct Refusal<'a> {
        #[serde(skip_serializing_if = "is_zero")]
        code: i32,
        #[serde(skip_serializing_if = "str::is_empty")]
        message: &'a str,
    }
    let refusal = Refusal { code: status.code() as i32, message: status.message() };
    serde_json::to_vec(&refusal).expect("numbers and strings have a form")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(code: &i32) -> bool {
    *code == 0
}

/// Streams go through Go's `encoding/json` once more, which keeps HTML and JavaScript from
/// seeing their own signs. They stand in strings only.
fn line(name: &str, json: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(json.len() + 16);
    line.extend_from_slice(b"{\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
    let mut rest = json;
    while let Some((first, tail)) = rest.split_first() {
        let (escape, length) = match (first, tail) {
            (b'<', _) => ("\\u003c", 1),
            (b'>', _) => ("\\u003e", 1),
            (b'&', _) => ("\\u0026", 1),
            (0xe2, [0x80, 0xa8, ..]) => ("\\u2028", 3),
            (0xe2, [0x80, 0xa9, ..]) => ("\\u2029", 3),
            _ => {
                line.push(*first);
                rest = tail;
                continue;
            }
        };
        line.extend_from_slice(escape.as_bytes());
        rest = &rest[length..];
    }
    line.extend_from_slice(b"}\n");
    line.into()
}

/// The status of HTTP for a code of gRPC.
pub(crate) fn http_status(code: Code) -> http::StatusCode {
    let number = match code {
        Code::Ok => 200,
        Code::Cancelled => 499,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::DeadlineExceeded => 504,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::PermissionDenied => 403,
        Code::Unauthenticated => 401,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    };
    http::StatusCode::from_u16(number).expect("all of them are statuses")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::find;
    use drystone_api::authpb;
    use drystone_api::etcdserverpb as pb;
    use drystone_api::mvccpb;
    use prost::Message;

    fn json<M: Message>(path: &str, answer: &M) -> String {
        let kind = find(path).unwrap().output.clone();
        let dynamic = DynamicMessage::decode(kind, answer.encode_to_vec().as_slice()).unwrap();
        String::from_utf8(message(&dynamic)).unwrap()
    }

    #[test]
    fn names_zeros_integers_and_bytes_are_written_as_etcd_writes_them() {
        let header = pb::ResponseHeader { cluster_id: u64::MAX, revision: 7, ..Default::default() };
        let pair = mvccpb::KeyValue {
            key: "a".into(),
            create_revision: 7,
            value: b"\xfb\xff"[..].into(),
            ..Default::default()
        };
        let answer = pb::RangeResponse {
            header: Some(header),
            kvs: vec![pair, mvccpb::KeyValue::default()],
            more: false,
            count: 2,
        };
        assert_eq!(
            json("/v3/kv/range", &answer),
            r#"{"header":{"cluster_id":"18446744073709551615","revision":"7"},"#.to_owned()
                + r#""kvs":[{"key":"YQ==","create_revision":"7","value":"+/8="},{}],"count":"2"}"#
        );
        assert_eq!(json("/v3/kv/put", &pb::PutResponse::default()), "{}");
        let hash = pb::HashResponse { hash: 9, ..Default::default() };
        assert_eq!(json("/v3/maintenance/hash", &hash), r#"{"hash":9}"#);
    }

    #[test]
    fn enums_are_names_and_choices_are_written_even_when_they_are_zero() {
        let permission = |kind| authpb::Permission { perm_type: kind, ..Default::default() };
        let role = pb::AuthRoleGetResponse {
            perm: vec![permission(0), permission(2), permission(9)],
            ..Default::default()
        };
        assert_eq!(
            json("/v3/auth/role/get", &role),
            r#"{"perm":[{},{"permType":"READWRITE"},{"permType":9}]}"#
        );
        let put = pb::response_op::Response::ResponsePut(pb::PutResponse::default());
        let txn = pb::TxnResponse {
            responses: vec![pb::ResponseOp { response: Some(put) }],
            ..Default::default()
        };
        assert_eq!(json("/v3/kv/txn", &txn), r#"{"responses":[{"response_put":{}}]}"#);
    }

    #[test]
    fn lines_hide_what_html_reads_and_single_answers_do_not() {
        let users = pb::AuthUserListResponse {
            users: vec!["<a&b>\u{2028}\u{2029}\u{e9}\u{1}\"".to_owned()],
            ..Default::default()
        };
        let kind = find("/v3/auth/user/list").unwrap().output.clone();
        let dynamic = DynamicMessage::decode(kind, users.encode_to_vec().as_slice()).unwrap();
        let alone = String::from_utf8(message(&dynamic)).unwrap();
        assert_eq!(alone, "{\"users\":[\"<a&b>\u{2028}\u{2029}\u{e9}\\u0001\\\"\"]}");
        let line = String::from_utf8(result_line(&dynamic).to_vec()).unwrap();
        let escaped = r#"{"result":{"users":["\u003ca\u0026b\u003e\u2028\u2029é\u0001\""]}}"#;
        assert_eq!(line, format!("{escaped}\n"));
    }

    #[test]
    fn refusals_have_two_shapes() {
        let status = Status::not_found("etcdserver: requested lease not found");
        let alone = r#"{"code":5,"message":"etcdserver: requested lease not found"}"#;
        assert_eq!(error(&status), alone.as_bytes());
        assert_eq!(error_line(&status), format!("{{\"error\":{alone}}}\n"));
        assert_eq!(http_status(status.code()), 404);
    }
}
