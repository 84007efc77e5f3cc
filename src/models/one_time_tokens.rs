//! Links and codes that were mailed: stored hashed, good once, and not for long.

use sea_orm::{ColumnTrait, QueryOrder, QuerySelect};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, prelude::Uuid};
use serde_json::Value;

pub use super::_entities::one_time_tokens::*;
use super::statement;

/// Links of one kind that one address may have at the same time; older ones go.
const KEPT: i64 = 3;

/// What a link or code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Confirms a sign-up with a password.
    SignUp,
    /// Signs in, or up.
    MagicLink,
    /// Signs in to choose a new password.
    Recovery,
    /// Confirms a new address.
    EmailChange,
}

impl Kind {
    /// The text in the column and in links.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignUp => "signup",
            Self::MagicLink => "magiclink",
            Self::Recovery => "recovery",
            Self::EmailChange => "email_change",
        }
    }

    /// The kind of a row.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        [
            Self::SignUp,
            Self::MagicLink,
            Self::Recovery,
            Self::EmailChange,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
    }
}

/// A token to store.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    pub kind: Kind,
    pub email: &'a str,
    pub user_id: Option<Uuid>,
    pub link_hash: &'a [u8],
    pub code_hash: &'a [u8],
    pub password_hash: Option<String>,
    pub user_metadata: Option<Value>,
    /// PKCE challenge and its method.
    pub challenge: Option<(String, String)>,
    pub ttl_s: i64,
}

#[derive(Debug, FromQueryResult)]
struct Found {
    id: Uuid,
}

impl Entity {
    /// Stores a token and forgets the oldest ones of its kind and address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add(db: &impl ConnectionTrait, token: NewToken<'_>) -> Result<(), DbErr> {
        let (challenge, method) = token.challenge.unzip();
        db.execute_raw(statement(
            "insert into one_time_tokens (id, kind, email, user_id, link_hash, code_hash, password_hash,
                user_metadata, code_challenge, code_challenge_method, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + $11 * interval '1 second')",
            [
                Uuid::now_v7().into(),
                token.kind.as_str().into(),
                token.email.into(),
                token.user_id.into(),
                token.link_hash.to_vec().into(),
                token.code_hash.to_vec().into(),
                token.password_hash.into(),
                token.user_metadata.into(),
                challenge.into(),
                method.into(),
                token.ttl_s.into(),
            ],
        ))
        .await?;
        db.execute_raw(statement(
            "delete from one_time_tokens where id in (
                select id from one_time_tokens where email = $1 and kind = $2
                order by created_at desc, id desc offset $3)",
            [token.email.into(), token.kind.as_str().into(), KEPT.into()],
        ))
        .await?;
        Ok(())
    }

    /// The live token of a link, its row locked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_by_link(
        db: &impl ConnectionTrait,
        link_hash: &[u8],
    ) -> Result<Option<Model>, DbErr> {
        let found = Found::find_by_statement(statement(
            "select id from one_time_tokens where link_hash = $1 and expires_at > now() for update",
            [link_hash.to_vec().into()],
        ))
        .one(db)
        .await?;
        Self::by_found(db, found).await
    }

    /// The newest live token of one of these kinds for an address, its row locked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_newest(
        db: &impl ConnectionTrait,
        email: &str,
        kinds: &[Kind],
    ) -> Result<Option<Model>, DbErr> {
        let kinds: Vec<String> = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        let found = Found::find_by_statement(statement(
            "select id from one_time_tokens
             where email = $1 and kind = any($2) and expires_at > now()
             order by created_at desc, id desc limit 1 for update",
            [email.into(), kinds.into()],
        ))
        .one(db)
        .await?;
        Self::by_found(db, found).await
    }

    async fn by_found(
        db: &impl ConnectionTrait,
        found: Option<Found>,
    ) -> Result<Option<Model>, DbErr> {
        match found {
            Some(found) => Self::find_by_id(found.id).one(db).await,
            None => Ok(None),
        }
    }

    /// The newest sign-up that waits for the proof of its address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_pending_sign_up(
        db: &impl ConnectionTrait,
        email: &str,
    ) -> Result<Option<Model>, DbErr> {
        Self::find()
            .filter(Column::Email.eq(email))
            .filter(Column::Kind.eq(Kind::SignUp.as_str()))
            .filter(Column::ExpiresAt.gt(chrono::Utc::now()))
            .order_by_desc(Column::CreatedAt)
            .limit(1)
            .one(db)
            .await
    }

    /// Counts a wrong code.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_wrong_code(db: &impl ConnectionTrait, id: Uuid) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update one_time_tokens set wrong_codes = wrong_codes + 1 where id = $1",
            [id.into()],
        ))
        .await?;
        Ok(())
    }

    /// Takes out every token of an address: one was used, so the others have become worthless.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_of(db: &impl ConnectionTrait, email: &str) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "delete from one_time_tokens where email = $1",
            [email.into()],
        ))
        .await?;
        Ok(())
    }

    /// Takes out the changes of address that a user has under way.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_of_user(db: &impl ConnectionTrait, user_id: Uuid) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "delete from one_time_tokens where user_id = $1",
            [user_id.into()],
        ))
        .await?;
        Ok(())
    }

    /// Deletes expired ones, at most `batch`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge(db: &impl ConnectionTrait, batch: i64) -> Result<u64, DbErr> {
        let result = db
            .execute_raw(statement(
                "delete from one_time_tokens where id in (
                    select id from one_time_tokens where expires_at < now() limit $1)",
                [batch.into()],
            ))
            .await?;
        Ok(result.rows_affected())
    }
}
