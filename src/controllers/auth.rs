//! `/api/auth/*`: the same requests and answers over every identity provider (platform contract 4).

mod links;
mod sessions;

use axum::http::StatusCode;
use loco_rs::prelude::*;

use crate::{
    auth::{
        AuthError, first_sight,
        guard::Authenticated,
        identity::{self, SignedIn},
    },
    http::{ApiError, ApiResult, Caller, ErrorCode},
    storage::Storage,
    views::users::UserView,
};

/// Tells who the bearer of a token is; the client's texts differ from the guard's.
async fn load(ctx: &AppContext, token: &str) -> ApiResult<UserView> {
    let caller = Caller::by_token(ctx, token).await.map_err(|error| {
        if error.status() == StatusCode::UNAUTHORIZED {
            unloadable("Unable to load user profile")
        } else {
            error
        }
    })?;
    let identity = identity::of(ctx)?;
    let Caller { profile, claims } = caller;
    let known = Authenticated { profile, claims };
    let profile = first_sight::follow_address(&ctx.db, identity.as_ref(), token, known).await?;
    let storage = Storage::of(ctx)?;
    Ok(UserView::new(&profile, |key| storage.public_url(key)))
}

fn unloadable(text: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, text)
}

/// The profile of who just signed in; the tokens are worth having without it.
async fn profile_of(ctx: &AppContext, signed_in: &SignedIn) -> Option<UserView> {
    match load(ctx, &signed_in.access_token).await {
        Ok(user) => Some(user),
        Err(error) => {
            let status = error.status().as_u16();
            tracing::warn!(status, "somebody signed in whose profile cannot be had");
            None
        }
    }
}

/// A refusal in the provider's words that is about who somebody is (platform contract 4.2).
fn as_unauthorized(error: AuthError, prefix: &str) -> ApiError {
    match error {
        AuthError::ProviderRefused { text, .. } => ApiError::new(
            StatusCode::UNAUTHORIZED,
            ErrorCode::IdentityRefused,
            format!("{prefix}{text}"),
        ),
        other => other.into(),
    }
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/auth")
        .add("/signup", post(sessions::sign_up))
        .add("/login", post(sessions::log_in))
        .add("/google/verify", post(sessions::verify_google))
        .add("/dev-login", post(sessions::dev_log_in))
        .add("/me", get(sessions::me))
        .add("/oauth-callback", post(sessions::oauth_callback))
        .add("/callback", get(sessions::callback))
        .add("/signout", post(sessions::sign_out))
        .add("/forgot-password", post(links::forgot_password))
        .add("/reset-password", post(links::reset_password))
        .add("/magic-link", post(links::magic_link))
}
