//! Sessions: opening, the tokens of one, and the rotation of refresh tokens.

use sea_orm::{DatabaseTransaction, EntityTrait, prelude::Uuid};

use super::LocalAccounts;
use crate::{
    auth::{
        AuthError,
        random::{digest, random_token},
        tokens::TokenSubject,
    },
    models::{auth_sessions, begin, identities, local_accounts},
};

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

impl LocalAccounts {
    /// Exchanges a refresh token. A token used again within the reuse window still gives a session
    /// (two tabs, a lost answer); later it is taken for stolen and its whole family is revoked.
    ///
    /// # Errors
    /// [`AuthError::RefreshTokenInvalid`].
    pub async fn refresh(&self, refresh_token: &str) -> Result<Session, AuthError> {
        let txn = begin(&self.db).await?;
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
            .issue(
                &txn,
                presented.user_id,
                presented.session_id,
                &presented.method,
            )
            .await?;
        txn.commit().await?;
        Ok(session)
    }

    /// Opens a session and gives its first tokens.
    pub(in crate::auth) async fn open_session(
        &self,
        txn: &DatabaseTransaction,
        user_id: Uuid,
        method: &str,
    ) -> Result<Session, AuthError> {
        let session_id = auth_sessions::Entity::open(txn, user_id, method).await?;
        self.issue(txn, user_id, session_id, method).await
    }

    async fn issue(
        &self,
        txn: &DatabaseTransaction,
        user_id: Uuid,
        session_id: Uuid,
        method: &str,
    ) -> Result<Session, AuthError> {
        let account = local_accounts::Entity::find_by_id(user_id)
            .one(txn)
            .await?
            .ok_or(AuthError::SessionInvalid)?;
        let valid_from = identities::Entity::tokens_valid_from(txn, user_id).await?;
        let refresh_token = random_token()?;
        auth_sessions::Entity::add_token(
            txn,
            session_id,
            digest(&refresh_token),
            self.settings.auth.refresh_token_ttl_days,
        )
        .await?;
        let (access_token, expires_at) = self.keys.issue(&TokenSubject {
            user_id,
            email: &account.email,
            app_metadata: &account.app_metadata,
            user_metadata: &account.user_metadata,
            session_id,
            method,
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
