//! What was asked, and how it is shown in snapshots.

use std::{sync::LazyLock, time::Instant};

use axum::{
    body::Bytes,
    http::{HeaderMap, Uri},
};
use regex::{Regex, bytes};
use serde_json::{Value, json};

use super::{KEY, KeyAt};

static IN_BODY: LazyLock<bytes::Regex> =
    LazyLock::new(|| bytes::Regex::new(r"\[case (\d+)\]|task-(\d+)-\d+").unwrap());
static IN_PATH: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"task-(\d+)-\d+").unwrap());
static CASE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r" ?\[case \d+\]").unwrap());
static TASK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"task-\d+-\d+").unwrap());
static SIGNED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"http://[^?\s]*/(inputs)/[^?\s]*\?\S*X-Amz-Signature=\S*").unwrap()
});
static BASE64: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/]{80,}={0,2}").unwrap());

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Call {
    pub role: &'static str,
    pub case: usize,
    pub method: String,
    /// With its query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: Instant,
}

impl Call {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The case that a request names.
pub fn case_of(uri: &Uri, body: &[u8]) -> Option<usize> {
    let path = uri.to_string();
    if let Some(found) = IN_PATH.captures(&path) {
        return found[1].parse().ok();
    }
    let found = IN_BODY.captures(body)?;
    let number = found.get(1).or_else(|| found.get(2))?;
    std::str::from_utf8(number.as_bytes()).ok()?.parse().ok()
}

/// Method, path, headers and body, without what changes from run to run and without pictures.
pub fn shown(call: &Call, base: &str, key_at: KeyAt) -> Value {
    let mut headers = serde_json::Map::new();
    for (name, value) in &call.headers {
        let text = value.to_str().unwrap();
        let shown = match name.as_str() {
            "host" | "content-length" | "accept-encoding" | "transfer-encoding" => continue,
            "user-agent" => {
                assert!(text.starts_with("daygen/"), "{text}");
                continue;
            }
            "authorization" if matches!(key_at, KeyAt::MadeBearer) => "Bearer [made]".to_owned(),
            "content-type" if text.starts_with("multipart/form-data; boundary=") => {
                "multipart/form-data".to_owned()
            }
            _ => text.replace(KEY, "[key]"),
        };
        headers.insert(name.to_string(), shown.into());
    }
    json!({
        "call": format!("{} {}", call.method, steady(&call.path, base)),
        "headers": headers,
        "body": body(call, base),
    })
}

fn body(call: &Call, base: &str) -> Value {
    let content_type = call
        .headers
        .get("content-type")
        .map(|value| value.to_str().unwrap());
    match content_type.and_then(|text| text.strip_prefix("multipart/form-data; boundary=")) {
        Some(boundary) => parts(&call.body, boundary.trim_matches('"'), base),
        None if call.body.is_empty() => Value::Null,
        None => values(&call.json(), base),
    }
}

fn values(value: &Value, base: &str) -> Value {
    match value {
        Value::String(text) => steady(text, base).into(),
        Value::Array(items) => items.iter().map(|item| values(item, base)).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, field)| (name.clone(), values(field, base)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn steady(text: &str, base: &str) -> String {
    let text = text.replace(base, "[base]");
    let text = CASE.replace_all(&text, "");
    let text = TASK.replace_all(&text, "[task]");
    let text = SIGNED.replace_all(&text, "[signed address below $1/]");
    assert!(
        !text.contains(KEY),
        "the key may be in a header only: {text}"
    );
    BASE64
        .replace_all(&text, |found: &regex::Captures<'_>| {
            format!("[base64, {} characters]", found[0].len())
        })
        .into_owned()
}

/// The parts of a form: name, file name, type, and the text or the size.
fn parts(body: &[u8], boundary: &str, base: &str) -> Value {
    let text = String::from_utf8_lossy(body);
    text.split(&format!("--{boundary}"))
        .filter_map(|part| part.split_once("\r\n\r\n"))
        .map(|(head, content)| {
            let content = content.strip_suffix("\r\n").unwrap_or(content);
            let head = head.trim().replace("\r\n", "; ");
            let is_file = head.contains("filename=");
            let shown = if is_file {
                // Not its size: bytes that are no text were replaced.
                format!(
                    "[{} file]",
                    if content.contains("PNG") {
                        "PNG"
                    } else {
                        "other"
                    }
                )
            } else {
                steady(content, base)
            };
            json!([
                head.to_lowercase()
                    .replace("content-disposition: form-data; ", ""),
                shown
            ])
        })
        .collect()
}
