//! The service's own page for a new password, in any browser and without a session: for clients whose
//! own page cannot do it.

use axum::{
    extract::{RawForm, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use loco_rs::app::AppContext;
use url::form_urlencoded;

use super::gotrue_error;
use crate::{
    auth::local::LocalAccounts,
    http::{ApiResult, Limited, query::QueryParams},
    models::one_time_tokens::Kind,
    views::gotrue::reset_page::{Step, page},
};

/// Nothing but the page itself runs on it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// Asks for a new password.
pub(super) async fn show(
    State(ctx): State<AppContext>,
    limited: Limited,
    query: QueryParams,
) -> ApiResult<Response> {
    limited.verify(None).await?;
    let accounts = LocalAccounts::of(&ctx)?;
    let token = query.text("token").unwrap_or_default();
    let is_good = accounts.is_good_link(token, &[Kind::Recovery]).await?;
    let frontend = accounts.redirects().frontend();
    Ok(if is_good {
        html(StatusCode::OK, &page(&Step::Ask { token }, frontend))
    } else {
        html(StatusCode::FORBIDDEN, &page(&Step::TooLate, frontend))
    })
}

/// Sets the new password.
pub(super) async fn submit(
    State(ctx): State<AppContext>,
    limited: Limited,
    RawForm(form): RawForm,
) -> ApiResult<Response> {
    limited.verify(None).await?;
    let accounts = LocalAccounts::of(&ctx)?;
    let field = |name: &str| {
        form_urlencoded::parse(&form)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let (token, password) = (field("token"), field("password"));
    let frontend = accounts.redirects().frontend();
    let step = match accounts.reset_password(&token, &password).await {
        Ok(()) => return Ok(html(StatusCode::OK, &page(&Step::Done, frontend))),
        Err(error) => gotrue_error(error),
    };
    let status = step.status();
    let text = step.for_redirect().1;
    Ok(match status {
        StatusCode::UNPROCESSABLE_ENTITY => {
            let again = Step::Again {
                token: &token,
                reason: &text,
            };
            html(status, &page(&again, frontend))
        }
        StatusCode::FORBIDDEN => html(status, &page(&Step::TooLate, frontend)),
        _ => return Err(step),
    })
}

fn html(status: StatusCode, body: &str) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, body.to_owned()).into_response()
}
