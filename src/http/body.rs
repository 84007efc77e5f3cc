//! Request bodies: read with a limit, parsed once, and never trusted.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::header,
};
use futures_util::{Stream, StreamExt, TryStreamExt};
use loco_rs::app::AppContext;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::error::{ApiError, ApiResult, ErrorCode};
use crate::{
    settings::Settings,
    storage::{Intake, Received, Share},
};

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

/// Bytes of memory for each byte of a large body: itself, its parsed texts, and the pictures in them.
const LARGE_WEIGHT: u64 = 3;
/// Most values of a large body. Its size is for pictures; many small values would take far more memory
/// than text.
const MAX_VALUES: usize = 65_536;

/// The fields of a large JSON body.
pub(super) struct Large {
    pub fields: Map<String, Value>,
    /// SHA-256 of the body, when it was asked for.
    pub hash: Option<Vec<u8>>,
    pub share: Share,
}

/// Receives and parses a body that may hold pictures, within the budgets of the process.
///
/// # Errors
/// 413 beyond `limit`, 400 for what is no JSON object, 503 when too much is on its way already.
pub(super) async fn large_json(
    request: Request,
    limit: usize,
    intake: &Intake,
    is_hashed: bool,
) -> ApiResult<Large> {
    let digest = |bytes: &[u8]| is_hashed.then(|| Sha256::digest(bytes).to_vec());
    if !is_json(&request) {
        return Ok(Large {
            fields: Map::new(),
            hash: digest(&[]),
            share: Share::none(),
        });
    }
    let received = receive(request.into_body(), limit, intake).await?;
    if !received.is_large() {
        let bytes = received.read().await?;
        return Ok(Large {
            fields: parse(&bytes)?,
            hash: digest(&bytes),
            share: Share::none(),
        });
    }
    let weight = received.size().saturating_mul(LARGE_WEIGHT);
    let share = intake.share(weight).await?;
    let bytes = received.read().await?;
    let parsed = tokio::task::spawn_blocking(move || {
        let values = bytes.iter().filter(|byte| b",[{".contains(byte)).count();
        if values > MAX_VALUES {
            return Err(ApiError::bad_request(
                ErrorCode::ValidationFailed,
                "The request body holds too many values.",
            ));
        }
        let hash = is_hashed.then(|| Sha256::digest(&bytes).to_vec());
        Ok((parse(&bytes)?, hash))
    });
    let (fields, hash) = parsed.await.map_err(|error| {
        tracing::error!(%error, "a body could not be parsed");
        ApiError::internal()
    })??;
    Ok(Large {
        fields,
        hash,
        share,
    })
}

/// Receives a body within the budgets of the process.
///
/// # Errors
/// 413 beyond `limit`, 400 when the client breaks off, 503 when too much is on its way already.
pub(super) async fn receive(body: Body, limit: usize, intake: &Intake) -> ApiResult<Received> {
    let mut body = body.into_data_stream().map_err(|_| {
        ApiError::bad_request(ErrorCode::InvalidJson, "The request body ended too early.")
    });
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    match intake.receive(&mut body, limit).await {
        Ok(received) => Ok(received),
        Err(error) => {
            linger(&mut body).await;
            Err(error)
        }
    }
}

/// Reads on for a while and throws away what comes, so that a client which only listens after it has sent
/// everything still gets the refusal.
async fn linger<T, E>(body: &mut (impl Stream<Item = Result<T, E>> + Unpin))
where
    T: AsRef<[u8]>,
{
    let mut dropped = 0_usize;
    while let Some(Ok(chunk)) = body.next().await {
        dropped = dropped.saturating_add(chunk.as_ref().len());
        if dropped > LINGER_BYTES {
            return;
        }
    }
}

/// Whether the body says that it is JSON.
fn is_json(request: &Request) -> bool {
    request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let mime = value.split(';').next().unwrap_or_default().trim();
            mime.eq_ignore_ascii_case("application/json") || mime.ends_with("+json")
        })
}

/// The bytes of a JSON body; a body that does not say it is JSON counts as empty and is not read.
///
/// # Errors
/// See [`read_limited`].
pub(super) async fn read_json(request: Request, limit: usize) -> ApiResult<Bytes> {
    if !is_json(&request) {
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
