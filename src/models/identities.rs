//! Identities: whom an identity provider calls so, and which user of ours that is.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, prelude::Uuid};

pub use super::_entities::identities::*;
use super::statement;

/// A user's row, locked so that what is decided about it still holds when it is written.
#[derive(Debug, FromQueryResult)]
pub struct LockedUser {
    pub id: Uuid,
    pub email: String,
}

impl Entity {
    /// The user behind an identity.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_of(
        db: &impl ConnectionTrait,
        provider: &str,
        subject: &str,
    ) -> Result<Option<Uuid>, DbErr> {
        let row = db
            .query_one_raw(statement(
                "select user_id from identities where provider = $1 and subject = $2",
                [provider.into(), subject.into()],
            ))
            .await?;
        row.map(|row| row.try_get("", "user_id")).transpose()
    }

    /// Ties an identity to a user; an identity that exists stays with its owner.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tie(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        provider: &str,
        subject: &str,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "insert into identities (id, user_id, provider, subject) values ($1, $2, $3, $4)
             on conflict (provider, subject) do nothing",
            [
                Uuid::now_v7().into(),
                user_id.into(),
                provider.into(),
                subject.into(),
            ],
        ))
        .await?;
        Ok(())
    }

    /// Whether a user has an identity at this provider.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_tied(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        provider: &str,
    ) -> Result<bool, DbErr> {
        let row = db
            .query_one_raw(statement(
                "select 1 from identities where user_id = $1 and provider = $2 limit 1",
                [user_id.into(), provider.into()],
            ))
            .await?;
        Ok(row.is_some())
    }

    /// The living users with this id or this e-mail, locked in one order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_users(
        db: &impl ConnectionTrait,
        id: Uuid,
        email: &str,
    ) -> Result<Vec<LockedUser>, DbErr> {
        LockedUser::find_by_statement(statement(
            "select id, email from users where (id = $1 or email = $2) and anonymized_at is null
             order by id for update",
            [id.into(), email.into()],
        ))
        .all(db)
        .await
    }

    /// Makes access tokens worthless that were issued until now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_tokens(db: &impl ConnectionTrait, user_id: Uuid) -> Result<(), DbErr> {
        // Tokens name whole seconds: the one that runs counts as past, and new tokens as of the next.
        db.execute_raw(statement(
            "update users set tokens_valid_from = date_trunc('second', clock_timestamp()) + interval '1 second',
                updated_at = now()
             where id = $1",
            [user_id.into()],
        ))
        .await?;
        Ok(())
    }

    /// From when on a user's access tokens count, seconds since 1970; zero: always.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tokens_valid_from(db: &impl ConnectionTrait, user_id: Uuid) -> Result<i64, DbErr> {
        let row = db
            .query_one_raw(statement(
                "select coalesce(extract(epoch from tokens_valid_from), 0)::bigint as valid_from
                 from users where id = $1",
                [user_id.into()],
            ))
            .await?;
        row.map_or(Ok(0), |row| row.try_get("", "valid_from"))
    }

    /// Writes an e-mail unless another user has it; tells whether it is the user's now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_email(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        email: &str,
    ) -> Result<bool, DbErr> {
        let result = db
            .execute_raw(statement(
                "update users set email = $2, updated_at = now()
                 where id = $1 and not exists (select 1 from users where email = $2 and id <> $1)",
                [user_id.into(), email.into()],
            ))
            .await?;
        Ok(result.rows_affected() == 1)
    }

    /// Fills name and picture where the user has none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn complete_profile(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        display_name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update users set
                display_name = coalesce(display_name, $2),
                avatar_url = case when profile_image_key is null then coalesce(avatar_url, $3)
                             else avatar_url end,
                updated_at = now()
             where id = $1 and ((display_name is null and $2::text is not null)
                or (avatar_url is null and profile_image_key is null and $3::text is not null))",
            [
                user_id.into(),
                display_name.map(ToOwned::to_owned).into(),
                avatar_url.map(ToOwned::to_owned).into(),
            ],
        ))
        .await?;
        Ok(())
    }
}
