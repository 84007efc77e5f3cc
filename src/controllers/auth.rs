//! `/api/auth/*`: sign-up, log-in, the caller's profile, log-out (platform contract 4).

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use loco_rs::prelude::*;
use serde_json::Map;

use crate::{
    auth::{AuthError, local::LocalAccounts, passwords::Passwords, tokens::TokenKeys},
    dtos::auth::{LogIn, SignUp, TokenPair},
    http::{ApiError, ApiResult, Caller, ErrorCode, JsonBody, caller::bearer_of},
    models::{auth_sessions::LogoutScope, users},
    settings::Settings,
    storage::Storage,
    views::{
        auth::{CallbackView, LogInView, MessageView, SignUpView},
        users::UserView,
    },
};

/// Creates an account. The caller then logs in.
async fn sign_up(
    State(ctx): State<AppContext>,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<SignUpView>)> {
    let dto = SignUp::parse(body)?;
    let Some(password) = dto.password else {
        return Err(ApiError::validation(vec![
            "password must be shorter than or equal to 128 characters".to_owned(),
            "password must be longer than or equal to 8 characters".to_owned(),
            "password must be a string".to_owned(),
        ]));
    };
    let mut metadata = Map::new();
    if let Some(name) = dto.display_name {
        metadata.insert("display_name".to_owned(), name.into());
    }
    let (settings, keys, passwords) = parts(&ctx)?;
    accounts(&ctx, &settings, &keys, &passwords)
        .sign_up(&dto.email, &password, metadata)
        .await?;
    let view = SignUpView {
        message: "Account created successfully.",
        needs_email_confirmation: false,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Logs in with e-mail and password.
async fn log_in(
    State(ctx): State<AppContext>,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<LogInView>)> {
    let dto = LogIn::parse(body)?;
    let (settings, keys, passwords) = parts(&ctx)?;
    let session = accounts(&ctx, &settings, &keys, &passwords)
        .log_in(&dto.email, &dto.password)
        .await?;
    let profile = users::Entity::find_profile(&ctx.db, session.account.user_id)
        .await?
        .ok_or(AuthError::SessionInvalid)?;
    let storage = Storage::of(&ctx)?;
    let view = LogInView {
        access_token: session.access_token,
        refresh_token: session.refresh_token,
        expires_in: session.expires_in,
        user: UserView::new(&profile, |key| storage.public_url(key)),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// The caller's profile with credits. The client's texts differ from the guard's.
async fn me(State(ctx): State<AppContext>, headers: HeaderMap) -> ApiResult<Json<UserView>> {
    // A raw token without scheme is taken too (platform contract 4.6).
    let raw = || {
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
            .filter(|text| !text.is_empty() && !text.contains(char::is_whitespace))
            .filter(|text| !text.eq_ignore_ascii_case("bearer"))
    };
    let Some(token) = bearer_of(&headers).or_else(raw) else {
        return Err(unloadable("No token provided"));
    };
    let caller = load(&ctx, token).await?;
    let storage = Storage::of(&ctx)?;
    Ok(Json(UserView::new(&caller.profile, |key| {
        storage.public_url(key)
    })))
}

/// Tells who the bearer of tokens is; the client calls it on every change of its session.
async fn oauth_callback(
    State(ctx): State<AppContext>,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<CallbackView>)> {
    let dto = TokenPair::parse(body);
    let Some(access_token) = dto.access_token.filter(|token| !token.is_empty()) else {
        return Err(ApiError::bad_request(
            ErrorCode::ValidationFailed,
            "No access token provided",
        ));
    };
    let caller = load(&ctx, &access_token).await?;
    let storage = Storage::of(&ctx)?;
    let view = CallbackView {
        message: "Authentication successful",
        user: UserView::new(&caller.profile, |key| storage.public_url(key)),
        access_token,
        refresh_token: dto.refresh_token,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Ends the session of the given token; without a good one there is nothing to end.
async fn sign_out(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
) -> ApiResult<(StatusCode, Json<MessageView>)> {
    let (settings, keys, passwords) = parts(&ctx)?;
    let claims = bearer_of(&headers).and_then(|token| keys.verify(token).ok());
    if let Some(claims) = claims {
        accounts(&ctx, &settings, &keys, &passwords)
            .log_out(claims.subject, claims.session_id, LogoutScope::Local)
            .await?;
    }
    let view = MessageView {
        message: "Successfully signed out.",
    };
    Ok((StatusCode::CREATED, Json(view)))
}

async fn load(ctx: &AppContext, token: &str) -> ApiResult<Caller> {
    Caller::by_token(ctx, token).await.map_err(|error| {
        if error.status() == StatusCode::UNAUTHORIZED {
            unloadable("Unable to load user profile")
        } else {
            error
        }
    })
}

fn unloadable(text: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, text)
}

type Parts = (
    std::sync::Arc<Settings>,
    std::sync::Arc<TokenKeys>,
    std::sync::Arc<Passwords>,
);

fn parts(ctx: &AppContext) -> ApiResult<Parts> {
    Ok((Settings::of(ctx)?, TokenKeys::of(ctx)?, Passwords::of(ctx)?))
}

fn accounts<'a>(
    ctx: &'a AppContext,
    settings: &'a Settings,
    keys: &'a TokenKeys,
    passwords: &'a Passwords,
) -> LocalAccounts<'a> {
    LocalAccounts {
        db: &ctx.db,
        keys,
        passwords,
        settings,
    }
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/auth")
        .add("/signup", post(sign_up))
        .add("/login", post(log_in))
        .add("/me", get(me))
        .add("/oauth-callback", post(oauth_callback))
        .add("/signout", post(sign_out))
}
