//! The development inbox: where mails go while there is no mail server, and the pages that show them.
//! Production has neither.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use loco_rs::{Error, Result, app::AppContext, environment::Environment, mailer::Email};
use serde_json::{Value, json};

use crate::{
    embedded::inbox::{Inbox, InboxMail},
    http::{ApiError, ApiResult, query::QueryParams},
    mailers::transport::{Smtp, Transport},
    settings::Settings,
    views::gotrue::reset_page::escape,
};

/// Mails that a page or an answer shows.
const SHOWN: u64 = 100;
/// The list around its rows.
const LIST: &str = include_str!("../../assets/dev/inbox.html");

/// The way mails leave: the server of the settings, else the inbox of the home.
///
/// # Errors
/// When there is no server in production, or its name cannot be used.
pub fn transport(ctx: &AppContext, settings: &Settings) -> Result<Arc<dyn Transport>> {
    if let Some(host) = &settings.mail.smtp_host {
        return Ok(Arc::new(Smtp::new(&settings.mail, host)?));
    }
    if ctx.environment == Environment::Production {
        return Ok(Arc::new(NoServer));
    }
    let inbox = Inbox::of(&settings.home);
    ctx.shared_store.insert(inbox.clone());
    Ok(Arc::new(ToInbox(inbox)))
}

/// Production without a mail server, where another identity provider sends the mails.
struct NoServer;

#[async_trait]
impl Transport for NoServer {
    async fn send(&self, _email: &Email) -> Result<()> {
        Err(Error::string("SMTP_HOST is not set"))
    }
}

struct ToInbox(Inbox);

#[async_trait]
impl Transport for ToInbox {
    async fn send(&self, email: &Email) -> Result<()> {
        let (inbox, email) = (self.0.clone(), email.clone());
        tokio::task::spawn_blocking(move || {
            inbox.keep(
                email.from.as_deref().unwrap_or_default(),
                &email.to,
                &email.subject,
                &email.text,
                &email.html,
            )
        })
        .await
        .map_err(Error::wrap)?
        .map_err(Error::wrap)
    }
}

/// The pages of the inbox, where there is one.
pub fn routes(ctx: &AppContext) -> Router<AppContext> {
    if ctx.shared_store.get::<Inbox>().is_none() {
        return Router::new();
    }
    Router::new()
        .route("/dev/inbox", get(list_page))
        .route("/dev/inbox.json", get(list))
        .route("/dev/inbox/{id}", get(show))
}

async fn mails(ctx: AppContext, query: QueryParams) -> ApiResult<Vec<InboxMail>> {
    let inbox = ctx
        .shared_store
        .get::<Inbox>()
        .ok_or_else(|| ApiError::not_found("There is no inbox here"))?;
    let limit = usize::try_from(query.limit(SHOWN, SHOWN)?).unwrap_or(usize::MAX);
    let to = query.text("to").map(ToOwned::to_owned);
    let mails = tokio::task::spawn_blocking(move || inbox.list(to.as_deref(), limit)).await;
    mails
        .map_err(|error| error.to_string())
        .and_then(|mails| mails.map_err(|error| error.to_string()))
        .map_err(|error| {
            tracing::error!(error, "the inbox cannot be read");
            ApiError::internal()
        })
}

/// The mails as JSON, newest first; `?to=` gives those to one address.
async fn list(State(ctx): State<AppContext>, query: QueryParams) -> ApiResult<Json<Value>> {
    let mails = mails(ctx, query).await?;
    Ok(Json(json!({"mails": mails})))
}

async fn list_page(State(ctx): State<AppContext>, query: QueryParams) -> ApiResult<Html<String>> {
    let mails = mails(ctx, query).await?;
    let rows: String = mails.iter().map(row).collect();
    let rows = if rows.is_empty() {
        "<p class=\"empty\">No mail yet. Sign up, or ask for a magic link, and it appears here.</p>"
            .to_owned()
    } else {
        rows
    };
    Ok(Html(LIST.replace("{mails}", &rows)))
}

fn row(mail: &InboxMail) -> String {
    let id = escape(&mail.id);
    format!(
        "<details><summary><span class=\"subject\">{subject}</span><span class=\"to\">{to}</span>\
         <time>{sent_at}</time></summary><iframe src=\"/dev/inbox/{id}\" sandbox=\"allow-popups \
         allow-popups-to-escape-sandbox\" loading=\"lazy\" title=\"{subject}\"></iframe>\
         <h2>As text</h2><pre>{text}</pre></details>",
        subject = escape(&mail.subject),
        to = escape(&mail.to),
        sent_at = escape(&mail.sent_at),
        text = escape(&mail.text),
    )
}

/// The HTML of one mail, as a mail program would show it.
async fn show(State(ctx): State<AppContext>, Path(id): Path<String>) -> ApiResult<Response> {
    let mail = ctx
        .shared_store
        .get::<Inbox>()
        .and_then(|inbox| inbox.find(&id))
        .ok_or_else(|| ApiError::not_found("There is no such mail"))?;
    // Links open beside the inbox, as in a mail program.
    let html = mail
        .html
        .replacen("<head>", "<head><base target=\"_blank\">", 1);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    Ok((StatusCode::OK, headers, html).into_response())
}
