//! Mails about accounts. Each is a folder of three templates: subject, text and HTML.

use async_trait::async_trait;
use include_dir::{Dir, include_dir};
use loco_rs::{
    Error, Result,
    app::AppContext,
    mailer::{Args, Email, EmailHeaders, Mailer},
};
use serde::Serialize;

use super::transport::transport;
use crate::settings::Settings;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/mailers/auth");

/// What the templates speak of. Unused fields are empty texts: a template may not name what is missing.
#[derive(Debug, Clone, Serialize)]
pub struct Words {
    /// Address to follow.
    pub link: String,
    /// The same to be typed.
    pub code: String,
    /// How long both are good, in words.
    pub good_for: String,
    /// Whom the mail goes to.
    pub email: String,
    /// Another address that it speaks of.
    pub about: String,
    /// Where the product is.
    pub frontend: String,
}

/// Mails about accounts, by Loco's mailer.
pub struct AuthMailer;

#[async_trait]
impl Mailer for AuthMailer {
    /// Hands the mail over at once: it is the mail worker that calls, and the table `mails` keeps what
    /// could not be sent.
    async fn mail(ctx: &AppContext, email: &Email) -> Result<()> {
        transport(ctx)?.send(email).await
    }
}

impl AuthMailer {
    /// Puts a mail into words and sends it. `id` stays the same when it is sent again, so that mailboxes
    /// can drop the second one.
    ///
    /// # Errors
    /// When there is no such template, it cannot be rendered, or the mail is not taken.
    pub async fn send(ctx: &AppContext, template: &str, id: &str, words: &Words) -> Result<()> {
        let folder = TEMPLATES
            .get_dir(template)
            .ok_or_else(|| Error::string(&format!("there is no mail template {template}")))?;
        let settings = Settings::of(ctx)?;
        let args = Args {
            from: Some(settings.mail.from.clone()),
            to: words.email.clone(),
            locals: serde_json::to_value(words)?,
            headers: Some(EmailHeaders {
                message_id: Some(message_id(id, &settings.mail.from)),
                ..EmailHeaders::default()
            }),
            ..Args::default()
        };
        Self::mail_template_with_shared(ctx, folder, &[&TEMPLATES], args).await
    }
}

/// `<id@domain of the sender>`.
fn message_id(id: &str, from: &str) -> String {
    let domain = from
        .rsplit_once('@')
        .map_or("localhost", |(_, domain)| domain.trim_end_matches('>'));
    format!("<{id}@{domain}>")
}
