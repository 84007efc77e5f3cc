//! Sign-up, tokens, log-out.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use loco_rs::app::AppContext;

use super::{accounts, back, bearer, gotrue_error, signed_in};
use crate::{
    auth::{
        AuthError,
        google::{GoogleSignIn, Nonce},
        local::{LocalAccounts, Session, SignedUp},
    },
    dtos::gotrue::{CodeGrant, IdTokenGrant, PasswordGrant, RefreshGrant, SignUp},
    http::{ApiError, ApiResult, ErrorCode, JsonBody, Limited, query::QueryParams},
    models::auth_sessions::LogoutScope,
    views::gotrue::unconfirmed_user,
};

/// Creates an account. It is signed in at once, because the web client cannot wait for a mail; without a
/// password, or where settings ask for confirmation, a mail is sent instead.
pub(super) async fn sign_up(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    limited: Limited,
    query: QueryParams,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let accounts = accounts(&ctx, &headers)?;
    let dto = SignUp::parse(body)?;
    limited.sign_up().await?;
    let metadata = dto.data.clone();
    let signed_up = accounts
        .sign_up(
            &dto.email,
            dto.password.as_deref(),
            dto.data,
            back(&query, &headers, dto.challenge),
        )
        .await
        .map_err(gotrue_error)?;
    Ok(match signed_up {
        SignedUp::Session(session) => signed_in(&session).into_response(),
        SignedUp::MailSent => Json(unconfirmed_user(&dto.email, metadata)).into_response(),
    })
}

/// Gives a session for a password, a refresh token, a PKCE code, or Google's ID token.
pub(super) async fn token(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    limited: Limited,
    query: QueryParams,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let accounts = accounts(&ctx, &headers)?;
    let session = match query.text("grant_type") {
        Some("password") => {
            let dto = PasswordGrant::parse(body)?;
            let log_in = accounts.log_in(&dto.email, &dto.password);
            limited.log_in(&dto.email, log_in).await?
        }
        Some("refresh_token") => {
            let dto = RefreshGrant::parse(body)?;
            limited.refresh()?;
            let refreshed = accounts.refresh(&dto.refresh_token).await;
            return refreshed
                .map(|session| signed_in(&session).into_response())
                .map_err(|error| kept_session(gotrue_error(error)));
        }
        Some("pkce") => {
            let dto = CodeGrant::parse(body)?;
            limited.exchange().await?;
            accounts
                .exchange_code(&dto.auth_code, &dto.code_verifier)
                .await
        }
        Some("id_token") => {
            let dto = IdTokenGrant::parse(body)?;
            limited.exchange().await?;
            by_id_token(&ctx, &accounts, &dto).await
        }
        _ => {
            return Err(ApiError::bad_request(
                ErrorCode::UnsupportedGrantType,
                "unsupported_grant_type",
            ));
        }
    };
    Ok(signed_in(&session.map_err(gotrue_error)?).into_response())
}

/// A session for an ID token that the client got from Google itself.
async fn by_id_token(
    ctx: &AppContext,
    accounts: &LocalAccounts,
    dto: &IdTokenGrant,
) -> Result<Session, AuthError> {
    let google =
        GoogleSignIn::of(ctx).ok_or(AuthError::GoogleRefused("GOOGLE_CLIENT_ID is not set"))?;
    let nonce = dto.nonce.as_deref().map_or(Nonce::Absent, Nonce::HashOf);
    let account = google.verify(&dto.id_token, nonce).await?;
    accounts.sign_in_with_google(&account).await
}

/// A refresh that failed by our fault: clients drop their session on a 500 and repeat on a 503 (client
/// contract 6).
fn kept_session(error: ApiError) -> ApiError {
    if error.status().is_server_error() {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::ServiceBusy,
            "The session cannot be refreshed right now. Please try again.",
        )
        .retry_after(1)
    } else {
        error
    }
}

/// Ends sessions: `scope` is `global` (default), `local` or `others`.
pub(super) async fn log_out(
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
    accounts(&ctx, &headers)?
        .log_out(caller.profile.id, caller.claims.session_id, scope)
        .await
        .map_err(gotrue_error)?;
    Ok(StatusCode::NO_CONTENT)
}
