//! The way a mail leaves: a mail server, or in development the inbox.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use loco_rs::{
    Error, Result,
    app::AppContext,
    config::{MailerAuth, MailerTls, SmtpMailer},
    mailer::{Email, EmailSender},
};

use crate::settings::{Mail, SmtpTls};

/// Port of SMTP that is encrypted from the first byte.
const IMPLICIT_TLS_PORT: u16 = 465;

/// Takes a mail that is ready.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Hands the mail over.
    ///
    /// # Errors
    /// When it was not taken; it may be handed over again then.
    async fn send(&self, email: &Email) -> Result<()>;
}

/// The transport that boot put into the context.
///
/// # Errors
/// When the context was not made by this application's hooks.
pub fn transport(ctx: &AppContext) -> Result<Arc<dyn Transport>> {
    ctx.shared_store
        .get::<Arc<dyn Transport>>()
        .ok_or_else(|| Error::string("the mail transport is missing from the context"))
}

/// A mail server.
pub struct Smtp {
    sender: EmailSender,
    limit: Duration,
}

impl Smtp {
    /// The server that the settings name.
    ///
    /// # Errors
    /// When its name cannot be used.
    pub fn new(mail: &Mail, host: &str) -> Result<Self> {
        let tls = match mail.smtp_tls {
            SmtpTls::Implicit => MailerTls::Implicit,
            SmtpTls::Starttls => MailerTls::Starttls,
            SmtpTls::None => MailerTls::None,
            SmtpTls::Auto if is_loopback(host) => MailerTls::None,
            SmtpTls::Auto if mail.smtp_port == IMPLICIT_TLS_PORT => MailerTls::Implicit,
            SmtpTls::Auto => MailerTls::Starttls,
        };
        let auth = mail.smtp_user.as_ref().map(|user| MailerAuth {
            user: user.clone(),
            password: mail
                .smtp_password
                .as_ref()
                .map(|password| password.expose().to_owned())
                .unwrap_or_default(),
        });
        let sender = EmailSender::smtp(&SmtpMailer {
            enable: true,
            host: host.to_owned(),
            port: mail.smtp_port,
            secure: tls != MailerTls::None,
            tls: Some(tls),
            auth,
            hello_name: None,
        })?;
        Ok(Self {
            sender,
            limit: Duration::from_millis(mail.send_timeout_ms),
        })
    }
}

#[async_trait]
impl Transport for Smtp {
    async fn send(&self, email: &Email) -> Result<()> {
        tokio::time::timeout(self.limit, self.sender.mail(email))
            .await
            .map_err(|_| Error::string("the mail server did not answer in time"))?
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
