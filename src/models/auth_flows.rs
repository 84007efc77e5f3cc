//! Sign-ins under way between two sites or two tabs: known by a state until the provider has answered,
//! then by a code that the client exchanges. Each is good once.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};

pub use super::_entities::auth_flows::*;
use super::statement;

/// What began at `/authorize`.
#[derive(Debug, Clone, Copy)]
pub struct NewFlow<'a> {
    pub state_hash: &'a [u8],
    pub redirect_to: &'a str,
    /// PKCE challenge and its method; none for the implicit flow.
    pub challenge: Option<(&'a str, &'a str)>,
}

/// A sign-in that was taken out.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Flow {
    pub user_id: Option<Uuid>,
    pub method: String,
    pub redirect_to: Option<String>,
    pub code_challenge: Option<String>,
    pub code_challenge_method: Option<String>,
    pub is_expired: bool,
}

const TAKE: &str = "returning user_id, method, redirect_to, code_challenge, code_challenge_method,
    expires_at <= now() as is_expired";

impl Entity {
    /// Begins a sign-in at another site.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(
        db: &impl ConnectionTrait,
        flow: &NewFlow<'_>,
        ttl_s: i64,
    ) -> Result<(), DbErr> {
        let (challenge, method) = flow.challenge.unzip();
        db.execute_raw(statement(
            "insert into auth_flows (id, state_hash, method, redirect_to, code_challenge,
                                     code_challenge_method, expires_at)
             values ($1, $2, 'oauth', $3, $4, $5, now() + $6 * interval '1 second')",
            [
                Uuid::now_v7().into(),
                flow.state_hash.to_vec().into(),
                flow.redirect_to.into(),
                challenge.map(ToOwned::to_owned).into(),
                method.map(ToOwned::to_owned).into(),
                ttl_s.into(),
            ],
        ))
        .await?;
        Ok(())
    }

    /// Takes out what began with this state.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_by_state(
        db: &impl ConnectionTrait,
        state_hash: &[u8],
    ) -> Result<Option<Flow>, DbErr> {
        Flow::find_by_statement(statement(
            &format!("delete from auth_flows where state_hash = $1 {TAKE}"),
            [state_hash.to_vec().into()],
        ))
        .one(db)
        .await
    }

    /// Keeps a code for a user who has proven who they are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_code(
        db: &impl ConnectionTrait,
        code_hash: &[u8],
        user_id: Uuid,
        method: &str,
        (challenge, challenge_method): (&str, &str),
        ttl_s: i64,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "insert into auth_flows (id, code_hash, user_id, method, code_challenge,
                                     code_challenge_method, expires_at)
             values ($1, $2, $3, $4, $5, $6, now() + $7 * interval '1 second')",
            [
                Uuid::now_v7().into(),
                code_hash.to_vec().into(),
                user_id.into(),
                method.into(),
                challenge.into(),
                challenge_method.into(),
                ttl_s.into(),
            ],
        ))
        .await?;
        Ok(())
    }

    /// Takes out the sign-in of a code.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_by_code(
        db: &impl ConnectionTrait,
        code_hash: &[u8],
    ) -> Result<Option<Flow>, DbErr> {
        Flow::find_by_statement(statement(
            &format!("delete from auth_flows where code_hash = $1 {TAKE}"),
            [code_hash.to_vec().into()],
        ))
        .one(db)
        .await
    }

    /// Drops what is under way for a user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_of(db: &impl ConnectionTrait, user_id: Uuid) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "delete from auth_flows where user_id = $1",
            [user_id.into()],
        ))
        .await?;
        Ok(())
    }

    /// Deletes what expired an hour ago, at most `batch`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge(db: &impl ConnectionTrait, batch: i64) -> Result<u64, DbErr> {
        let result = db
            .execute_raw(statement(
                "delete from auth_flows where id in (
                    select id from auth_flows where expires_at < now() - interval '1 hour' limit $1)",
                [batch.into()],
            ))
            .await?;
        Ok(result.rows_affected())
    }
}
