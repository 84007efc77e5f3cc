//! Limits in front of the identity routes, with the headers that tell callers how they stand.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, request::Parts},
};
use loco_rs::app::AppContext;

use super::{
    client_address::ClientAddress,
    error::{ApiError, ApiResult, ErrorCode},
};
use crate::auth::{
    AuthError,
    limits::{Attempt, LimitError, Limits, Standing},
};

tokio::task_local! {
    static STANDING: Arc<Mutex<Option<Standing>>>;
}

/// The limits, seen from the caller of this request.
pub struct Limited {
    limits: Arc<Limits>,
    address: ClientAddress,
}

impl FromRequestParts<AppContext> for Limited {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        ctx: &AppContext,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self {
            limits: Limits::of(ctx)?,
            address: ClientAddress::from_request_parts(parts, ctx).await?,
        })
    }
}

impl Limited {
    /// Counts a sign-up.
    ///
    /// # Errors
    /// 429.
    pub async fn sign_up(&self) -> ApiResult<()> {
        note(self.limits.sign_up(self.address.0).await?);
        Ok(())
    }

    /// Runs a log-in with a password, unless too many wrong ones were tried. Only an answer that the
    /// password is wrong counts.
    ///
    /// # Errors
    /// 429, and what `log_in` answers.
    pub async fn log_in<T>(
        &self,
        email: &str,
        log_in: impl Future<Output = Result<T, AuthError>>,
    ) -> ApiResult<Result<T, AuthError>> {
        let (attempt, standing) = self.limits.log_in(self.address.0, email).await?;
        note(standing);
        let outcome = log_in.await;
        self.judge(attempt, &outcome).await?;
        Ok(outcome)
    }

    async fn judge<T>(&self, attempt: Attempt, outcome: &Result<T, AuthError>) -> ApiResult<()> {
        match outcome {
            Ok(_) => self.limits.logged_in(attempt).await?,
            Err(AuthError::InvalidCredentials) => {}
            Err(_) => self.limits.undecided(attempt).await?,
        }
        Ok(())
    }

    /// Counts a mail to this (lower-case) address.
    ///
    /// # Errors
    /// 429.
    pub async fn mail(&self, email: &str) -> ApiResult<()> {
        note(self.limits.mail(self.address.0, email).await?);
        Ok(())
    }

    /// Counts a link that is tried, or a code together with its (lower-case) address.
    ///
    /// # Errors
    /// 429.
    pub async fn verify(&self, email: Option<&str>) -> ApiResult<()> {
        note(self.limits.verify(self.address.0, email).await?);
        Ok(())
    }

    /// Counts an exchange: a PKCE code, an ID token, a way to Google.
    ///
    /// # Errors
    /// 429.
    pub async fn exchange(&self) -> ApiResult<()> {
        note(self.limits.exchange(self.address.0).await?);
        Ok(())
    }

    /// Counts a refresh.
    ///
    /// # Errors
    /// 503: on anything else clients drop their session (client contract 6).
    pub fn refresh(&self) -> ApiResult<()> {
        Ok(self.limits.refresh(self.address.0)?)
    }
}

impl From<LimitError> for ApiError {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::TooMany {
                retry_after_s,
                standing,
                is_mail,
            } => {
                note(standing);
                let code = if is_mail {
                    ErrorCode::TooManyMails
                } else {
                    ErrorCode::TooManyRequests
                };
                let text = if is_mail {
                    format!(
                        "For security purposes, you can only request this after {retry_after_s} seconds."
                    )
                } else {
                    format!("Too many attempts. Please try again in {retry_after_s} seconds.")
                };
                Self::new(StatusCode::TOO_MANY_REQUESTS, code, text).retry_after(retry_after_s)
            }
            LimitError::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::ServiceBusy,
                "Too many requests at once. Please try again in a moment.",
            )
            .retry_after(1),
            LimitError::Database(error) => error.into(),
        }
    }
}

/// Keeps how the caller stands for the answer's headers.
fn note(standing: Standing) {
    STANDING
        .try_with(|slot| {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
        })
        .ok();
}

/// Runs a request; the headers of a limit that it met go to the second part.
pub async fn watched<T>(request: impl Future<Output = T>) -> (T, Option<Standing>) {
    let slot = Arc::new(Mutex::new(None));
    let answer = STANDING.scope(Arc::clone(&slot), request).await;
    let standing = *slot.lock().unwrap_or_else(PoisonError::into_inner);
    (answer, standing)
}

/// Writes the RateLimit headers.
pub fn write(headers: &mut HeaderMap, standing: Standing) {
    for (name, value) in [
        ("ratelimit-limit", u64::from(standing.limit)),
        ("ratelimit-remaining", u64::from(standing.remaining)),
        ("ratelimit-reset", standing.reset_s),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}
