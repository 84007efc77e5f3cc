//! Log-ins and their refresh tokens. A session is the family that is revoked as one.

use chrono::{DateTime, FixedOffset};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};

pub use super::_entities::auth_sessions::*;
use super::statement;

/// A presented refresh token, its row locked.
#[derive(Debug, FromQueryResult)]
pub struct PresentedToken {
    pub token_id: i64,
    pub session_id: Uuid,
    pub user_id: Uuid,
    /// How the session was opened.
    pub method: String,
    pub is_expired: bool,
    pub is_revoked: bool,
    pub used_at: Option<DateTime<FixedOffset>>,
    /// Seconds since it was first used.
    pub used_for_s: Option<f64>,
}

/// Which sessions a log-out ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoutScope {
    /// Every session of the user.
    Global,
    /// The session of the presented token.
    Local,
    /// Every session but that one.
    Others,
}

impl Entity {
    /// Opens a session; `method` says how (`password`, `otp`, `recovery`, `oauth`).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        method: &str,
    ) -> Result<Uuid, DbErr> {
        let id = Uuid::new_v4();
        db.execute_raw(statement(
            "insert into auth_sessions (id, user_id, method) values ($1, $2, $3)",
            [id.into(), user_id.into(), method.into()],
        ))
        .await?;
        Ok(id)
    }

    /// Whether a session of this user has not ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_live(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        session_id: Uuid,
    ) -> Result<bool, DbErr> {
        let row = db
            .query_one_raw(statement(
                "select 1 from auth_sessions where id = $1 and user_id = $2 and revoked_at is null",
                [session_id.into(), user_id.into()],
            ))
            .await?;
        Ok(row.is_some())
    }

    /// Adds a refresh token to a session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_token(
        db: &impl ConnectionTrait,
        session_id: Uuid,
        token_hash: Vec<u8>,
        ttl_days: u32,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "insert into refresh_tokens (session_id, token_hash, expires_at)
             values ($1, $2, now() + make_interval(days => $3))",
            [
                session_id.into(),
                token_hash.into(),
                i32::try_from(ttl_days).unwrap_or(i32::MAX).into(),
            ],
        ))
        .await?;
        Ok(())
    }

    /// Finds a presented token and locks it, so that two uses are judged one after the other.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_token(
        db: &impl ConnectionTrait,
        token_hash: Vec<u8>,
    ) -> Result<Option<PresentedToken>, DbErr> {
        PresentedToken::find_by_statement(statement(
            "select t.id as token_id, t.session_id, s.user_id, s.method, t.expires_at <= now() as is_expired,
                    s.revoked_at is not null as is_revoked, t.used_at,
                    extract(epoch from clock_timestamp() - t.used_at)::float8 as used_for_s
             from refresh_tokens t join auth_sessions s on s.id = t.session_id
             where t.token_hash = $1 for update of t, s",
            [token_hash.into()],
        ))
        .one(db)
        .await
    }

    /// Marks a token as used; the first use counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_used(db: &impl ConnectionTrait, token_id: i64) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update refresh_tokens set used_at = coalesce(used_at, clock_timestamp()) where id = $1",
            [token_id.into()],
        ))
        .await?;
        Ok(())
    }

    /// Revokes one session with all its refresh tokens.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke(
        db: &impl ConnectionTrait,
        session_id: Uuid,
        reason: &str,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update auth_sessions set revoked_at = now(), revoked_reason = $2
             where id = $1 and revoked_at is null",
            [session_id.into(), reason.into()],
        ))
        .await?;
        Ok(())
    }

    /// Ends sessions of a user as `scope` says, and notes why.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        session_id: Option<Uuid>,
        scope: LogoutScope,
        reason: &str,
    ) -> Result<u64, DbErr> {
        let sql = match scope {
            LogoutScope::Global => "true or id = $2",
            LogoutScope::Local => "id = $2",
            LogoutScope::Others => "id <> $2",
        };
        let result = db
            .execute_raw(statement(
                &format!(
                    "update auth_sessions set revoked_at = now(), revoked_reason = $3
                     where user_id = $1 and revoked_at is null and ({sql})"
                ),
                [
                    user_id.into(),
                    session_id.unwrap_or_default().into(),
                    reason.into(),
                ],
            ))
            .await?;
        Ok(result.rows_affected())
    }

    /// Deletes single refresh tokens that expired a day ago, at most `batch`; their sessions may live on
    /// with newer ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge_tokens(db: &impl ConnectionTrait, batch: i64) -> Result<u64, DbErr> {
        let result = db
            .execute_raw(statement(
                "delete from refresh_tokens where id in (
                    select id from refresh_tokens where expires_at < now() - interval '1 day' limit $1)",
                [batch.into()],
            ))
            .await?;
        Ok(result.rows_affected())
    }

    /// Deletes sessions that can give no token any more, oldest first, at most `batch`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge(db: &impl ConnectionTrait, batch: i64) -> Result<u64, DbErr> {
        let result = db
            .execute_raw(statement(
                "delete from auth_sessions where id in (
                    select s.id from auth_sessions s
                    where s.created_at < now() - interval '1 day' and (
                        s.revoked_at < now() - interval '1 day'
                        or not exists (select 1 from refresh_tokens t
                                       where t.session_id = s.id and t.expires_at > now()))
                    limit $1)",
                [batch.into()],
            ))
            .await?;
        Ok(result.rows_affected())
    }
}
