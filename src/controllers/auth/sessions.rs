//! Signing up, in and out, and telling who somebody is.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use loco_rs::prelude::*;

use super::{as_unauthorized, load, profile_of, unloadable};
use crate::{
    auth::{
        AuthError,
        identity::{self, SignedUp},
        tokens::TokenKeys,
    },
    dtos::auth::{GoogleProof, LogIn, SignUp, TokenPair},
    http::{
        ApiError, ApiResult, ErrorCode, JsonBody, Limited, caller::bearer_of, edge,
        query::QueryParams,
    },
    settings::Settings,
    views::{
        auth::{
            CallbackView, DeveloperView, GoogleView, LogInView, MessageView, SignUpView,
            provider_account,
        },
        users::UserView,
    },
};

/// The account that `dev-login` signs in.
const DEVELOPER: (&str, &str) = ("dev@daygen.ai", "Dev User");

/// Creates an account, with a password or by a mailed link. The caller then logs in.
pub(super) async fn sign_up(
    State(ctx): State<AppContext>,
    limited: Limited,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<SignUpView>)> {
    let dto = SignUp::parse(body)?;
    let identity = identity::of(&ctx)?;
    let name = dto.display_name.as_deref();
    let (message, needs_email_confirmation) = match dto.password {
        None => {
            limited.mail(&dto.email).await?;
            identity.send_magic_link(&dto.email, name).await?;
            (
                "Check your email for the magic link to complete your registration.",
                true,
            )
        }
        Some(password) => {
            limited.sign_up().await?;
            match identity.sign_up(&dto.email, &password, name).await? {
                SignedUp::Ready => ("Account created successfully.", false),
                SignedUp::Unconfirmed => ("Check your email to confirm your account.", true),
            }
        }
    };
    let view = SignUpView {
        message,
        needs_email_confirmation,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Logs in with e-mail and password.
pub(super) async fn log_in(
    State(ctx): State<AppContext>,
    limited: Limited,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<LogInView>)> {
    let dto = LogIn::parse(body)?;
    let identity = identity::of(&ctx)?;
    let signed_in = limited
        .log_in(&dto.email, identity.log_in(&dto.email, &dto.password))
        .await?
        .map_err(|error| as_unauthorized(error, ""))?;
    let user = profile_of(&ctx, &signed_in).await;
    let view = LogInView {
        access_token: signed_in.access_token,
        refresh_token: signed_in.refresh_token,
        expires_in: signed_in.expires_in,
        user,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Signs in with a Google ID token.
pub(super) async fn verify_google(
    State(ctx): State<AppContext>,
    limited: Limited,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<GoogleView>)> {
    let dto = GoogleProof::parse(body);
    let Some(id_token) = dto.id_token else {
        return Err(ApiError::bad_request(
            ErrorCode::ValidationFailed,
            "No ID token provided",
        ));
    };
    limited.exchange().await?;
    let signed_in = identity::of(&ctx)?
        .sign_in_with_google(&id_token, dto.nonce.as_deref())
        .await?;
    let profile = load(&ctx, &signed_in.access_token).await?;
    let view = GoogleView {
        message: "Google authentication successful",
        user: provider_account(&signed_in.account),
        profile,
        access_token: signed_in.access_token,
        refresh_token: signed_in.refresh_token,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Signs anybody in as the developer, where that is switched on; elsewhere there is no such route.
pub(super) async fn dev_log_in(
    State(ctx): State<AppContext>,
    method: Method,
    uri: Uri,
) -> ApiResult<(StatusCode, Json<DeveloperView>)> {
    if !Settings::of(&ctx)?.identity.dev_login {
        return Err(edge::route_not_found(method, uri).await);
    }
    let (email, name) = DEVELOPER;
    let signed_in = identity::of(&ctx)?
        .sign_in_developer(email, name)
        .await
        .map_err(|error| as_unauthorized(error, "Dev login failed: "))?;
    let user = profile_of(&ctx, &signed_in).await;
    let view = DeveloperView {
        access_token: signed_in.access_token,
        refresh_token: signed_in.refresh_token,
        user,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// The caller's profile with credits.
pub(super) async fn me(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
) -> ApiResult<Json<UserView>> {
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
    Ok(Json(load(&ctx, token).await?))
}

/// Tells who the bearer of tokens is; the client calls it on every change of its session.
pub(super) async fn oauth_callback(
    State(ctx): State<AppContext>,
    JsonBody(body): JsonBody,
) -> ApiResult<(StatusCode, Json<CallbackView>)> {
    let view = answer_tokens(&ctx, TokenPair::parse(body)).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// The same for tokens in the address.
pub(super) async fn callback(State(ctx): State<AppContext>, query: QueryParams) -> Response {
    let pair = TokenPair {
        access_token: query.text("access_token").map(ToOwned::to_owned),
        refresh_token: query.text("refresh_token").map(ToOwned::to_owned),
    };
    let mut response = match answer_tokens(&ctx, pair).await {
        Ok(view) => Json(view).into_response(),
        Err(error) => error.into_response(),
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn answer_tokens(ctx: &AppContext, pair: TokenPair) -> ApiResult<CallbackView> {
    let access_token = pair.access_token.filter(|token| !token.is_empty());
    let access_token = access_token.ok_or_else(|| {
        ApiError::bad_request(ErrorCode::ValidationFailed, "No access token provided")
    })?;
    Ok(CallbackView {
        message: "Authentication successful",
        user: load(ctx, &access_token).await?,
        access_token,
        refresh_token: pair.refresh_token,
    })
}

/// Ends the session of the given token; without a good one there is nothing to end.
pub(super) async fn sign_out(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
) -> ApiResult<(StatusCode, Json<MessageView>)> {
    if let Some(token) = bearer_of(&headers) {
        match TokenKeys::of(&ctx)?.verify(token).await {
            Ok(claims) => identity::of(&ctx)?.sign_out(token, &claims).await?,
            Err(AuthError::Unauthenticated | AuthError::ClaimsRefused) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let view = MessageView {
        message: "Successfully signed out.",
    };
    Ok((StatusCode::CREATED, Json(view)))
}
