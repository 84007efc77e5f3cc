//! The one error envelope and the codes in it.
//!
//! Shape: `{"statusCode","code","message","error","requestId"}`, always `application/json`. `error`
//! is one showable sentence because the web client shows it first; `message` is the same sentence,
//! or the list of sentences of a validation. Below `/auth/v1` the same error has GoTrue's shape.

mod code;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::request_ids::RequestIds;
pub use code::ErrorCode;

/// What a handler answers.
pub type ApiResult<T> = Result<T, ApiError>;

/// An error answer. Constructors are named for the answer.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: ErrorCode,
    messages: Vec<String>,
    is_list: bool,
    extra: Map<String, Value>,
    retry_after_s: Option<u64>,
}

impl ApiError {
    /// An error with one sentence.
    #[must_use]
    pub fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            messages: vec![message.into()],
            is_list: false,
            extra: Map::new(),
            retry_after_s: None,
        }
    }

    /// 400 with all broken rules of a body or query.
    #[must_use]
    pub fn validation(messages: Vec<String>) -> Self {
        Self {
            messages,
            is_list: true,
            ..Self::new(StatusCode::BAD_REQUEST, ErrorCode::ValidationFailed, "")
        }
    }

    /// 400 with one sentence.
    #[must_use]
    pub fn bad_request(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401 with the guard's text for a missing or bad token (platform contract 2.1).
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            ErrorCode::Unauthorized,
            "Unauthorized",
        )
    }

    /// 404 for a thing of the caller that is not there or not the caller's.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, message)
    }

    /// 403 for a signed-in caller without the role (platform contract 2.2).
    #[must_use]
    pub fn admin_required() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            ErrorCode::Forbidden,
            "Admin privileges required",
        )
    }

    /// 409 for an idempotency key whose request is under way.
    #[must_use]
    pub fn key_in_use() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            ErrorCode::IdempotencyKeyInUse,
            "A request with this Idempotency-Key is still being processed. Please repeat it in a moment.",
        )
        .retry_after(1)
    }

    /// 422 for an idempotency key that another request used.
    #[must_use]
    pub fn key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::IdempotencyKeyReused,
            "This Idempotency-Key was used for another request. Please use a new key.",
        )
    }

    /// 413.
    #[must_use]
    pub fn payload_too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::PayloadTooLarge,
            "request entity too large",
        )
    }

    /// 503 for our own database.
    #[must_use]
    pub fn database_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::DatabaseUnavailable,
            "The service is temporarily unavailable. Please try again.",
        )
        .retry_after(2)
    }

    /// 500 for what was not foreseen; the reason is logged where it is met.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Internal,
            "Internal server error",
        )
    }

    /// Adds a field to the body.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    /// Adds `Retry-After`, seconds.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The reason as GoTrue names it, and the sentence, for redirects that carry an error.
    #[must_use]
    pub fn for_redirect(&self) -> (&'static str, String) {
        (self.code.gotrue(), self.messages.join(", "))
    }

    /// The status it answers with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    fn body(&self, ids: Option<&RequestIds>) -> Value {
        let sentence = self.messages.join(", ");
        if ids.is_some_and(|ids| ids.is_gotrue) {
            let mut body = Map::new();
            body.insert("code".into(), self.status.as_u16().into());
            body.insert("error_code".into(), self.code.gotrue().into());
            body.insert("msg".into(), sentence.into());
            body.extend(self.extra.clone());
            return Value::Object(body);
        }
        let mut body = Map::new();
        body.insert("statusCode".into(), self.status.as_u16().into());
        body.insert("code".into(), self.code.as_str().into());
        let message = if self.is_list {
            json!(self.messages)
        } else {
            json!(sentence)
        };
        body.insert("message".into(), message);
        body.insert("error".into(), sentence.into());
        body.extend(self.extra.clone());
        body.insert(
            "requestId".into(),
            json!(ids.map(|ids| ids.request_id.as_str())),
        );
        Value::Object(body)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let ids = RequestIds::current();
        let mut response = (self.status, Json(self.body(ids.as_ref()))).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
