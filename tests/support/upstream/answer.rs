//! Answers: from files with placeholders, or faults.

use std::path::PathBuf;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::stream;
use serde_json::Value;

use super::{KEY, Reply, Upstream};
use crate::support::pictures;

/// The head of a video file; nobody looks further.
const MP4: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x08mdat";

/// How a download of a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    Cut,
    /// A page instead of a picture.
    Page,
    Huge,
    Status(u16),
}

/// The folder of a provider's answers.
pub fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/providers")
        .join(name)
}

/// A result, its size telling which of an answer it is.
fn media(kind: &str, n: u32) -> (Vec<u8>, &'static str) {
    match kind {
        "mp4" => (MP4.to_vec(), "video/mp4"),
        _ => (pictures::png(96 + n * 16, 64), "image/png"),
    }
}

impl Upstream {
    pub(super) async fn reply(&self, role: &str, case: usize, n: usize, reply: Reply) -> Response {
        match reply {
            Reply::Fixture(name) => self.fixture(role, &name, case, n),
            Reply::Status(status, headers, body) => {
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
                for (name, value) in headers {
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
                response
            }
            Reply::Cut => cut("application/json", b"{\"id\": \"task"),
            Reply::Garbage => {
                ([(header::CONTENT_TYPE, "application/json")], "{\"id\": ").into_response()
            }
            Reply::Page => (
                [(header::CONTENT_TYPE, "text/html")],
                "<html><body>We are back soon</body></html>",
            )
                .into_response(),
            Reply::Huge => huge("application/json"),
            // Ends when the other side goes away.
            Reply::Silence => std::future::pending().await,
        }
    }

    fn fixture(&self, role: &str, name: &str, case: usize, n: usize) -> Response {
        let path = folder(self.api.name).join(format!("{role}.{name}.json"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let status = file["status"].as_u64().unwrap_or(200);
        let mut response = match file["binary"].as_str() {
            Some(kind) => {
                let (bytes, mime) = media(kind, 1);
                ([(header::CONTENT_TYPE, mime)], bytes).into_response()
            }
            None => {
                let body = self.filled(&file["body"], case, n);
                axum::Json(body).into_response()
            }
        };
        *response.status_mut() = StatusCode::from_u16(u16::try_from(status).unwrap()).unwrap();
        for (name, value) in file["headers"].as_object().into_iter().flatten() {
            let name: header::HeaderName = name.parse().unwrap();
            let value = value.as_str().unwrap().parse().unwrap();
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// Puts our addresses, tasks and pictures where a file has placeholders.
    fn filled(&self, value: &Value, case: usize, n: usize) -> Value {
        match value {
            Value::String(text) if text.contains("{{") => {
                let origin = self.shared.base.lock().unwrap().clone();
                let mut text = text
                    .replace("{{base}}", &self.base)
                    .replace("{{task}}", &format!("task-{case}-{n}"))
                    .replace("{{key}}", KEY);
                for i in 1..=4_u32 {
                    let (bytes, mime) = media(self.api.media, i);
                    let extension = mime.rsplit('/').next().unwrap();
                    let address = format!("{origin}/_result/{case}/{i}.{extension}?sig=secret");
                    text = text
                        .replace(&format!("{{{{result{i}}}}}"), &address)
                        .replace(&format!("{{{{base64{i}}}}}"), &STANDARD.encode(bytes));
                }
                assert!(!text.contains("{{"), "an unknown placeholder: {text}");
                Value::String(text)
            }
            Value::Array(items) => items
                .iter()
                .map(|item| self.filled(item, case, n))
                .collect(),
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, field)| (name.clone(), self.filled(field, case, n)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    /// `<case>/<n>.<extension>`; no secret may come along.
    pub(super) async fn result(&self, rest: &str, headers: &HeaderMap) -> Response {
        if headers
            .values()
            .any(|value| value.to_str().is_ok_and(|value| value.contains(KEY)))
        {
            self.fault("the key went to the host of results".to_owned());
        }
        let (case, file) = rest.split_once('/').unwrap();
        let case: usize = case.parse().unwrap();
        let n: u32 = file.split('.').next().unwrap().parse().unwrap();
        let delivery = {
            let mut deliveries = self.shared.deliveries.lock().unwrap();
            deliveries
                .get_mut(&case)
                .and_then(std::collections::VecDeque::pop_front)
        };
        let (bytes, mime) = media(self.api.media, n);
        match delivery {
            None => ([(header::CONTENT_TYPE, mime)], bytes).into_response(),
            Some(Delivery::Cut) => cut(mime, &bytes[..bytes.len() / 2]),
            Some(Delivery::Page) => {
                ([(header::CONTENT_TYPE, mime)], "<html>expired</html>").into_response()
            }
            Some(Delivery::Huge) => huge(mime),
            Some(Delivery::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        }
    }
}

/// The first part of a body; then the connection ends.
fn cut(mime: &str, part: &[u8]) -> Response {
    let parts = [
        Ok(Bytes::copy_from_slice(part)),
        Err(std::io::Error::other("cut")),
    ];
    Response::builder()
        .header(header::CONTENT_TYPE, mime)
        .body(Body::from_stream(stream::iter(parts)))
        .unwrap()
}

/// A body that says to be larger than anything is allowed to be.
fn huge(mime: &str) -> Response {
    let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
    let parts = futures_util::StreamExt::chain(first, stream::pending());
    Response::builder()
        .header(header::CONTENT_TYPE, mime)
        .header(header::CONTENT_LENGTH, 8_u64 << 30)
        .body(Body::from_stream(parts))
        .unwrap()
}
