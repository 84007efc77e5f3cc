//! The one error envelope and the codes in it.
//!
//! Shape: `{"statusCode","code","message","error","requestId"}`, always `application/json`. `error`
//! is one showable sentence because the web client shows it first; `message` is the same sentence,
//! or the list of sentences of a validation. Below `/auth/v1` the same error has GoTrue's shape.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::request_ids::RequestIds;

/// Stable, machine-readable reason of an error answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    ValidationFailed,
    InvalidJson,
    InvalidReference,
    UnsupportedModel,
    Unauthorized,
    InvalidToken,
    SessionInvalid,
    InvalidCredentials,
    Forbidden,
    NotFound,
    RouteNotFound,
    MethodNotAllowed,
    Conflict,
    JobFinal,
    UserAlreadyExists,
    WeakPassword,
    RefreshTokenNotFound,
    ResetTokenInvalid,
    GoogleRefused,
    IdentityRefused,
    UnsupportedGrantType,
    EmailNotConfirmed,
    EmailExists,
    SamePassword,
    LinkExpired,
    FlowNotFound,
    FlowExpired,
    BadCodeVerifier,
    SignInProviderDisabled,
    AnonymousSignInDisabled,
    SignInRefused,
    TooManyMails,
    Gone,
    PayloadTooLarge,
    InsufficientCredits,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    TooManyJobs,
    TooManyRequests,
    ProviderUnavailable,
    IdentityUnavailable,
    ProviderRefusedInput,
    ContentRefused,
    ProviderBusy,
    ProviderFault,
    GenerationTooSlow,
    NoUsableResult,
    StorageUnavailable,
    DatabaseUnavailable,
    RequestTooSlow,
    ServiceBusy,
    Internal,
}

