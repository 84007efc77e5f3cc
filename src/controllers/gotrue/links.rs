//! Mailed links and codes: asking for them, following them, typing them. What is asked for is answered
//! the same for every address.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use loco_rs::app::AppContext;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{Unkept, accounts, back, change_error, gotrue_error, nothing, signed_in};
use crate::{
    auth::local::{Arrived, LinkEnd, LocalAccounts, Proof, Session},
    dtos::gotrue::{Otp, Recover, Resend, Verify, VerifyProof, kinds_of},
    http::{ApiError, ApiResult, ErrorCode, JsonBody, Limited, query::QueryParams},
    models::one_time_tokens::Kind,
    settings::Settings,
};

/// Mails a link to choose a new password.
pub(super) async fn recover(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    limited: Limited,
    query: QueryParams,
    JsonBody(body): JsonBody,
) -> ApiResult<Json<Value>> {
    let accounts = accounts(&ctx, &headers)?;
    let dto = Recover::parse(body)?;
    limited.mail(&dto.email).await?;
    accounts
        .send_recovery(&dto.email, back(&query, &headers, dto.challenge))
        .await
        .map_err(gotrue_error)?;
    Ok(nothing())
}

/// Mails a link that signs in, and up unless `create_user` is false.
pub(super) async fn otp(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    limited: Limited,
    query: QueryParams,
    JsonBody(body): JsonBody,
) -> ApiResult<Json<Value>> {
    let accounts = accounts(&ctx, &headers)?;
    let dto = Otp::parse(body)?;
    limited.mail(&dto.email).await?;
    let back = back(&query, &headers, dto.challenge);
    accounts
        .send_magic_link(&dto.email, dto.data, dto.create_user, back)
        .await
        .map_err(gotrue_error)?;
    Ok(nothing())
}

/// Mails the link of a sign-up or of a change of address once more.
pub(super) async fn resend(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    limited: Limited,
    query: QueryParams,
    JsonBody(body): JsonBody,
) -> ApiResult<Json<Value>> {
    let accounts = accounts(&ctx, &headers)?;
    let dto = Resend::parse(body)?;
    limited.mail(&dto.email).await?;
    let back = back(&query, &headers, dto.challenge);
    match dto.kind {
        Kind::EmailChange => accounts.resend_email_change(&dto.email, back).await,
        _ => accounts.resend_sign_up(&dto.email, back).await,
    }
    .map_err(gotrue_error)?;
    Ok(nothing())
}

/// Exchanges the secret of a link, or a code with its address, for a session.
pub(super) async fn verify(
    State(ctx): State<AppContext>,
    headers: HeaderMap,
    limited: Limited,
    JsonBody(body): JsonBody,
) -> ApiResult<Unkept> {
    let accounts = accounts(&ctx, &headers)?;
    let dto = Verify::parse(body)?;
    let proof = match &dto.proof {
        VerifyProof::Link(secret) => Proof::Link(secret),
        VerifyProof::Code { email, code } => Proof::Code { email, code },
    };
    let email = match &dto.proof {
        VerifyProof::Link(_) => None,
        VerifyProof::Code { email, .. } => Some(email.as_str()),
    };
    limited.verify(email).await?;
    let session = accounts
        .verify(proof, dto.kinds)
        .await
        .map_err(change_error)?;
    Ok(signed_in(&session))
}

/// A mailed link in a browser: leads back to the page that asked for it, with a code, tokens or an error.
pub(super) async fn follow(
    State(ctx): State<AppContext>,
    method: Method,
    limited: Limited,
    query: QueryParams,
) -> ApiResult<Response> {
    if method == Method::HEAD {
        // Programs that look at links in mails must not use them up.
        return Ok(StatusCode::OK.into_response());
    }
    let accounts = LocalAccounts::of(&ctx)?;
    let target = accounts.redirects().or_frontend(query.text("redirect_to"));
    let secret = query
        .text("token")
        .or_else(|| query.text("token_hash"))
        .unwrap_or_default();
    let kinds = kinds_of(query.text("type").unwrap_or_default()).unwrap_or_default();
    let outcome = match limited.verify(None).await {
        Err(error) => Err(error),
        Ok(()) if leads_to_own_page(&ctx, &target, kinds)? => {
            let good = accounts.is_good_link(secret, kinds).await;
            if good.map_err(gotrue_error)? {
                return Ok(to_own_page(secret));
            }
            Err(invalid_link())
        }
        Ok(()) => {
            accounts
                .follow_link(secret, kinds)
                .await
                .map_err(|error| match change_error(error) {
                    error if error.status() == StatusCode::FORBIDDEN => invalid_link(),
                    error => error,
                })
        }
    };
    match outcome {
        Ok(LinkEnd { kind, arrived }) => Ok(redirect(&target, &arrived, Some(kind))),
        // Nothing to lead back with: the link may be followed again.
        Err(error) if error.status().is_server_error() => Err(error),
        Err(error) => Ok(redirect_error(&target, &error)),
    }
}

fn invalid_link() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        ErrorCode::LinkExpired,
        "Email link is invalid or has expired",
    )
}

/// Whether the page that the link should end at is one that cannot take a new password.
fn leads_to_own_page(ctx: &AppContext, target: &str, kinds: &[Kind]) -> ApiResult<bool> {
    let settings = Settings::of(ctx)?;
    let bare = target.split(['?', '#']).next().unwrap_or_default();
    Ok(kinds.contains(&Kind::Recovery)
        && settings
            .auth
            .own_reset_page_for
            .iter()
            .any(|page| page == bare.trim_end_matches('/')))
}

fn to_own_page(secret: &str) -> Response {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("token", secret)
        .finish();
    see_other(&format!("reset-password?{query}"))
}

/// Leads back with a code in the query, or with tokens behind the `#`, where no server sees them.
pub(super) fn redirect(target: &str, arrived: &Arrived, kind: Option<Kind>) -> Response {
    let Ok(mut url) = Url::parse(target) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match arrived {
        Arrived::Code(code) => {
            url.query_pairs_mut().append_pair("code", code);
        }
        Arrived::Session(session) => url.set_fragment(Some(&tokens(session, kind))),
    }
    see_other(url.as_str())
}

fn tokens(session: &Session, kind: Option<Kind>) -> String {
    let mut fragment = form_urlencoded::Serializer::new(String::new());
    fragment
        .append_pair("access_token", &session.access_token)
        .append_pair("expires_at", &session.expires_at.to_string())
        .append_pair("expires_in", &session.expires_in.to_string())
        .append_pair("refresh_token", &session.refresh_token)
        .append_pair("token_type", "bearer");
    if let Some(kind) = kind {
        fragment.append_pair("type", kind.as_str());
    }
    fragment.finish()
}

/// Leads back with an error, in the query and behind the `#`, as GoTrue does it.
pub(super) fn redirect_error(target: &str, error: &ApiError) -> Response {
    let Ok(mut url) = Url::parse(target) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (code, text) = error.for_redirect();
    let kind = if error.status().is_server_error() {
        "server_error"
    } else {
        "access_denied"
    };
    let pairs = [
        ("error", kind),
        ("error_code", code),
        ("error_description", &text),
    ];
    url.query_pairs_mut().extend_pairs(pairs);
    let fragment = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    url.set_fragment(Some(&fragment));
    see_other(url.as_str())
}

/// A redirect whose address holds secrets: nothing keeps it and no page passes it on.
pub(super) fn see_other(address: &str) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::LOCATION, address),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}
