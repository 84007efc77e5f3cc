//! The local identity provider: own accounts with passwords and rotating refresh tokens.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRngCore, rngs::OsRng};
use sea_orm::{DatabaseConnection, DatabaseTransaction, EntityTrait, prelude::Uuid};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    AuthError, first_sight,
    google::GoogleAccount,
    identity::Keeper,
    linking,
    passwords::Passwords,
    tokens::{TokenKeys, TokenSubject},
};
use crate::{
    models::{
        auth_sessions::{self, LogoutScope},
        begin, identities, local_accounts,
        users::NewUser,
    },
    settings::Settings,
};

/// Bytes of randomness in a refresh token.
const REFRESH_TOKEN_BYTES: usize = 32;

/// What a log-in or refresh gives.
#[derive(Debug)]
pub struct Session {
    pub access_token: String,
    /// Seconds since 1970.
    pub expires_at: i64,
    /// Seconds from now.
    pub expires_in: i64,
    pub refresh_token: String,
    pub account: local_accounts::Model,
}

/// The parts that this provider works with.
pub struct LocalAccounts<'a> {
    pub db: &'a DatabaseConnection,
    pub keys: &'a TokenKeys,
    pub passwords: &'a Passwords,
    pub settings: &'a Settings,
}

impl LocalAccounts<'_> {
    /// Creates an account and its user and opens the first session.
    ///
    /// # Errors
    /// [`AuthError::EmailTaken`], [`AuthError::WeakPassword`].
    pub async fn sign_up(
        &self,
        email: &str,
        password: &str,
        metadata: Map<String, Value>,
    ) -> Result<Session, AuthError> {
        let hash = self.passwords.hash(password).await?;
        let id = Uuid::new_v4();
        let given_name = metadata
            .get("display_name")
            .or_else(|| metadata.get("full_name"))
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let name: String = given_name
            .or_else(|| email.split_once('@').map(|(local, _)| local))
            .unwrap_or(email)
            .chars()
            .take(80)
            .collect();
        let user = NewUser {
            id,
            email,
            display_name: Some(&name),
            avatar_url: None,
        };
        let txn = begin(self.db).await?;
        if !first_sight::create(&txn, &user, Keeper::Local, self.settings.credits.welcome).await?
            || !local_accounts::Entity::insert_if_new(
                &txn,
                id,
                email,
                &hash,
                Value::Object(metadata),
            )
            .await?
        {
            txn.rollback().await?;
            return Err(AuthError::EmailTaken);
        }
        let session = self.open_session(&txn, id).await?;
        txn.commit().await?;
        tracing::info!(user.id = %id, "an account was created");
        Ok(session)
    }

    /// Logs in with a password.
    ///
    /// # Errors
    /// [`AuthError::InvalidCredentials`], in the same time for unknown addresses.
    pub async fn log_in(&self, email: &str, password: &str) -> Result<Session, AuthError> {
        let account = local_accounts::Entity::find_by_email(self.db, email).await?;
        let hash = account
            .as_ref()
            .and_then(|account| account.password_hash.as_deref());
        let is_right = self.passwords.verify(password, hash).await?;
        let account = account
            .filter(|_| is_right)
            .ok_or(AuthError::InvalidCredentials)?;
        let txn = begin(self.db).await?;
        local_accounts::Entity::touch_sign_in(&txn, account.user_id).await?;
        let session = self.open_session(&txn, account.user_id).await?;
        txn.commit().await?;
        Ok(session)
    }

    /// Signs in with a proven Google account: the user it is tied to, the one with its address, or a
    /// new one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_in_with_google(&self, google: &GoogleAccount) -> Result<Session, AuthError> {
        let txn = begin(self.db).await?;
        let user_id = linking::google_user(&txn, google, self.settings.credits.welcome).await?;
        local_accounts::Entity::touch_sign_in(&txn, user_id).await?;
        let session = self.open_session(&txn, user_id).await?;
        txn.commit().await?;
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
        let txn = begin(self.db).await?;
        let user = NewUser {
            id: Uuid::new_v4(),
            email,
            display_name: metadata.get("display_name").and_then(Value::as_str),
            avatar_url: None,
        };
        let welcome = self.settings.credits.welcome;
        if first_sight::create(&txn, &user, Keeper::Local, welcome).await? {
            let metadata = Value::Object(metadata.clone());
            local_accounts::Entity::insert_proven(&txn, user.id, email, metadata).await?;
        }
        let account = local_accounts::Entity::find_by_email(&txn, email)
            .await?
            .ok_or_else(|| AuthError::DeveloperNotMade("its address is taken".to_owned()))?;
        let session = self.open_session(&txn, account.user_id).await?;
        txn.commit().await?;
        Ok(session)
    }

    /// Exchanges a refresh token. A token used again within the reuse window still gives a session
    /// (two tabs, a lost answer); later it is taken for stolen and its whole family is revoked.
    ///
    /// # Errors
    /// [`AuthError::RefreshTokenInvalid`].
    pub async fn refresh(&self, refresh_token: &str) -> Result<Session, AuthError> {
        let txn = begin(self.db).await?;
        let presented = auth_sessions::Entity::lock_token(&txn, digest(refresh_token))
            .await?
            .filter(|token| !token.is_expired && !token.is_revoked)
            .ok_or(AuthError::RefreshTokenInvalid)?;
        let window = f64::from(self.settings.auth.refresh_reuse_window_s);
        if presented
            .used_for_s
            .is_some_and(|used_for| used_for > window)
        {
            auth_sessions::Entity::revoke(&txn, presented.session_id, "refresh token reused")
                .await?;
            txn.commit().await?;
            tracing::warn!(user.id = %presented.user_id, "a refresh token was used again; its session is revoked");
            return Err(AuthError::RefreshTokenInvalid);
        }
        auth_sessions::Entity::mark_used(&txn, presented.token_id).await?;
        let session = self
            .issue(&txn, presented.user_id, presented.session_id)
            .await?;
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
        auth_sessions::Entity::log_out(self.db, user_id, session_id, scope).await?;
        Ok(())
    }

    /// The account of a user.
    ///
    /// # Errors
    /// [`AuthError::SessionInvalid`] when the user has none here.
    pub async fn account(&self, user_id: Uuid) -> Result<local_accounts::Model, AuthError> {
        local_accounts::Entity::find_by_id(user_id)
            .one(self.db)
            .await?
            .ok_or(AuthError::SessionInvalid)
    }

    async fn open_session(
        &self,
        txn: &DatabaseTransaction,
        user_id: Uuid,
    ) -> Result<Session, AuthError> {
        let session_id = auth_sessions::Entity::open(txn, user_id).await?;
        self.issue(txn, user_id, session_id).await
    }

    async fn issue(
        &self,
        txn: &DatabaseTransaction,
        user_id: Uuid,
        session_id: Uuid,
    ) -> Result<Session, AuthError> {
        let account = local_accounts::Entity::find_by_id(user_id)
            .one(txn)
            .await?
            .ok_or(AuthError::SessionInvalid)?;
        let refresh_token = random_token()?;
        auth_sessions::Entity::add_token(
            txn,
            session_id,
            digest(&refresh_token),
            self.settings.auth.refresh_token_ttl_days,
        )
        .await?;
        let valid_from = identities::Entity::tokens_valid_from(txn, user_id).await?;
        let (access_token, expires_at) = self.keys.issue(&TokenSubject {
            user_id,
            email: &account.email,
            user_metadata: &account.user_metadata,
            session_id,
            valid_from,
        })?;
        Ok(Session {
            access_token,
            expires_at,
            expires_in: self.keys.ttl_s(),
            refresh_token,
            account,
        })
    }
}

fn random_token() -> Result<String, AuthError> {
    let mut bytes = [0_u8; REFRESH_TOKEN_BYTES];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| AuthError::Crypto(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