impl ErrorCode {
    /// Every code; the list is part of the API and a snapshot.
    pub const ALL: [Self; 52] = [
        Self::ValidationFailed,
        Self::InvalidJson,
        Self::InvalidReference,
        Self::UnsupportedModel,
        Self::Unauthorized,
        Self::InvalidToken,
        Self::SessionInvalid,
        Self::InvalidCredentials,
        Self::Forbidden,
        Self::NotFound,
        Self::RouteNotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::JobFinal,
        Self::UserAlreadyExists,
        Self::WeakPassword,
        Self::RefreshTokenNotFound,
        Self::ResetTokenInvalid,
        Self::GoogleRefused,
        Self::IdentityRefused,
        Self::UnsupportedGrantType,
        Self::EmailNotConfirmed,
        Self::EmailExists,
        Self::SamePassword,
        Self::LinkExpired,
        Self::FlowNotFound,
        Self::FlowExpired,
        Self::BadCodeVerifier,
        Self::SignInProviderDisabled,
        Self::AnonymousSignInDisabled,
        Self::SignInRefused,
        Self::TooManyMails,
        Self::Gone,
        Self::PayloadTooLarge,
        Self::InsufficientCredits,
        Self::IdempotencyKeyInUse,
        Self::IdempotencyKeyReused,
        Self::TooManyJobs,
        Self::TooManyRequests,
        Self::ProviderUnavailable,
        Self::IdentityUnavailable,
        Self::ProviderRefusedInput,
        Self::ContentRefused,
        Self::ProviderBusy,
        Self::ProviderFault,
        Self::GenerationTooSlow,
        Self::NoUsableResult,
        Self::StorageUnavailable,
        Self::DatabaseUnavailable,
        Self::RequestTooSlow,
        Self::ServiceBusy,
        Self::Internal,
    ];

    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ValidationFailed => "VALIDATION_FAILED",
            Self::InvalidJson => "INVALID_JSON",
            Self::InvalidReference => "INVALID_REFERENCE",
            Self::UnsupportedModel => "UNSUPPORTED_MODEL",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::InvalidToken => "INVALID_TOKEN",
            Self::SessionInvalid => "SESSION_INVALID",
            Self::InvalidCredentials => "INVALID_CREDENTIALS",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::RouteNotFound => "ROUTE_NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::Conflict => "CONFLICT",
            Self::JobFinal => "JOB_FINAL",
            Self::UserAlreadyExists => "USER_ALREADY_EXISTS",
            Self::WeakPassword => "WEAK_PASSWORD",
            Self::RefreshTokenNotFound => "REFRESH_TOKEN_NOT_FOUND",
            Self::ResetTokenInvalid => "RESET_TOKEN_INVALID",
            Self::GoogleRefused => "GOOGLE_REFUSED",
            Self::IdentityRefused => "IDENTITY_REFUSED",
            Self::UnsupportedGrantType => "UNSUPPORTED_GRANT_TYPE",
            Self::EmailNotConfirmed => "EMAIL_NOT_CONFIRMED",
            Self::EmailExists => "EMAIL_EXISTS",
            Self::SamePassword => "SAME_PASSWORD",
            Self::LinkExpired => "LINK_EXPIRED",
            Self::FlowNotFound => "FLOW_NOT_FOUND",
            Self::FlowExpired => "FLOW_EXPIRED",
            Self::BadCodeVerifier => "BAD_CODE_VERIFIER",
            Self::SignInProviderDisabled => "SIGN_IN_PROVIDER_DISABLED",
            Self::AnonymousSignInDisabled => "ANONYMOUS_SIGN_IN_DISABLED",
            Self::SignInRefused => "SIGN_IN_REFUSED",
            Self::TooManyMails => "TOO_MANY_MAILS",
            Self::Gone => "GONE",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::InsufficientCredits => "INSUFFICIENT_CREDITS",
            Self::IdempotencyKeyInUse => "IDEMPOTENCY_KEY_IN_USE",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::TooManyJobs => "TOO_MANY_JOBS",
            Self::TooManyRequests => "TOO_MANY_REQUESTS",
            Self::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
            Self::IdentityUnavailable => "IDENTITY_UNAVAILABLE",
            Self::ProviderRefusedInput => "PROVIDER_REFUSED_INPUT",
            Self::ContentRefused => "CONTENT_REFUSED",
            Self::ProviderBusy => "PROVIDER_BUSY",
            Self::ProviderFault => "PROVIDER_FAULT",
            Self::GenerationTooSlow => "GENERATION_TOO_SLOW",
            Self::NoUsableResult => "NO_USABLE_RESULT",
            Self::StorageUnavailable => "STORAGE_UNAVAILABLE",
            Self::DatabaseUnavailable => "DATABASE_UNAVAILABLE",
            Self::RequestTooSlow => "REQUEST_TOO_SLOW",
            Self::ServiceBusy => "SERVICE_BUSY",
            Self::Internal => "INTERNAL",
        }
    }

    /// What supabase's auth server calls the same reason (`internal/api/apierrors/errorcode.go` there).
    const fn gotrue(self) -> &'static str {
        match self {
            Self::ValidationFailed | Self::InvalidReference | Self::UnsupportedModel => {
                "validation_failed"
            }
            Self::InvalidJson => "bad_json",
            Self::Unauthorized => "no_authorization",
            Self::InvalidToken => "bad_jwt",
            Self::SessionInvalid => "session_not_found",
            Self::InvalidCredentials => "invalid_credentials",
            Self::Forbidden => "no_authorization",
            Self::NotFound | Self::RouteNotFound | Self::MethodNotAllowed | Self::Gone => {
                "not_found"
            }
            Self::Conflict
            | Self::JobFinal
            | Self::IdempotencyKeyInUse
            | Self::IdempotencyKeyReused => "conflict",
            Self::UserAlreadyExists => "user_already_exists",
            Self::WeakPassword => "weak_password",
            Self::RefreshTokenNotFound => "refresh_token_not_found",
            Self::ResetTokenInvalid => "otp_expired",
            Self::GoogleRefused => "bad_jwt",
            Self::IdentityRefused => "validation_failed",
            Self::UnsupportedGrantType => "invalid_credentials",
            Self::EmailNotConfirmed => "email_not_confirmed",
            Self::EmailExists => "email_exists",
            Self::SamePassword => "same_password",
            Self::LinkExpired => "otp_expired",
            Self::FlowNotFound => "flow_state_not_found",
            Self::FlowExpired => "flow_state_expired",
            Self::BadCodeVerifier => "bad_code_verifier",
            Self::SignInProviderDisabled => "provider_disabled",
            Self::AnonymousSignInDisabled => "anonymous_provider_disabled",
            Self::SignInRefused => "bad_oauth_callback",
            Self::TooManyMails => "over_email_send_rate_limit",
            Self::TooManyRequests | Self::TooManyJobs => "over_request_rate_limit",
            Self::PayloadTooLarge => "request_too_large",
            Self::RequestTooSlow => "request_timeout",
            Self::InsufficientCredits
            | Self::ProviderUnavailable
            | Self::IdentityUnavailable
            | Self::ProviderRefusedInput
            | Self::ContentRefused
            | Self::ProviderBusy
            | Self::ProviderFault
            | Self::GenerationTooSlow
            | Self::NoUsableResult
            | Self::StorageUnavailable
            | Self::DatabaseUnavailable
            | Self::ServiceBusy
            | Self::Internal => "unexpected_failure",
        }
    }
}

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
