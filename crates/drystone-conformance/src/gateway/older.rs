//! What every etcd before 3.6 answers otherwise, since its gateway was grpc-gateway's first
//! version: the shapes of refusals, and what is not JSON in it. Translated, it can be compared.

use super::asking::Answer;
use serde_json::Value;

/// Whether this version has the old gateway.
pub(crate) fn is_older(version: &str) -> bool {
    ["3.3.", "3.4.", "3.5."].iter().any(|start| version.starts_with(start))
}

/// The answer as the newer gateway gives it.
pub(crate) fn translated(mut answer: Answer) -> Answer {
    let plain = |body: &str| body.trim_end() == "Method Not Allowed";
    if answer.head.starts_with("405 text/plain") && plain(&answer.body) {
        answer.head = "501 application/json".to_owned();
        answer.body = refusal(12, "Method Not Allowed");
    } else if answer.head.starts_with("404 text/plain") && answer.body.trim_end() == "Not Found" {
        answer.head = "404 application/json".to_owned();
        answer.body = refusal(5, "Not Found");
    } else {
        // FAILED_PRECONDITION is 400 since 3.5.
        answer.head = answer.head.replace("412 application/json", "400 application/json");
        answer.body = lines_translated(&answer.body);
        // The newer one says how to sign in.
        if answer.head == "401 application/json" {
            let refusal = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
            answer.head.push(' ');
            answer.head.push_str(refusal["message"].as_str().unwrap_or_default());
        }
    }
    // The newer one leaves the type out when a stream ends without a line.
    if answer.body.is_empty() && answer.head.starts_with("200 ") {
        answer.head = answer.head.replace("200 application/json", "200");
    }
    answer
}

fn lines_translated(body: &str) -> String {
    let lines = body.split('\n').map(|line| {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
        match &value["error"] {
            Value::String(text) => refusal(value["code"].as_i64().unwrap_or_default(), text),
            Value::Object(inner) if inner.contains_key("grpc_code") => {
                let code = inner["grpc_code"].as_i64().unwrap_or_default();
                let text = inner.get("message").and_then(Value::as_str).unwrap_or_default();
                format!("{{\"error\":{}}}", refusal(code, text))
            }
            _ => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn refusal(code: i64, text: &str) -> String {
    format!("{{\"code\":{code},\"message\":{}}}", Value::from(text))
}
