//! Mails: asked for in the transaction of their cause, written when they are sent. Whether an address is
//! known is looked up only then, so that the request that asks takes the same time for every address,
//! and links exist nowhere but in the mail that carries them.

use sea_orm::{DatabaseTransaction, EntityTrait, prelude::Uuid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::LocalAccounts;
use crate::{
    auth::{
        AuthError,
        pkce::Challenge,
        random::{digest, keyed_digest, random_code, random_token},
    },
    models::{
        begin, local_accounts,
        mails::{self, Claimed},
        one_time_tokens::{self, Kind, NewToken},
        users,
    },
    queue::mail_delivery,
    settings::Secret,
};

/// Seconds after which a mail that could not be sent is given up; a link of then helps nobody.
const GIVE_UP_S: i64 = 24 * 3600;

/// Where a mailed link leads in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Back {
    /// Allowed address; the frontend when there is none.
    pub redirect_to: Option<String>,
    /// With a challenge the link gives a code for whoever knows the verifier, without one a session.
    pub challenge: Option<Challenge>,
}

/// Why somebody gets a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Occasion {
    /// An account was made with this address, which nobody has proven.
    Welcome,
    /// Somebody signed up; the account is made when the link is followed.
    ConfirmSignUp {
        password_hash: String,
        metadata: Map<String, Value>,
        back: Back,
    },
    /// The same link again.
    ResendSignUp { back: Back },
    /// Somebody wants to sign in without a password.
    MagicLink {
        metadata: Map<String, Value>,
        /// Whether an unknown address gets an account.
        create: bool,
        back: Back,
    },
    /// Somebody forgot the password.
    Recovery { back: Back },
    /// Somebody wants this address for an account.
    EmailChange { user_id: Uuid, back: Back },
    /// The same link again, asked for by the old address.
    ResendEmailChange { back: Back },
    /// To the old address: another one was asked for.
    EmailChangeNotice { new_email: String },
    /// The password was changed.
    PasswordChanged,
    /// The owner came, and a password of unknown origin was removed.
    PasswordRemoved,
}

impl Occasion {
    const fn name(&self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::ConfirmSignUp { .. } => "confirm_sign_up",
            Self::ResendSignUp { .. } => "resend_sign_up",
            Self::MagicLink { .. } => "magic_link",
            Self::Recovery { .. } => "recovery",
            Self::EmailChange { .. } => "email_change",
            Self::ResendEmailChange { .. } => "resend_email_change",
            Self::EmailChangeNotice { .. } => "email_change_notice",
            Self::PasswordChanged => "password_changed",
            Self::PasswordRemoved => "password_removed",
        }
    }
}

/// A mail ready to be put into words.
#[derive(Debug, PartialEq, Eq)]
pub struct Letter {
    /// Name of its template.
    pub template: &'static str,
    pub to: String,
    /// Address to follow.
    pub link: Option<String>,
    /// The same to be typed.
    pub code: Option<String>,
    /// Minutes both are good for.
    pub good_for_min: u32,
    /// Another address that it speaks of.
    pub about: Option<String>,
}

impl Letter {
    fn plain(template: &'static str, to: &str) -> Self {
        Self {
            template,
            to: to.to_owned(),
            link: None,
            code: None,
            good_for_min: 0,
            about: None,
        }
    }
}

/// What a link or code is made from.
struct Draft<'a> {
    template: &'static str,
    kind: Kind,
    to: &'a str,
    back: Back,
    user_id: Option<Uuid>,
    password_hash: Option<String>,
    metadata: Option<Map<String, Value>>,
}

impl<'a> Draft<'a> {
    const fn new(template: &'static str, kind: Kind, to: &'a str, back: Back) -> Self {
        Self {
            template,
            kind,
            to,
            back,
            user_id: None,
            password_hash: None,
            metadata: None,
        }
    }
}

