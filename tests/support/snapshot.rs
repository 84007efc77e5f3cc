//! Snapshots of answers. Redactions check a value before they hide it: a time must be a time, the
//! request id must be the one in the header, and every other changing value must be named.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::Answer;

static TIME: LazyLock<regex::Regex> =
    LazyLock::new(|| regex::Regex::new(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z").unwrap());

/// Status and body of an answer, with the given exact values replaced by their names.
pub fn stable(answer: &Answer, known: &[(&str, &str)]) -> Value {
    let mut body = answer.json.clone();
    if let Some(id) = body.get_mut("requestId") {
        assert_eq!(
            Some(id.as_str().unwrap()),
            answer.header("x-request-id"),
            "request id"
        );
        *id = json!("[request id]");
    }
    json!({"status": answer.status, "body": redact(&body, known)})
}

/// Replaces times by `[time]` and the given exact values by their names.
pub fn redact(value: &Value, known: &[(&str, &str)]) -> Value {
    match value {
        Value::String(text) => {
            let mut text = TIME.replace_all(text, "[time]").into_owned();
            for (actual, name) in known {
                assert!(!actual.is_empty(), "an empty value cannot be named {name}");
                text = text.replace(actual, &format!("[{name}]"));
            }
            Value::String(text)
        }
        Value::Array(items) => items.iter().map(|item| redact(item, known)).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), redact(value, known)))
                .collect(),
        ),
        other => other.clone(),
    }
}
