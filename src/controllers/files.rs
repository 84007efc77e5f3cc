//! `GET /files/<key>`: public objects of the embedded S3, streamed, with ranges for players.

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use loco_rs::prelude::*;
use tokio_util::io::ReaderStream;

use crate::{
    http::{ApiError, ApiResult},
    storage::{ObjectKey, Storage, StorageError},
};

/// Streams a public object.
async fn show(
    State(ctx): State<AppContext>,
    Path(key): Path<String>,
    request: HeaderMap,
) -> ApiResult<Response> {
    let missing = || ApiError::not_found("File not found");
    let key = ObjectKey::parse(&key).map_err(|_| missing())?;
    if !key.is_public() {
        return Err(missing());
    }
    let range = request
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .filter(|range| is_plain_range(range));
    let fetched = match Storage::of(&ctx)?.get(&key, range).await {
        Ok(fetched) => fetched,
        Err(StorageError::NotFound) => return Err(missing()),
        Err(error) => return Err(error.into()),
    };
    let status = match fetched.content_range {
        Some(_) => StatusCode::PARTIAL_CONTENT,
        None => StatusCode::OK,
    };
    let mut headers = HeaderMap::new();
    let content_type = fetched
        .content_type
        .as_deref()
        .unwrap_or("application/octet-stream");
    let length = fetched.content_length.map(|length| length.to_string());
    set(&mut headers, header::CONTENT_TYPE, Some(content_type));
    set(&mut headers, header::CONTENT_LENGTH, length.as_deref());
    set(
        &mut headers,
        header::CONTENT_RANGE,
        fetched.content_range.as_deref(),
    );
    set(&mut headers, header::ETAG, fetched.etag.as_deref());
    set(&mut headers, header::ACCEPT_RANGES, Some("bytes"));
    set(
        &mut headers,
        header::CACHE_CONTROL,
        Some("public, max-age=31536000"),
    );
    // Whatever was uploaded is shown as what it says it is, and never runs as a page of ours.
    set(
        &mut headers,
        header::X_CONTENT_TYPE_OPTIONS,
        Some("nosniff"),
    );
    set(
        &mut headers,
        header::CONTENT_SECURITY_POLICY,
        Some("default-src 'none'; sandbox"),
    );
    let body = Body::from_stream(ReaderStream::new(fetched.body.into_async_read()));
    Ok((status, headers, body).into_response())
}

/// One range of bytes, as players ask for it; anything else is ignored (RFC 9110 section 14.2).
fn is_plain_range(text: &str) -> bool {
    let Some((first, last)) = text
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
    else {
        return false;
    };
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    match (first, last) {
        ("", last) => is_number(last),
        (first, "") => is_number(first),
        (first, last) => is_number(first) && is_number(last),
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new().add("/files/{*key}", get(show))
}
