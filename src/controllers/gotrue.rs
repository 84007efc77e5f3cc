//! `/auth/v1/*`: the part of GoTrue's API that supabase-js calls (client contract 6), over the local
//! accounts. Errors below this path have GoTrue's shape.

mod about;
mod google;
mod links;
mod reset_page;
mod sessions;
mod user;

use std::sync::Arc;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, StatusCode, header},
};
use loco_rs::prelude::*;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use crate::{
    auth::{
        AuthError,
        local::{Back, LocalAccounts, Session},
        pkce::Challenge,
    },
    http::{ApiError, ApiResult, Caller, ErrorCode, caller::bearer_of, query::QueryParams},
    settings::Settings,
    views::gotrue::session as session_view,
};

/// The accounts, once the public key was checked.
fn accounts(ctx: &AppContext, headers: &HeaderMap) -> ApiResult<Arc<LocalAccounts>> {
    let settings = Settings::of(ctx)?;
    if let Some(wanted) = &settings.auth.anon_key {
        let given = headers
            .get("apikey")
            .map(|value| value.as_bytes())
            .unwrap_or_default();
        if !bool::from(given.ct_eq(wanted.expose().as_bytes())) {
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                ErrorCode::Unauthorized,
                "Invalid API key",
            ));
        }
    }
    Ok(LocalAccounts::of(ctx)?)
}

/// An answer that no cache may keep.
type Unkept = ([(HeaderName, &'static str); 1], Json<Value>);

fn signed_in(session: &Session) -> Unkept {
    (
        [(header::CACHE_CONTROL, "no-store")],
        Json(session_view(session)),
    )
}

/// The empty object that says nothing about whether an address is known.
fn nothing() -> Json<Value> {
    Json(json!({}))
}

async fn bearer(ctx: &AppContext, headers: &HeaderMap) -> ApiResult<Caller> {
    let Some(token) = bearer_of(headers) else {
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            ErrorCode::Unauthorized,
            "This endpoint requires a valid Bearer token",
        ));
    };
    Caller::by_token(ctx, token).await.map_err(|error| {
        if error.status() == StatusCode::UNAUTHORIZED {
            ApiError::new(
                StatusCode::FORBIDDEN,
                ErrorCode::InvalidToken,
                "invalid JWT: unable to parse or verify signature",
            )
        } else {
            error
        }
    })
}

/// Where a mailed link will lead: the wanted address, by query or header, and the challenge of the body.
fn back(query: &QueryParams, headers: &HeaderMap, challenge: Option<Challenge>) -> Back {
    let wanted = query.text("redirect_to").or_else(|| {
        headers
            .get("redirect_to")
            .and_then(|value| value.to_str().ok())
    });
    Back {
        redirect_to: wanted.map(ToOwned::to_owned),
        challenge,
    }
}

/// GoTrue's statuses and texts for what the auth room says.
fn gotrue_error(error: AuthError) -> ApiError {
    let answer = |status, code, text: &str| ApiError::new(status, code, text);
    let weak = |text: &str, reason: &str| {
        answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::WeakPassword,
            text,
        )
        .with(
            "weak_password",
            json!({"message": text, "reasons": [reason]}),
        )
    };
    match error {
        AuthError::InvalidCredentials => answer(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidCredentials,
            "Invalid login credentials",
        ),
        AuthError::EmailNotConfirmed => answer(
            StatusCode::BAD_REQUEST,
            ErrorCode::EmailNotConfirmed,
            "Email not confirmed",
        ),
        AuthError::EmailTaken => answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::UserAlreadyExists,
            "User already registered",
        ),
        AuthError::WeakPassword => weak("Password should be 8 to 128 characters.", "length"),
        AuthError::LeakedPassword => weak(
            "Password is known to be weak and easy to guess, please choose a different one.",
            "pwned",
        ),
        AuthError::LinkInvalid => answer(
            StatusCode::FORBIDDEN,
            ErrorCode::LinkExpired,
            "Token has expired or is invalid",
        ),
        AuthError::SessionInvalid => answer(
            StatusCode::FORBIDDEN,
            ErrorCode::SessionInvalid,
            "Session from session_id claim in JWT does not exist",
        ),
        other => other.into(),
    }
}

/// The same where the taken address is one that an account should change to.
fn change_error(error: AuthError) -> ApiError {
    match error {
        AuthError::EmailTaken => ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::EmailExists,
            "A user with this email address has already been registered",
        ),
        other => gotrue_error(other),
    }
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/auth/v1")
        .add("/signup", post(sessions::sign_up))
        .add("/token", post(sessions::token))
        .add("/logout", post(sessions::log_out))
        .add("/user", get(user::show))
        .add("/user", put(user::change))
        .add("/recover", post(links::recover))
        .add("/otp", post(links::otp))
        .add("/magiclink", post(links::otp))
        .add("/resend", post(links::resend))
        .add("/verify", get(links::follow))
        .add("/verify", post(links::verify))
        .add("/reset-password", get(reset_page::show))
        .add("/reset-password", post(reset_page::submit))
        .add("/authorize", get(google::authorize))
        .add("/callback", get(google::callback))
        .add("/settings", get(about::settings))
        .add("/health", get(about::health))
        .add("/.well-known/jwks.json", get(about::key_set))
}
