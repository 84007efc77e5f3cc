//! The one mapping from what went wrong in a room to what the caller is told.

use axum::http::StatusCode;
use sea_orm::{DbErr, RuntimeErr};

use super::error::{ApiError, ErrorCode};
use crate::{
    auth::{AuthError, local::METADATA_MAX_BYTES},
    generation::RequestError,
    jobs::JobError,
    models::enum_text,
    payments::ledger::LedgerError,
    realtime::RealtimeError,
    storage::{IntakeError, StorageError},
};

impl From<DbErr> for ApiError {
    fn from(error: DbErr) -> Self {
        if is_outage(&error) {
            tracing::error!(%error, "the database cannot be reached");
            return Self::database_unavailable();
        }
        tracing::error!(%error, "a statement failed");
        Self::internal()
    }
}

/// Whether the database is away, as opposed to a statement of ours being wrong.
fn is_outage(error: &DbErr) -> bool {
    let runtime = match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => return true,
        DbErr::Exec(runtime) | DbErr::Query(runtime) => runtime,
        _ => return false,
    };
    match runtime {
        RuntimeErr::SqlxError(error) => match error.as_ref() {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => true,
            // Classes 57 (operator intervention: shutting down, starting up) and 08 (connection).
            sqlx::Error::Database(error) => error
                .code()
                .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")),
            _ => false,
        },
        RuntimeErr::Internal(_) => false,
    }
}

