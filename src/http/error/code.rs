//! The stable codes of error answers.

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
    pub(super) const fn gotrue(self) -> &'static str {
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
