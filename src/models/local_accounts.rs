//! Own accounts: e-mail, password hash and metadata of users whose identity is kept here.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, prelude::Uuid};
use serde_json::Value;

pub use super::_entities::local_accounts::*;
use super::statement;

impl Entity {
    /// The account with this (lower-case) e-mail.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_by_email(
        db: &impl ConnectionTrait,
        email: &str,
    ) -> Result<Option<Model>, DbErr> {
        Self::find().filter(Column::Email.eq(email)).one(db).await
    }

    /// Creates an account with a confirmed address unless the e-mail is taken; tells whether it did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_if_new(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        email: &str,
        password_hash: &str,
        user_metadata: Value,
    ) -> Result<bool, DbErr> {
        let result = db
            .execute_raw(statement(
                "insert into local_accounts (user_id, email, password_hash, user_metadata, last_sign_in_at)
                 values ($1, $2, $3, $4, now()) on conflict do nothing",
                [
                    user_id.into(),
                    email.into(),
                    password_hash.into(),
                    user_metadata.into(),
                ],
            ))
            .await?;
        Ok(result.rows_affected() == 1)
    }

    /// Creates an account without a password whose address is proven; tells whether it did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_proven(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        email: &str,
        user_metadata: Value,
    ) -> Result<bool, DbErr> {
        let result = db
            .execute_raw(statement(
                "insert into local_accounts (user_id, email, user_metadata, email_confirmed_at, last_sign_in_at)
                 values ($1, $2, $3, now(), now()) on conflict do nothing",
                [user_id.into(), email.into(), user_metadata.into()],
            ))
            .await?;
        Ok(result.rows_affected() == 1)
    }

    /// Notes that the address is proven. If it was not before, the password goes; tells whether it was so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prove(db: &impl ConnectionTrait, user_id: Uuid) -> Result<bool, DbErr> {
        let result = db
            .execute_raw(statement(
                "update local_accounts
                 set email_confirmed_at = now(), password_hash = null, updated_at = now()
                 where user_id = $1 and email_confirmed_at is null",
                [user_id.into()],
            ))
            .await?;
        Ok(result.rows_affected() == 1)
    }

    /// Notes a log-in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn touch_sign_in(db: &impl ConnectionTrait, user_id: Uuid) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update local_accounts set last_sign_in_at = now() where user_id = $1",
            [user_id.into()],
        ))
        .await?;
        Ok(())
    }
}