impl From<loco_rs::Error> for ApiError {
    fn from(error: loco_rs::Error) -> Self {
        tracing::error!(%error, "the framework failed");
        Self::internal()
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let unauthorized = |code, text: &str| Self::new(StatusCode::UNAUTHORIZED, code, text);
        match error {
            AuthError::Unauthenticated => Self::unauthorized(),
            AuthError::ClaimsRefused => {
                unauthorized(ErrorCode::InvalidToken, "Invalid authentication token")
            }
            AuthError::SessionInvalid => {
                unauthorized(ErrorCode::SessionInvalid, "Session is no longer valid")
            }
            AuthError::InvalidCredentials => unauthorized(
                ErrorCode::InvalidCredentials,
                "Invalid email or password. Use forgot password to reset your password.",
            ),
            AuthError::EmailTaken => Self::new(
                StatusCode::CONFLICT,
                ErrorCode::UserAlreadyExists,
                "Email is already registered",
            ),
            AuthError::WeakPassword => Self::bad_request(
                ErrorCode::WeakPassword,
                "Password must be between 8 and 128 characters.",
            ),
            AuthError::LeakedPassword => Self::bad_request(
                ErrorCode::WeakPassword,
                "This password is too easy to guess. Please choose another one.",
            ),
            AuthError::SamePassword => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                ErrorCode::SamePassword,
                "New password should be different from the old password.",
            ),
            AuthError::EmailNotConfirmed => {
                unauthorized(ErrorCode::EmailNotConfirmed, "Email not confirmed")
            }
            AuthError::LinkInvalid => Self::bad_request(
                ErrorCode::LinkExpired,
                "Email link is invalid or has expired",
            ),
            AuthError::FlowNotFound => Self::new(
                StatusCode::NOT_FOUND,
                ErrorCode::FlowNotFound,
                "invalid flow state, no valid flow state found",
            ),
            AuthError::FlowExpired => Self::new(
                StatusCode::FORBIDDEN,
                ErrorCode::FlowExpired,
                "invalid flow state, flow state has expired",
            ),
            AuthError::BadVerifier => Self::bad_request(
                ErrorCode::BadCodeVerifier,
                "code challenge does not match previously saved code verifier",
            ),
            AuthError::MetadataTooLarge => Self::validation(vec![format!(
                "data must not be larger than {METADATA_MAX_BYTES} bytes"
            )]),
            AuthError::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::ServiceBusy,
                "The service is busy. Please try again in a moment.",
            )
            .retry_after(2),
            AuthError::RefreshTokenInvalid => Self::bad_request(
                ErrorCode::RefreshTokenNotFound,
                "Invalid Refresh Token: Refresh Token Not Found",
            ),
            AuthError::ResetTokenInvalid => Self::bad_request(
                ErrorCode::ResetTokenInvalid,
                "Invalid or expired reset token",
            ),
            AuthError::GoogleRefused(reason) => {
                tracing::info!(reason, "a Google sign-in was refused");
                Self::bad_request(ErrorCode::GoogleRefused, "Google authentication failed")
            }
            AuthError::ProviderRefused { code, text } if code == "weak_password" => {
                Self::bad_request(ErrorCode::WeakPassword, text)
            }
            AuthError::ProviderRefused { text, .. } => {
                Self::bad_request(ErrorCode::IdentityRefused, text)
            }
            AuthError::DeveloperNotMade(text) => Self::bad_request(
                ErrorCode::IdentityRefused,
                format!("Failed to create dev user: {text}"),
            ),
            AuthError::RateLimited { retry_after } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                ErrorCode::TooManyRequests,
                "Too many requests. Please wait a moment and try again.",
            )
            .retry_after(retry_after.map_or(60, |wait| wait.as_secs().max(1))),
            AuthError::Unavailable(reason) => {
                tracing::error!(reason, "the identity provider is not available");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    ErrorCode::IdentityUnavailable,
                    "Signing in is temporarily unavailable. Please try again.",
                )
                .retry_after(2)
            }
            AuthError::Crypto(detail) => {
                tracing::error!(detail, "credentials could not be processed");
                Self::internal()
            }
            AuthError::Database(error) => error.into(),
        }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Insufficient {
                required,
                available,
            } => Self::new(
                StatusCode::PAYMENT_REQUIRED,
                ErrorCode::InsufficientCredits,
                format!(
                    "Insufficient credits. This costs {required} and you have {available}. \
                     Please purchase more credits to continue."
                ),
            )
            .with("required", required)
            .with("available", available),
            LedgerError::Database(error) => error.into(),
            LedgerError::UnknownUser | LedgerError::NothingHeld(_) => {
                tracing::error!(%error, "the ledger refused a posting");
                Self::internal()
            }
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::QueueFull { max_queued } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                ErrorCode::TooManyJobs,
                format!("You have {max_queued} waiting generations already. Please wait for some to finish."),
            )
            .retry_after(10),
            JobError::NotFound => Self::not_found("Job not found"),
            JobError::Final(status) => Self::new(
                StatusCode::CONFLICT,
                ErrorCode::JobFinal,
                format!(
                    "The generation is {} already and cannot be cancelled.",
                    enum_text(&status).to_lowercase()
                ),
            ),
            JobError::KeyTaken => Self::key_in_use(),
            JobError::Stale => Self::new(
                StatusCode::CONFLICT,
                ErrorCode::Conflict,
                "The generation changed meanwhile.",
            ),
            // 500, not 503: the client repeats a 503 on its own.
            JobError::Undecided(id) => {
                tracing::error!(job.id = %id, "an admission could not be decided");
                Self::internal()
            }
            JobError::Ledger(error) => error.into(),
            JobError::Database(error) => error.into(),
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound | StorageError::InvalidKey => Self::not_found("File not found"),
            StorageError::RangeNotSatisfiable => Self::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                ErrorCode::ValidationFailed,
                "The range lies outside the file.",
            ),
            StorageError::Intake(error) => error.into(),
            StorageError::Unavailable(detail) => {
                tracing::error!(detail, "the object storage failed");
                Self::new(
                    StatusCode::BAD_GATEWAY,
                    ErrorCode::StorageUnavailable,
                    "Files cannot be stored or read right now. Please try again.",
                )
            }
        }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let text = error.to_string();
        match error {
            RequestError::UnsupportedModel(_) | RequestError::RetiredModel { .. } => {
                Self::bad_request(ErrorCode::UnsupportedModel, text)
            }
            RequestError::UnsupportedProvider(_) | RequestError::InvalidOption(_) => {
                Self::bad_request(ErrorCode::ValidationFailed, text)
            }
            RequestError::InvalidReference(_) => {
                Self::bad_request(ErrorCode::InvalidReference, text)
            }
            RequestError::NotConfigured(_) | RequestError::NoProvider { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::ProviderUnavailable,
                text,
            ),
            RequestError::NoScenes(detail) => {
                tracing::error!(detail, "the scenes cannot be used");
                Self::new(StatusCode::BAD_GATEWAY, ErrorCode::StorageUnavailable, text)
            }
            RequestError::Suspended { retry_in, .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::ProviderUnavailable,
                text,
            )
            .retry_after(retry_in.as_secs().saturating_add(1)),
            RequestError::Storage(error) => error.into(),
            RequestError::Intake(error) => error.into(),
            RequestError::Net(error) => {
                tracing::error!(%error, "a provider client could not be made");
                Self::internal()
            }
            RequestError::Job(error) => error.into(),
        }
    }
}

impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::TooLarge => Self::payload_too_large(),
            IntakeError::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::ServiceBusy,
                "Too many large requests are being worked on. Please try again in a moment.",
            )
            .retry_after(2),
            IntakeError::Disk(error) => {
                tracing::error!(%error, "a request body could not be kept on disk");
                Self::internal()
            }
        }
    }
}

impl From<RealtimeError> for ApiError {
    fn from(error: RealtimeError) -> Self {
        let text = error.to_string();
        match error {
            RealtimeError::TooMany { .. } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                ErrorCode::TooManyRequests,
                text,
            )
            .retry_after(5),
            RealtimeError::Full => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::ServiceBusy,
                text,
            )
            .retry_after(5),
            RealtimeError::Database(error) => error.into(),
        }
    }
}