impl LocalAccounts {
    /// Mails a link that signs in, and with `create` signs up, the owner of an address. The answer is
    /// the same for every address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn send_magic_link(
        &self,
        email: &str,
        metadata: Map<String, Value>,
        create: bool,
        back: Back,
    ) -> Result<(), AuthError> {
        let occasion = Occasion::MagicLink {
            metadata,
            create,
            back,
        };
        self.post(email, &occasion).await
    }

    /// Mails a link to choose a new password to the owner of an account. The answer is the same for
    /// every address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn send_recovery(&self, email: &str, back: Back) -> Result<(), AuthError> {
        self.post(email, &Occasion::Recovery { back }).await
    }

    /// Mails the link of a sign-up that waits for its proof once more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resend_sign_up(&self, email: &str, back: Back) -> Result<(), AuthError> {
        self.post(email, &Occasion::ResendSignUp { back }).await
    }

    /// Mails the link that proves a new address once more, if the account of `email` waits for one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resend_email_change(&self, email: &str, back: Back) -> Result<(), AuthError> {
        self.post(email, &Occasion::ResendEmailChange { back })
            .await
    }

    /// Has a mail sent.
    pub(super) async fn post(&self, email: &str, occasion: &Occasion) -> Result<(), AuthError> {
        let txn = begin(&self.db).await?;
        self.post_in(&txn, email, occasion).await?;
        txn.commit().await?;
        self.carrier.inside().committed();
        Ok(())
    }

    /// Has a mail sent if the transaction commits.
    pub(super) async fn post_in(
        &self,
        txn: &DatabaseTransaction,
        email: &str,
        occasion: &Occasion,
    ) -> Result<(), AuthError> {
        let params =
            serde_json::to_value(occasion).map_err(|error| AuthError::Crypto(error.to_string()))?;
        let id = mails::Entity::add(txn, occasion.name(), email, params, GIVE_UP_S).await?;
        self.carrier
            .inside()
            .deliver(txn, &[mail_delivery(id, 0)])
            .await?;
        Ok(())
    }

    /// Writes a mail, and makes the link in it. `None` when there is nothing to say, because the
    /// address has no account.
    ///
    /// # Errors
    /// When the database fails or the request for the mail cannot be read.
    pub async fn write(&self, mail: &Claimed) -> Result<Option<Letter>, AuthError> {
        let occasion: Occasion = serde_json::from_value(mail.params.clone())
            .map_err(|error| AuthError::Crypto(error.to_string()))?;
        let to = mail.recipient.as_str();
        let draft = match occasion {
            Occasion::Welcome => Draft::new("welcome", Kind::Recovery, to, self.to_reset_page()),
            Occasion::ConfirmSignUp {
                password_hash,
                metadata,
                back,
            } => {
                if self.has_account(to).await? {
                    Draft::new("account_exists", Kind::Recovery, to, self.to_reset_page())
                } else {
                    Draft {
                        password_hash: Some(password_hash),
                        metadata: Some(metadata),
                        ..Draft::new("confirm_sign_up", Kind::SignUp, to, back)
                    }
                }
            }
            Occasion::ResendSignUp { back } => {
                let Some(pending) =
                    one_time_tokens::Entity::find_pending_sign_up(&self.db, to).await?
                else {
                    return Ok(None);
                };
                Draft {
                    password_hash: pending.password_hash,
                    metadata: pending
                        .user_metadata
                        .and_then(|value| value.as_object().cloned()),
                    ..Draft::new("confirm_sign_up", Kind::SignUp, to, back)
                }
            }
            Occasion::MagicLink {
                metadata,
                create,
                back,
            } => {
                if !create && !self.has_account(to).await? {
                    return Ok(None);
                }
                Draft {
                    metadata: Some(metadata),
                    ..Draft::new("magic_link", Kind::MagicLink, to, back)
                }
            }
            Occasion::Recovery { back } => {
                if !self.has_account(to).await? {
                    return Ok(None);
                }
                Draft::new("recovery", Kind::Recovery, to, back)
            }
            Occasion::EmailChange { user_id, back } => {
                let account = local_accounts::Entity::find_by_id(user_id)
                    .one(&self.db)
                    .await?;
                // Another address was asked for since, or the account fell to its owner.
                if account.is_none_or(|account| account.new_email.as_deref() != Some(to)) {
                    return Ok(None);
                }
                Draft {
                    user_id: Some(user_id),
                    ..Draft::new("email_change", Kind::EmailChange, to, back)
                }
            }
            Occasion::ResendEmailChange { back } => {
                let account = local_accounts::Entity::find_by_email(&self.db, to).await?;
                let Some(account) = account else {
                    return Ok(None);
                };
                let Some(new_email) = account.new_email else {
                    return Ok(None);
                };
                let draft = Draft {
                    user_id: Some(account.user_id),
                    ..Draft::new("email_change", Kind::EmailChange, &new_email, back)
                };
                return self.finish(draft).await.map(Some);
            }
            Occasion::EmailChangeNotice { new_email } => {
                return Ok(Some(Letter {
                    about: Some(new_email),
                    ..Letter::plain("email_change_notice", to)
                }));
            }
            Occasion::PasswordChanged => return Ok(Some(Letter::plain("password_changed", to))),
            Occasion::PasswordRemoved => return Ok(Some(Letter::plain("password_removed", to))),
        };
        self.finish(draft).await.map(Some)
    }

    /// Makes the link and the code of a mail.
    async fn finish(&self, draft: Draft<'_>) -> Result<Letter, AuthError> {
        let (token, code) = (random_token()?, random_code()?);
        let auth = &self.settings.auth;
        let ttl_s = if draft.kind == Kind::SignUp {
            auth.confirmation_ttl_s
        } else {
            auth.link_ttl_s
        };
        let challenge = draft.back.challenge.as_ref();
        let txn = begin(&self.db).await?;
        one_time_tokens::Entity::add(
            &txn,
            NewToken {
                kind: draft.kind,
                email: draft.to,
                user_id: draft.user_id,
                link_hash: &digest(&token),
                code_hash: &self.code_digest(draft.to, &code)?,
                password_hash: draft.password_hash,
                user_metadata: draft.metadata.map(Value::Object),
                challenge: challenge
                    .map(|given| (given.value.clone(), given.method.as_str().to_owned())),
                ttl_s: i64::from(ttl_s),
            },
        )
        .await?;
        txn.commit().await?;
        let redirect_to = self
            .redirects
            .or_frontend(draft.back.redirect_to.as_deref());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", &token)
            .append_pair("type", draft.kind.as_str())
            .append_pair("redirect_to", &redirect_to)
            .finish();
        Ok(Letter {
            link: Some(format!("{}/auth/v1/verify?{query}", self.public_base())),
            code: Some(code),
            good_for_min: ttl_s.div_ceil(60),
            ..Letter::plain(draft.template, draft.to)
        })
    }

    async fn has_account(&self, email: &str) -> Result<bool, AuthError> {
        let account = local_accounts::Entity::find_by_email(&self.db, email).await?;
        if account.is_some() {
            return Ok(true);
        }
        Ok(users::Entity::find_id_by_email(&self.db, email)
            .await?
            .is_some())
    }

    /// The frontend's page for a new password.
    fn to_reset_page(&self) -> Back {
        Back {
            redirect_to: Some(format!("{}/auth/reset-password", self.redirects.frontend())),
            challenge: None,
        }
    }

    /// What is stored of a code: with six digits, only a keyed hash keeps them from being found.
    pub(super) fn code_digest(&self, email: &str, code: &str) -> Result<Vec<u8>, AuthError> {
        keyed_digest(self.own_secret()?, &["one-time code", email, code])
    }

    /// The secret of this installation.
    pub(super) fn own_secret(&self) -> Result<&Secret, AuthError> {
        self.settings
            .auth
            .hs256_secret()
            .ok_or_else(|| AuthError::Crypto("no token secret is set".to_owned()))
    }
}
