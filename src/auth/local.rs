//! The local identity provider: own accounts with passwords, mailed links, and rotating refresh tokens.
//!
//! An address counts as proven once its owner has come by a mailed link or by Google. Until then the
//! account is of whoever made it; with the proof it falls to the owner (`arrival`).

mod arrival;
mod change;
mod flows;
mod letters;
mod sessions;
mod verify;

use std::sync::{Arc, PoisonError, RwLock};

use loco_rs::app::AppContext;
use sea_orm::{DatabaseConnection, EntityTrait, prelude::Uuid};
use serde_json::{Map, Value, json};

pub use change::{Change, METADATA_MAX_BYTES};
pub use flows::Arrived;
pub use letters::{Back, Letter, Occasion};
pub use sessions::Session;
pub use verify::{LinkEnd, Proof};

use super::{
    AuthError, first_sight,
    google::GoogleAccount,
    identity::Keeper,
    passwords::Passwords,
    redirects::Redirects,
    tokens::{Claims, TokenKeys},
};
use crate::{
    models::{
        auth_sessions::{self, LogoutScope},
        begin, identities,
        local_accounts::{self, NewAccount},
        one_time_tokens,
        users::NewUser,
    },
    queue::Carrier,
    settings::Settings,
};

/// Longest name taken from metadata, characters.
const NAME_MAX: usize = 80;

/// What a sign-up leads to.
#[derive(Debug)]
pub enum SignedUp {
    /// The account is there and signed in.
    Session(Box<Session>),
    /// A mail is on its way; it says nothing about whether the address was known.
    MailSent,
}

/// The accounts of this installation.
pub struct LocalAccounts {
    db: DatabaseConnection,
    keys: Arc<TokenKeys>,
    passwords: Arc<Passwords>,
    settings: Arc<Settings>,
    carrier: Arc<dyn Carrier>,
    redirects: Redirects,
    /// Public base of this API, where mailed links lead first.
    public_base: RwLock<String>,
}

impl LocalAccounts {
    /// Accounts over this database; `public_base` is the address of this API.
    #[must_use]
    pub fn new(
        db: DatabaseConnection,
        keys: Arc<TokenKeys>,
        passwords: Arc<Passwords>,
        settings: Arc<Settings>,
        carrier: Arc<dyn Carrier>,
        public_base: &str,
    ) -> Self {
        let redirects = Redirects::new(&settings.http.frontend_url, &settings.auth.redirect_urls);
        Self {
            db,
            keys,
            passwords,
            settings,
            carrier,
            redirects,
            public_base: RwLock::new(public_base.to_owned()),
        }
    }

