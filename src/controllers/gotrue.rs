//! `/auth/v1/*`: the GoTrue-compatible subset that the web client's identity library calls (client
//! contract 6). Errors below this path have GoTrue's shape.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use loco_rs::prelude::*;
use serde_json::Value;
use subtle::ConstantTimeEq;

use crate::{
    auth::{AuthError, local::LocalAccounts, passwords::Passwords, tokens::TokenKeys},
    dtos::auth::{GoTrueSignUp, PasswordGrant, RefreshGrant},
    http::{
        ApiError, ApiResult, Caller, ErrorCode, JsonBody, caller::bearer_of, query::QueryParams,
    },
    models::auth_sessions::LogoutScope,
    settings::Settings,
    views::auth::{gotrue_session, gotrue_user},
};

/// What the routes work with, once the public key was checked.
struct Accounts {
    ctx: AppContext,
    settings: Arc<Settings>,
    keys: Arc<TokenKeys>,
    passwords: Arc<Passwords>,
}

impl Accounts {
    /// Checks the `apikey` header where a public key is configured.
    fn open(ctx: AppContext, headers: &HeaderMap) -> ApiResult<Self> {
        let settings = Settings::of(&ctx)?;
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
        let (keys, passwords) = (TokenKeys::of(&ctx)?, Passwords::of(&ctx)?);
        Ok(Self {
            ctx,
            settings,
            keys,
            passwords,
        })
    }

    fn provider(&self) -> LocalAccounts<'_> {
        LocalAccounts {
            db: &self.ctx.db,
            keys: &self.keys,
            passwords: &self.passwords,
            settings: &self.settings,
        }
    }
}

/// Creates an account and signs it in at once: this client cannot wait for a mail.
async fn sign_up(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> ApiResult<Json<Value>> {
    let accounts = Accounts::open(ctx, &headers)?;
    let dto = GoTrueSignUp::parse(body)?;
    let session = accounts
        .provider()
        .sign_up(&dto.email, &dto.password, dto.data)
        .await
        .map_err(gotrue_error)?;
    Ok(Json(gotrue_session(&session)))
}

/// Gives a session for a password or a refresh token.
async fn token(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    query: QueryParams,
    JsonBody(body): JsonBody,
) -> ApiResult<Json<Value>> {
    let accounts = Accounts::open(ctx, &headers)?;
    let provider = accounts.provider();
    let session = match query.text("grant_type") {
        Some("password") => {
            let dto = PasswordGrant::parse(body)?;
            provider.log_in(&dto.email, &dto.password).await
        }
        Some("refresh_token") => {
            let dto = RefreshGrant::parse(body)?;
            provider.refresh(&dto.refresh_token).await
        }
        _ => {
            return Err(ApiError::bad_request(
                ErrorCode::UnsupportedGrantType,
                "unsupported_grant_type",
            ));
        }
    };
    Ok(Json(gotrue_session(&session.map_err(gotrue_error)?)))
}

/// The account of the bearer.
async fn user(State(ctx): State<AppContext>, headers: HeaderMap) -> ApiResult<Json<Value>> {
    let caller = bearer(&ctx, &headers).await?;
    let accounts = Accounts::open(ctx, &headers)?;
    let account = accounts
        .provider()
        .account(caller.profile.id)
        .await
        .map_err(gotrue_error)?;
    Ok(Json(gotrue_user(&account)))
}

/// Ends sessions: `scope` is `global` (default), `local` or `others`.
async fn log_out(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    query: QueryParams,
) -> ApiResult<StatusCode> {
    let caller = bearer(&ctx, &headers).await?;
    let scope = match query.text("scope") {
        None | Some("global") => LogoutScope::Global,
        Some("local") => LogoutScope::Local,
        Some("others") => LogoutScope::Others,
        Some(_) => {
            return Err(ApiError::bad_request(
                ErrorCode::ValidationFailed,
                "scope must be global, local or others",
            ));
        }
    };
    let accounts = Accounts::open(ctx, &headers)?;
    accounts
        .provider()
        .log_out(caller.profile.id, caller.claims.session_id, scope)
        .await
        .map_err(gotrue_error)?;
    Ok(StatusCode::NO_CONTENT)
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

/// GoTrue's statuses and texts for what our account rooms say.
fn gotrue_error(error: AuthError) -> ApiError {
    let answer = |status, code, text: &str| ApiError::new(status, code, text);
    match error {
        AuthError::InvalidCredentials => answer(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidCredentials,
            "Invalid login credentials",
        ),
        AuthError::EmailTaken => answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::UserAlreadyExists,
            "User already registered",
        ),
        AuthError::WeakPassword => answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::WeakPassword,
            "Password should be at least 8 characters.",
        ),
        AuthError::SessionInvalid => answer(
            StatusCode::FORBIDDEN,
            ErrorCode::SessionInvalid,
            "Session from session_id claim in JWT does not exist",
        ),
        other => other.into(),
    }
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/auth/v1")
        .add("/signup", post(sign_up))
        .add("/token", post(token))
        .add("/user", get(user))
        .add("/logout", post(log_out))
}
