//! Multipart forms: small texts and one file, read whole within a limit.

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request},
    http::StatusCode,
};
use bytes::Bytes;
use loco_rs::app::AppContext;
use serde_json::{Map, Value};

use super::{
    body::receive,
    error::{ApiError, ApiResult, ErrorCode},
    idempotency::KeyedBody,
};
use crate::storage::Intake;

/// Largest file, bytes.
const FILE_BYTES: usize = 12 * 1024 * 1024;
/// Room for the texts and the form's own lines, bytes.
const TEXT_BYTES: usize = 64 * 1024;
/// Longest name of a file that is kept, characters.
const NAME_CHARS: usize = 255;

/// An uploaded file.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Name of its field.
    pub field: String,
    pub name: Option<String>,
    /// As the client claims it, in small letters.
    pub content_type: String,
    pub bytes: Bytes,
}

/// A form with at most one file, and the request's key if it has one.
#[derive(Debug)]
pub struct KeyedForm {
    pub body: KeyedBody,
    pub file: Option<Upload>,
}

impl FromRequest<AppContext> for KeyedForm {
    type Rejection = ApiError;

    async fn from_request(request: Request, ctx: &AppContext) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        let intake = Intake::of(ctx)?;
        let received = receive(body, FILE_BYTES.saturating_add(TEXT_BYTES), &intake)
            .await
            .map_err(too_large_or)?;
        // The form, and the file that is taken out of it.
        let share = intake.share(received.size().saturating_mul(2)).await?;
        let bytes = received.read().await?;
        let mut again = Request::new(Body::from(bytes));
        again.headers_mut().clone_from(&parts.headers);
        DefaultBodyLimit::disable().apply(&mut again);
        let (fields, file) = match Multipart::from_request(again, ctx).await {
            Ok(form) => read(form).await?,
            // Another body, or none: nothing is given.
            Err(_) => (Map::new(), None),
        };
        let body = KeyedBody::of_form(&parts, ctx, fields, file.as_ref(), share).await?;
        Ok(Self { body, file })
    }
}

async fn read(mut form: Multipart) -> ApiResult<(Map<String, Value>, Option<Upload>)> {
    let broken = |_| ApiError::bad_request(ErrorCode::ValidationFailed, "The form is not valid.");
    let (mut fields, mut file, mut text_bytes) = (Map::new(), None, 0_usize);
    while let Some(part) = form.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        if part.file_name().is_some() {
            let file_name = part
                .file_name()
                .map(|name| name.chars().take(NAME_CHARS).collect());
            let content_type = part.content_type().unwrap_or_default().to_ascii_lowercase();
            let bytes = part.bytes().await.map_err(broken)?;
            if bytes.len() > FILE_BYTES {
                return Err(file_too_large());
            }
            if file.is_some() {
                return Err(ApiError::bad_request(
                    ErrorCode::ValidationFailed,
                    "Only one file can be uploaded.",
                ));
            }
            file = Some(Upload {
                field: name,
                name: file_name,
                content_type,
                bytes,
            });
            continue;
        }
        let text = part.text().await.map_err(broken)?;
        text_bytes = text_bytes.saturating_add(text.len());
        if text_bytes > TEXT_BYTES {
            return Err(ApiError::payload_too_large());
        }
        if text.contains('\0') || name.contains('\0') {
            return Err(ApiError::bad_request(
                ErrorCode::ValidationFailed,
                "Text must not contain NUL characters.",
            ));
        }
        fields.insert(name, text.into());
    }
    Ok((fields, file))
}

fn file_too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::PayloadTooLarge,
        "File too large",
    )
}

/// A body over the limit can only be one whose file is.
fn too_large_or(error: ApiError) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        file_too_large()
    } else {
        error
    }
}
