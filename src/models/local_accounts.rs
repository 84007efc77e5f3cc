//! Own accounts: e-mail, password hash and metadata of users whose identity is kept here.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, prelude::Uuid,
};
use serde_json::Value;

pub use super::_entities::local_accounts::*;
use super::statement;

/// An account to create for a user who has none here.
#[derive(Debug, Clone)]
pub struct NewAccount<'a> {
    pub user_id: Uuid,
    /// Lower-case.
    pub email: &'a str,
    pub password_hash: Option<&'a str>,
    /// Whether the owner of the address has shown up.
    pub is_proven: bool,
    pub user_metadata: Value,
    /// `provider` and `providers`, as GoTrue has them.
    pub app_metadata: Value,
}

#[derive(Debug, FromQueryResult)]
struct Found {
    user_id: Uuid,
}

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

    /// The same with its row locked: what is decided about it is decided once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_by_email(
        db: &impl ConnectionTrait,
        email: &str,
    ) -> Result<Option<Model>, DbErr> {
        let found = Found::find_by_statement(statement(
            "select user_id from local_accounts where email = $1 for update",
            [email.into()],
        ))
        .one(db)
        .await?;
        match found {
            Some(found) => Self::find_by_id(found.user_id).one(db).await,
            None => Ok(None),
        }
    }

    /// The account of a user with its row locked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock(db: &impl ConnectionTrait, user_id: Uuid) -> Result<Option<Model>, DbErr> {
        db.execute_raw(statement(
            "select 1 from local_accounts where user_id = $1 for update",
            [user_id.into()],
        ))
        .await?;
        Self::find_by_id(user_id).one(db).await
    }

    /// Creates an account unless the e-mail or the user has one; tells whether it did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_if_new(
        db: &impl ConnectionTrait,
        account: &NewAccount<'_>,
    ) -> Result<bool, DbErr> {
        let result = db
            .execute_raw(statement(
                "insert into local_accounts (user_id, email, password_hash, email_confirmed_at,
                                             user_metadata, app_metadata, last_sign_in_at)
                 values ($1, $2, $3, case when $4 then now() end, $5, $6, now())
                 on conflict do nothing",
                [
                    account.user_id.into(),
                    account.email.into(),
                    account.password_hash.map(ToOwned::to_owned).into(),
                    account.is_proven.into(),
                    account.user_metadata.clone().into(),
                    account.app_metadata.clone().into(),
                ],
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
                 set email_confirmed_at = now(), password_hash = null, new_email = null,
                     email_change_sent_at = null, updated_at = now()
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

    /// Adds a way to sign in to what the account says of itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_provider(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        provider: &str,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update local_accounts set updated_at = now(),
                app_metadata = jsonb_set(app_metadata, '{providers}',
                    coalesce(app_metadata->'providers', '[]') || to_jsonb($2::text))
             where user_id = $1 and not coalesce(app_metadata->'providers', '[]') ? $2",
            [user_id.into(), provider.into()],
        ))
        .await?;
        Ok(())
    }

    /// Sets the password.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_password(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        password_hash: &str,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update local_accounts set password_hash = $2, updated_at = now() where user_id = $1",
            [user_id.into(), password_hash.into()],
        ))
        .await?;
        Ok(())
    }

    /// Merges metadata; `null` takes a key away.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_metadata(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        metadata: Value,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update local_accounts set user_metadata = $2, updated_at = now() where user_id = $1",
            [user_id.into(), metadata.into()],
        ))
        .await?;
        Ok(())
    }

    /// Notes the address that waits for its proof.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn await_email(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        new_email: &str,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update local_accounts set new_email = $2, email_change_sent_at = now(), updated_at = now()
             where user_id = $1",
            [user_id.into(), new_email.into()],
        ))
        .await?;
        Ok(())
    }

    /// Puts a proven address in place; `false` when another account has it.
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
                "update local_accounts set email = $2, email_confirmed_at = now(), new_email = null,
                        email_change_sent_at = null, updated_at = now()
                 where user_id = $1
                   and not exists (select 1 from local_accounts where email = $2 and user_id <> $1)",
                [user_id.into(), email.into()],
            ))
            .await?;
        Ok(result.rows_affected() == 1)
    }
}