    /// The accounts that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store.get::<Arc<Self>>().ok_or_else(|| {
            loco_rs::Error::string("the local accounts are missing from the context")
        })
    }

    /// Where sign-ins may lead back to.
    #[must_use]
    pub const fn redirects(&self) -> &Redirects {
        &self.redirects
    }

    /// Public base of this API, without trailing slash.
    #[must_use]
    pub fn public_base(&self) -> String {
        self.public_base
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces the public base: the listener's port may differ from the settings.
    pub fn set_public_base(&self, base: &str) {
        base.clone_into(
            &mut self
                .public_base
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Creates an account and signs it in; without a password, or where settings ask for the proof of
    /// the address first, a mail is sent instead.
    ///
    /// # Errors
    /// [`AuthError::WeakPassword`], [`AuthError::LeakedPassword`], and [`AuthError::EmailTaken`] where
    /// no proof is asked for.
    pub async fn sign_up(
        &self,
        email: &str,
        password: Option<&str>,
        metadata: Map<String, Value>,
        back: Back,
    ) -> Result<SignedUp, AuthError> {
        let Some(password) = password else {
            self.send_magic_link(email, metadata, true, back).await?;
            return Ok(SignedUp::MailSent);
        };
        let hash = self.passwords.hash_new(password, email).await?;
        if self.settings.auth.confirm_email {
            let occasion = Occasion::ConfirmSignUp {
                password_hash: hash,
                metadata,
                back,
            };
            self.post(email, &occasion).await?;
            return Ok(SignedUp::MailSent);
        }
        let session = self.create_unproven(email, &hash, metadata).await?;
        tracing::info!(user.id = %session.account.user_id, "an account was created");
        Ok(SignedUp::Session(Box::new(session)))
    }

    async fn create_unproven(
        &self,
        email: &str,
        hash: &str,
        metadata: Map<String, Value>,
    ) -> Result<Session, AuthError> {
        let id = Uuid::new_v4();
        let name = name_of(&metadata, email);
        let user = NewUser {
            id,
            email,
            display_name: Some(&name),
            avatar_url: None,
        };
        let account = NewAccount {
            user_id: id,
            email,
            password_hash: Some(hash),
            is_proven: false,
            user_metadata: Value::Object(metadata),
            app_metadata: json!({"provider": "email", "providers": ["email"]}),
        };
        let txn = begin(&self.db).await?;
        if !first_sight::create(&txn, &user, Keeper::Local, self.settings.credits.welcome).await?
            || !local_accounts::Entity::insert_if_new(&txn, &account).await?
        {
            txn.rollback().await?;
            return Err(AuthError::EmailTaken);
        }
        let session = self.open_session(&txn, id, "password").await?;
        self.post_in(&txn, email, &Occasion::Welcome).await?;
        txn.commit().await?;
        self.carrier.inside().committed();
        Ok(session)
    }

    /// Logs in with a password.
    ///
    /// # Errors
    /// [`AuthError::InvalidCredentials`], in the same time for unknown addresses;
    /// [`AuthError::EmailNotConfirmed`] for the right password of a sign-up that waits for its proof.
    pub async fn log_in(&self, email: &str, password: &str) -> Result<Session, AuthError> {
        let account = local_accounts::Entity::find_by_email(&self.db, email).await?;
        let pending = one_time_tokens::Entity::find_pending_sign_up(&self.db, email).await?;
        let hash = match &account {
            Some(account) => account.password_hash.as_deref(),
            None => pending
                .as_ref()
                .and_then(|token| token.password_hash.as_deref()),
        };
        if !self.passwords.verify(password, hash).await? {
            return Err(AuthError::InvalidCredentials);
        }
        let account = account.ok_or(AuthError::EmailNotConfirmed)?;
        let txn = begin(&self.db).await?;
        // The password may have been changed or dropped while it was checked.
        let current = local_accounts::Entity::lock(&txn, account.user_id).await?;
        if current.is_none_or(|current| current.password_hash != account.password_hash) {
            return Err(AuthError::InvalidCredentials);
        }
        local_accounts::Entity::touch_sign_in(&txn, account.user_id).await?;
        let session = self.open_session(&txn, account.user_id, "password").await?;
        txn.commit().await?;
        Ok(session)
    }

    /// Signs in with a proven Google account: the user it is tied to, the one with its address, or a
    /// new one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_in_with_google(&self, google: &GoogleAccount) -> Result<Session, AuthError> {
        let txn = begin(&self.db).await?;
        let user_id = self.arrive_by_google(&txn, google).await?;
        let session = self.open_session(&txn, user_id, "oauth").await?;
        txn.commit().await?;
        self.carrier.inside().committed();
        Ok(session)
    }

    /// Signs in without any proof, making an account without a password when there is none.
    ///
    /// # Errors
    /// [`AuthError::DeveloperNotMade`] when the address belongs to a user of another provider.
    pub async fn sign_in_developer(
        &self,
        email: &str,
        metadata: Map<String, Value>,
    ) -> Result<Session, AuthError> {
        let txn = begin(&self.db).await?;
        let id = Uuid::new_v4();
        let user = NewUser {
            id,
            email,
            display_name: metadata.get("display_name").and_then(Value::as_str),
            avatar_url: None,
        };
        let welcome = self.settings.credits.welcome;
        if first_sight::create(&txn, &user, Keeper::Local, welcome).await? {
            let account = NewAccount {
                user_id: id,
                email,
                password_hash: None,
                is_proven: true,
                user_metadata: Value::Object(metadata.clone()),
                app_metadata: json!({"provider": "email", "providers": ["email"]}),
            };
            local_accounts::Entity::insert_if_new(&txn, &account).await?;
        }
        let account = local_accounts::Entity::find_by_email(&txn, email)
            .await?
            .ok_or_else(|| AuthError::DeveloperNotMade("its address is taken".to_owned()))?;
        let session = self.open_session(&txn, account.user_id, "password").await?;
        txn.commit().await?;
        Ok(session)
    }

    /// Ends sessions. Access tokens stay good until they expire.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn log_out(
        &self,
        user_id: Uuid,
        session_id: Option<Uuid>,
        scope: LogoutScope,
    ) -> Result<(), AuthError> {
        auth_sessions::Entity::end(&self.db, user_id, session_id, scope, "signed out").await?;
        Ok(())
    }

    /// The account that a proven token is of, if its log-in has not ended.
    ///
    /// # Errors
    /// [`AuthError::SessionInvalid`] when there is no such account, or the log-in has ended.
    pub async fn account(&self, claims: &Claims) -> Result<local_accounts::Model, AuthError> {
        let user_id = claims.subject;
        let is_live = match claims.session_id {
            Some(session) => auth_sessions::Entity::is_live(&self.db, user_id, session).await?,
            // Made elsewhere with our secret; the guard's rule holds.
            None => {
                let valid_from = identities::Entity::tokens_valid_from(&self.db, user_id).await?;
                claims.issued_at >= valid_from
            }
        };
        if !is_live {
            return Err(AuthError::SessionInvalid);
        }
        local_accounts::Entity::find_by_id(user_id)
            .one(&self.db)
            .await?
            .ok_or(AuthError::SessionInvalid)
    }
}

/// What a new user is called: `display_name`, else `full_name` or `name`, else the part before the `@`.
fn name_of(metadata: &Map<String, Value>, email: &str) -> String {
    ["display_name", "full_name", "name"]
        .iter()
        .filter_map(|key| metadata.get(*key).and_then(Value::as_str))
        .map(str::trim)
        .find(|name| !name.is_empty())
        .or_else(|| email.split_once('@').map(|(local, _)| local))
        .unwrap_or(email)
        .chars()
        .take(NAME_MAX)
        .collect()
}
