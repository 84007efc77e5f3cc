//! Sign-in at Google by redirect: top-level navigations, so whatever happens leads back to the page that
//! began it.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use loco_rs::app::AppContext;

use super::{
    back, gotrue_error,
    links::{redirect, redirect_error, see_other},
};
use crate::{
    auth::{
        google_flow::GoogleFlow,
        local::{Back, LocalAccounts},
        pkce::Challenge,
    },
    http::{ApiError, ApiResult, ErrorCode, Limited, query::QueryParams},
};

/// Path of the way back, below the public base.
const CALLBACK: &str = "/auth/v1/callback";

fn disabled() -> ApiError {
    ApiError::bad_request(
        ErrorCode::SignInProviderDisabled,
        "Unsupported provider: provider is not enabled",
    )
}

/// Sends the browser to Google.
pub(super) async fn authorize(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    limited: Limited,
    query: QueryParams,
) -> ApiResult<Response> {
    let accounts = LocalAccounts::of(&ctx)?;
    if query.text("provider") != Some("google") {
        return Err(disabled());
    }
    let challenge = Challenge::read(
        query.text("code_challenge"),
        query.text("code_challenge_method"),
    )
    .map_err(|reason| ApiError::bad_request(ErrorCode::ValidationFailed, reason))?;
    let wanted = back(&query, &headers, challenge);
    let target = accounts
        .redirects()
        .or_frontend(wanted.redirect_to.as_deref());
    if let Err(error) = limited.exchange().await {
        return Ok(redirect_error(&target, &error));
    }
    let Some(google) = GoogleFlow::of(&ctx) else {
        return Ok(redirect_error(&target, &disabled()));
    };
    let state = accounts.begin_flow(&wanted).await.map_err(gotrue_error)?;
    let callback = format!("{}{CALLBACK}", accounts.public_base());
    let address = google
        .authorize_url(&state, &callback)
        .map_err(gotrue_error)?;
    Ok(see_other(&address))
}

/// Takes the browser back from Google, and leads it on with a code, tokens or an error.
pub(super) async fn callback(
    State(ctx): State<AppContext>,
    limited: Limited,
    query: QueryParams,
) -> ApiResult<Response> {
    let accounts = LocalAccounts::of(&ctx)?;
    let frontend = accounts.redirects().frontend();
    if let Err(error) = limited.exchange().await {
        return Ok(redirect_error(frontend, &error));
    }
    // Without a state of ours nobody knows what was begun.
    let Some(state) = query.text("state") else {
        return Ok(redirect_error(
            frontend,
            &bad_callback("no state came back"),
        ));
    };
    let began = match accounts.take_flow(state).await.map_err(gotrue_error) {
        Ok(began) => began,
        Err(error) if error.status().is_server_error() => return Err(error),
        Err(error) => return Ok(redirect_error(frontend, &error)),
    };
    let target = accounts
        .redirects()
        .or_frontend(began.redirect_to.as_deref());
    Ok(match finish(&ctx, &accounts, &began, state, &query).await {
        Ok(arrived) => redirect(&target, &arrived, None),
        Err(error) => redirect_error(&target, &error),
    })
}

async fn finish(
    ctx: &AppContext,
    accounts: &LocalAccounts,
    began: &Back,
    state: &str,
    query: &QueryParams,
) -> ApiResult<crate::auth::local::Arrived> {
    if let Some(error) = query.text("error") {
        let text = query.text("error_description").unwrap_or(error);
        return Err(bad_callback(text));
    }
    let code = query
        .text("code")
        .ok_or_else(|| bad_callback("no code came back"))?;
    let google = GoogleFlow::of(ctx).ok_or_else(disabled)?;
    let callback = format!("{}{CALLBACK}", accounts.public_base());
    let account = google
        .exchange(state, code, &callback)
        .await
        .map_err(gotrue_error)?;
    accounts
        .finish_flow(began, &account)
        .await
        .map_err(gotrue_error)
}

fn bad_callback(text: &str) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        ErrorCode::SignInRefused,
        text.chars().take(200).collect::<String>(),
    )
}
