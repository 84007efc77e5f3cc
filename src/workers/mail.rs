//! Mails. Retry: until sent, with pauses that double, for a day; then the mail is given up. Runs any
//! number of times: each run takes the mail that waits longest, or does nothing. A process that dies
//! while it hands a mail over has it sent again, with the same message id.

use std::time::Duration;

use async_trait::async_trait;
use loco_rs::prelude::*;

use super::step::JobArgs;
use crate::{
    auth::local::{Letter, LocalAccounts},
    mailers::auth::{AuthMailer, Words},
    models::mails::{self, Claimed},
    queue::MAIL_QUEUE,
    settings::{Mail, Settings},
};

/// Seconds a mail is one worker's beyond the time that handing it over may take.
const LEASE_SPARE_S: u64 = 30;

/// Sends mails.
pub struct MailWorker {
    ctx: AppContext,
}

#[async_trait]
impl BackgroundWorker<JobArgs> for MailWorker {
    fn queue() -> Option<String> {
        Some(MAIL_QUEUE.to_owned())
    }

    fn build(ctx: &AppContext) -> Self {
        Self { ctx: ctx.clone() }
    }

    async fn perform(&self, _args: JobArgs) -> Result<()> {
        let settings = Settings::of(&self.ctx)?;
        let limit = Duration::from_millis(settings.mail.send_timeout_ms).as_secs();
        let lease_s = i64::try_from(limit.saturating_add(LEASE_SPARE_S)).unwrap_or(i64::MAX);
        let Some(mail) = mails::Entity::take_next(&self.ctx.db, lease_s).await? else {
            return Ok(());
        };
        if mail.is_late {
            tracing::error!(mail.id = %mail.id, kind = mail.kind, "a mail could not be sent for a day and is given up");
            return Ok(mails::Entity::remove(&self.ctx.db, mail.id).await?);
        }
        match self.send(&mail, &settings).await {
            Ok(()) => Ok(mails::Entity::remove(&self.ctx.db, mail.id).await?),
            Err(error) => {
                let delay_ms = pause_ms(&settings.mail, mail.tries);
                tracing::warn!(mail.id = %mail.id, kind = mail.kind, tries = mail.tries, delay_ms, %error, "a mail could not be sent and waits for its next try");
                Ok(mails::Entity::put_off(&self.ctx.db, mail.id, delay_ms).await?)
            }
        }
    }
}

impl MailWorker {
    async fn send(&self, mail: &Claimed, settings: &Settings) -> Result<()> {
        let accounts = LocalAccounts::of(&self.ctx)?;
        let letter = accounts.write(mail).await.map_err(Error::wrap)?;
        let Some(letter) = letter else {
            return Ok(());
        };
        let words = words(&letter, &settings.http.frontend_url);
        AuthMailer::send(&self.ctx, letter.template, &mail.id.to_string(), &words).await?;
        tracing::info!(mail.id = %mail.id, template = letter.template, "a mail was sent");
        Ok(())
    }
}

/// What the templates are told.
fn words(letter: &Letter, frontend: &str) -> Words {
    Words {
        link: letter.link.clone().unwrap_or_default(),
        code: letter.code.clone().unwrap_or_default(),
        good_for: span(letter.good_for_min),
        email: letter.to.clone(),
        about: letter.about.clone().unwrap_or_default(),
        frontend: frontend.to_owned(),
    }
}

/// Minutes or hours, in words.
fn span(minutes: u32) -> String {
    match minutes {
        60 => "one hour".to_owned(),
        hours if hours > 0 && hours.is_multiple_of(60) => format!("{} hours", hours / 60),
        minutes => format!("{minutes} minutes"),
    }
}

/// The pause before the next try: base * 2^n, at most max.
fn pause_ms(mail: &Mail, tries: i32) -> i64 {
    let doublings = u32::try_from(tries.saturating_sub(1))
        .unwrap_or_default()
        .min(30);
    let pause = mail
        .backoff_base_ms
        .saturating_mul(1_u64 << doublings)
        .min(mail.backoff_max_ms);
    i64::try_from(pause).unwrap_or(i64::MAX)
}
