//! Request bodies: read with a limit, parsed once, and never trusted.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::header,
};
use futures_util::StreamExt;
use loco_rs::app::AppContext;
use serde_json::{Map, Value};

use super::error::{ApiError, ApiResult, ErrorCode};
use crate::settings::Settings;

/// Bytes beyond the limit that are read and thrown away, so that a client which only listens after
/// it has sent everything still gets the 413.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Largest body of routes that take no pictures, bytes. Parsed JSON takes many times its text, and some
/// of these routes are open to anybody.
const SMALL_BYTES: usize = 256 * 1024;

/// The JSON object of a request. Absent, empty and non-JSON bodies count as `{}` (platform contract
/// 1.2), so that a missing field and a missing body give the same answer.
///
/// Handlers name it last: the caller is checked before any of the body is read.
#[derive(Debug)]
pub struct JsonBody(pub Map<String, Value>);

/// The same for routes that take pictures, up to the configured limit.
#[derive(Debug)]
pub struct LargeJsonBody(pub Map<String, Value>);

impl FromRequest<AppContext> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _ctx: &AppContext) -> Result<Self, Self::Rejection> {
        object(request, SMALL_BYTES).await.map(Self)
    }
}

impl FromRequest<AppContext> for LargeJsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, ctx: &AppContext) -> Result<Self, Self::Rejection> {
        let limit = Settings::of(ctx)?.http.body_limit_bytes;
        object(request, limit).await.map(Self)
    }
}

async fn object(request: Request, limit: usize) -> ApiResult<Map<String, Value>> {
    parse(&read_json(request, limit).await?)
}

/// The bytes of a JSON body; a body that does not say it is JSON counts as empty and is not read.
///
/// # Errors
/// See [`read_limited`].
pub(super) async fn read_json(request: Request, limit: usize) -> ApiResult<Bytes> {
    let is_json = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let mime = value.split(';').next().unwrap_or_default().trim();
            mime.eq_ignore_ascii_case("application/json") || mime.ends_with("+json")
        });
    if !is_json {
        return Ok(Bytes::new());
    }
    read_limited(request.into_body(), limit).await
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// 413 beyond the limit, 400 when the client breaks off.
pub async fn read_limited(body: Body, limit: usize) -> ApiResult<Bytes> {
    let mut stream = body.into_data_stream();
    let mut collected: Vec<u8> = Vec::new();
    let mut dropped = 0_usize;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| {
            ApiError::bad_request(ErrorCode::InvalidJson, "The request body ended too early.")
        })?;
        if dropped == 0 && collected.len().saturating_add(chunk.len()) <= limit {
            collected.extend_from_slice(&chunk);
            continue;
        }
        collected = Vec::new();
        dropped = dropped.saturating_add(chunk.len());
        if dropped > LINGER_BYTES {
            break;
        }
    }
    if dropped > 0 {
        return Err(ApiError::payload_too_large());
    }
    Ok(collected.into())
}

/// The fields of a JSON object; nothing but white space and lists have none.
///
/// # Errors
/// 400 for what is no JSON, no object, or holds NUL.
pub(super) fn parse(bytes: &[u8]) -> ApiResult<Map<String, Value>> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        ApiError::bad_request(
            ErrorCode::InvalidJson,
            format!(
                "The request body is not valid JSON (line {}, column {}).",
                error.line(),
                error.column()
            ),
        )
    })?;
    if has_nul(&value) {
        return Err(ApiError::bad_request(
            ErrorCode::ValidationFailed,
            "Text must not contain NUL characters.",
        ));
    }
    match value {
        Value::Object(fields) => Ok(fields),
        Value::Array(_) => Ok(Map::new()),
        _ => Err(ApiError::bad_request(
            ErrorCode::InvalidJson,
            "The request body must be a JSON object.",
        )),
    }
}

/// PostgreSQL stores no NUL in text; it is refused at the door instead of failing in a statement.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
