//! Mailed links and codes: each is good once.

use sea_orm::{DatabaseTransaction, DbErr, SqlErr};
use subtle::ConstantTimeEq;

use super::{Arrived, LocalAccounts, Session, arrival::Arrival};
use crate::{
    auth::{AuthError, pkce::Challenge, random::digest},
    models::{
        begin, identities, local_accounts,
        one_time_tokens::{self, Kind, Model},
    },
};

/// Wrong codes after which a mail's code is worth nothing; its link still is.
const MAX_WRONG_CODES: i16 = 5;

/// What somebody shows from a mail.
#[derive(Debug, Clone, Copy)]
pub enum Proof<'a> {
    /// The secret of the link.
    Link(&'a str),
    /// The code, with the address it was sent to (lower-case).
    Code { email: &'a str, code: &'a str },
}

/// Where a followed link ends.
#[derive(Debug)]
pub struct LinkEnd {
    pub kind: Kind,
    pub arrived: Arrived,
}

impl LocalAccounts {
    /// Exchanges a link's secret or a code for a session.
    ///
    /// # Errors
    /// [`AuthError::LinkInvalid`] when it is unknown, used, expired or of another kind.
    pub async fn verify(&self, proof: Proof<'_>, kinds: &[Kind]) -> Result<Session, AuthError> {
        let txn = begin(&self.db).await?;
        let token = match self.take(&txn, proof, kinds).await? {
            Some(token) => token,
            None => {
                // A wrong code stays counted.
                txn.commit().await?;
                return Err(AuthError::LinkInvalid);
            }
        };
        let method = method_of(&token);
        let user_id = self.accept(&txn, &token).await?;
        let session = self.open_session(&txn, user_id, method).await?;
        txn.commit().await?;
        self.carrier.inside().committed();
        Ok(session)
    }

    /// Follows a link: to a code for who began the sign-in, or straight to a session.
    ///
    /// # Errors
    /// [`AuthError::LinkInvalid`].
    pub async fn follow_link(&self, secret: &str, kinds: &[Kind]) -> Result<LinkEnd, AuthError> {
        let txn = begin(&self.db).await?;
        let token = self
            .take(&txn, Proof::Link(secret), kinds)
            .await?
            .ok_or(AuthError::LinkInvalid)?;
        let kind = Kind::of(&token.kind).ok_or(AuthError::LinkInvalid)?;
        let method = method_of(&token);
        let challenge = Challenge::read(
            token.code_challenge.as_deref(),
            token.code_challenge_method.as_deref(),
        )
        .map_err(|_| AuthError::LinkInvalid)?;
        let user_id = self.accept(&txn, &token).await?;
        let arrived = self
            .arrived(&txn, user_id, method, challenge.as_ref())
            .await?;
        txn.commit().await?;
        self.carrier.inside().committed();
        Ok(LinkEnd { kind, arrived })
    }

    /// Sets the password of the account that a recovery link was mailed for. The link is used up, and so
    /// is every log-in.
    ///
    /// # Errors
    /// [`AuthError::LinkInvalid`]; [`AuthError::WeakPassword`] and [`AuthError::LeakedPassword`], which
    /// leave the link as it was.
    pub async fn reset_password(&self, secret: &str, password: &str) -> Result<(), AuthError> {
        let kinds = [Kind::Recovery];
        let txn = begin(&self.db).await?;
        let email = one_time_tokens::Entity::lock_by_link(&txn, &digest(secret))
            .await?
            .filter(|token| is_of(token, &kinds))
            .ok_or(AuthError::LinkInvalid)?
            .email;
        txn.rollback().await?;
        // Hashing takes long: outside any transaction.
        let hash = self.passwords.hash_new(password, &email).await?;
        let txn = begin(&self.db).await?;
        let token = self
            .take(&txn, Proof::Link(secret), &kinds)
            .await?
            .ok_or(AuthError::LinkInvalid)?;
        let user_id = self.accept(&txn, &token).await?;
        self.put_password(&txn, user_id, None, &token.email, &hash)
            .await?;
        txn.commit().await?;
        self.carrier.inside().committed();
        Ok(())
    }

    /// Whether a link would still be good, without using it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_good_link(&self, secret: &str, kinds: &[Kind]) -> Result<bool, AuthError> {
        let txn = begin(&self.db).await?;
        let token = one_time_tokens::Entity::lock_by_link(&txn, &digest(secret)).await?;
        txn.rollback().await?;
        Ok(token.is_some_and(|token| is_of(&token, kinds)))
    }

    /// The token behind a proof, its row locked.
    async fn take(
        &self,
        txn: &DatabaseTransaction,
        proof: Proof<'_>,
        kinds: &[Kind],
    ) -> Result<Option<Model>, AuthError> {
        match proof {
            Proof::Link(secret) => {
                let token = one_time_tokens::Entity::lock_by_link(txn, &digest(secret)).await?;
                Ok(token.filter(|token| is_of(token, kinds)))
            }
            Proof::Code { email, code } => {
                // Made for unknown addresses too: both take the same time.
                let given = self.code_digest(email, code)?;
                let Some(token) = one_time_tokens::Entity::lock_newest(txn, email, kinds).await?
                else {
                    return Ok(None);
                };
                let is_right = bool::from(token.code_hash.ct_eq(&given));
                if is_right && token.wrong_codes < MAX_WRONG_CODES {
                    return Ok(Some(token));
                }
                one_time_tokens::Entity::count_wrong_code(txn, token.id).await?;
                Ok(None)
            }
        }
    }

    /// Does what a token is for, uses it up, and gives its user.
    async fn accept(
        &self,
        txn: &DatabaseTransaction,
        token: &Model,
    ) -> Result<uuid::Uuid, AuthError> {
        if let (Some(user_id), Some(Kind::EmailChange)) = (token.user_id, Kind::of(&token.kind)) {
            // Users before accounts, as everywhere.
            identities::Entity::lock_users(txn, user_id, &token.email).await?;
            one_time_tokens::Entity::drop_of(txn, &token.email).await?;
            one_time_tokens::Entity::drop_of_user(txn, user_id).await?;
            local_accounts::Entity::lock(txn, user_id).await?;
            if !local_accounts::Entity::change_email(txn, user_id, &token.email)
                .await
                .map_err(taken)?
                || !identities::Entity::change_email(txn, user_id, &token.email)
                    .await
                    .map_err(taken)?
            {
                return Err(AuthError::EmailTaken);
            }
            tracing::info!(user.id = %user_id, "an account has a new address");
            return Ok(user_id);
        }
        let metadata = token
            .user_metadata
            .as_ref()
            .and_then(|value| value.as_object().cloned())
            .unwrap_or_default();
        let account = self
            .arrive(
                txn,
                Arrival {
                    email: &token.email,
                    metadata,
                    password_hash: token.password_hash.clone(),
                    is_recovery: token.kind == Kind::Recovery.as_str(),
                },
            )
            .await?;
        Ok(account.user_id)
    }
}

/// Somebody else got the address at the same moment.
fn taken(error: DbErr) -> AuthError {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => AuthError::EmailTaken,
        _ => AuthError::Database(error),
    }
}

fn is_of(token: &Model, kinds: &[Kind]) -> bool {
    Kind::of(&token.kind).is_some_and(|kind| kinds.contains(&kind))
}

/// How a session that this token opens was made.
fn method_of(token: &Model) -> &'static str {
    if token.kind == Kind::Recovery.as_str() {
        "recovery"
    } else {
        "otp"
    }
}
