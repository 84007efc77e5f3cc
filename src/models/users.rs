//! Users: who somebody is to us. Balances are in the ledger, credentials in `local_accounts`.

use std::collections::HashMap;

use chrono::{DateTime, FixedOffset};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult, Value, prelude::Uuid};

pub use super::_entities::{sea_orm_active_enums::UserRole, users::*};
use super::{enum_of, enum_text, statement};

/// A user as every signed-in request sees it: the row, the credits and the live subscription, read
/// in one round trip.
#[derive(Debug, Clone)]
pub struct Profile {
    pub id: Uuid,
    pub email: String,
    pub display_name: Option<String>,
    pub profile_image_key: Option<String>,
    pub avatar_url: Option<String>,
    pub role: UserRole,
    /// Spendable credits; below zero only within the grace.
    pub available: i64,
    /// Clawed-back credits that were already spent; zero or below.
    pub debt: i64,
    pub subscription: Option<LiveSubscription>,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
    /// Whether the account was deleted; such a user is never let in.
    pub is_anonymized: bool,
    /// Access tokens issued before this are refused, seconds since 1970.
    pub tokens_valid_from: i64,
}

/// The subscription that has not ended.
#[derive(Debug, Clone)]
pub struct LiveSubscription {
    pub id: Uuid,
    pub status: String,
    pub current_period_start: DateTime<FixedOffset>,
    pub current_period_end: DateTime<FixedOffset>,
    pub cancel_at_period_end: bool,
    pub created_at: DateTime<FixedOffset>,
}

impl Profile {
    /// The role's text.
    #[must_use]
    pub fn role_text(&self) -> String {
        enum_text(&self.role)
    }

    /// Credits as shown: available plus debt, never below zero while there is debt
    /// (payments contract 11.2).
    #[must_use]
    pub fn credits(&self) -> i64 {
        if self.debt < 0 {
            self.available.saturating_add(self.debt).max(0)
        } else {
            self.available
        }
    }
}

impl FromQueryResult for Profile {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        let role: String = row.try_get(prefix, "role")?;
        let subscription_id: Option<Uuid> = row.try_get(prefix, "subscription_id")?;
        let subscription = match subscription_id {
            None => None,
            Some(id) => Some(LiveSubscription {
                id,
                status: row.try_get(prefix, "subscription_status")?,
                current_period_start: row.try_get(prefix, "current_period_start")?,
                current_period_end: row.try_get(prefix, "current_period_end")?,
                cancel_at_period_end: row.try_get(prefix, "cancel_at_period_end")?,
                created_at: row.try_get(prefix, "subscription_created_at")?,
            }),
        };
        Ok(Self {
            id: row.try_get(prefix, "id")?,
            email: row.try_get(prefix, "email")?,
            display_name: row.try_get(prefix, "display_name")?,
            profile_image_key: row.try_get(prefix, "profile_image_key")?,
            avatar_url: row.try_get(prefix, "avatar_url")?,
            role: enum_of::<UserRole>(&role)?,
            available: row.try_get(prefix, "available")?,
            debt: row.try_get(prefix, "debt")?,
            subscription,
            created_at: row.try_get(prefix, "created_at")?,
            updated_at: row.try_get(prefix, "updated_at")?,
            is_anonymized: row.try_get(prefix, "is_anonymized")?,
            tokens_valid_from: row.try_get(prefix, "tokens_valid_from")?,
        })
    }
}

const PROFILE: &str = "
select u.id, u.email, u.display_name, u.profile_image_key, u.avatar_url, u.role::text as role,
       u.created_at, u.updated_at, u.anonymized_at is not null as is_anonymized,
       coalesce(extract(epoch from u.tokens_valid_from), 0)::bigint as tokens_valid_from,
       coalesce(a.balance, 0) as available, coalesce(d.balance, 0) as debt,
       s.id as subscription_id, s.status::text as subscription_status, s.current_period_start,
       s.current_period_end, s.cancel_at_period_end, s.created_at as subscription_created_at
from users u
left join credit_accounts a on a.user_id = u.id and a.kind = 'available'
left join credit_accounts d on d.user_id = u.id and d.kind = 'debt'
left join subscriptions s on s.user_id = u.id and s.ended_at is null
";

impl Entity {
    /// The user behind a proven identity.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_by_identity(
        db: &impl ConnectionTrait,
        provider: &str,
        subject: &str,
    ) -> Result<Option<Profile>, DbErr> {
        let mut found = Self::find_by_identities(db, provider, vec![subject.to_owned()]).await?;
        Ok(found.remove(subject))
    }

    /// The users behind proven identities of one provider, by their subjects.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_by_identities(
        db: &impl ConnectionTrait,
        provider: &str,
        subjects: Vec<String>,
    ) -> Result<HashMap<String, Profile>, DbErr> {
        // Lateral with a limit: one look by index for each subject, however many the planner expects.
        let sql = format!(
            "select w.subject, p.* from unnest($2::text[]) as w(subject) cross join lateral (
                {PROFILE} join identities i on i.user_id = u.id
                where i.provider = $1 and i.subject = w.subject limit 1
            ) p"
        );
        let rows = db
            .query_all_raw(statement(&sql, [provider.into(), subjects.into()]))
            .await?;
        rows.iter()
            .map(|row| {
                let subject = row.try_get("", "subject")?;
                Ok((subject, Profile::from_query_result(row, "")?))
            })
            .collect()
    }

    /// The user with this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_profile(
        db: &impl ConnectionTrait,
        id: Uuid,
    ) -> Result<Option<Profile>, DbErr> {
        let sql = format!("{PROFILE} where u.id = $1");
        Profile::find_by_statement(statement(&sql, [id.into()]))
            .one(db)
            .await
    }

    /// The user with this e-mail address or id, for operators.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_by_email_or_id(
        db: &impl ConnectionTrait,
        text: &str,
    ) -> Result<Option<Profile>, DbErr> {
        let sql = format!("{PROFILE} where u.email = lower($1) or u.id::text = lower($1)");
        Profile::find_by_statement(statement(&sql, [text.trim().into()]))
            .one(db)
            .await
    }

    /// Inserts the user unless its id or e-mail is taken; tells whether it is new.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert_if_new(
        db: &impl ConnectionTrait,
        user: &NewUser<'_>,
    ) -> Result<bool, DbErr> {
        let result = db
            .execute_raw(statement(
                "insert into users (id, email, display_name, avatar_url) values ($1, $2, $3, $4)
                 on conflict do nothing",
                [
                    user.id.into(),
                    user.email.into(),
                    user.display_name.map(ToOwned::to_owned).into(),
                    user.avatar_url.map(ToOwned::to_owned).into(),
                ],
            ))
            .await?;
        Ok(result.rows_affected() == 1)
    }

    /// Writes the given columns; `None` leaves a column as it is, `Some(None)` clears it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_profile(
        db: &impl ConnectionTrait,
        id: Uuid,
        display_name: Option<Option<String>>,
        profile_image_key: Option<Option<String>>,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update users set
                display_name = case when $2 then $3 else display_name end,
                profile_image_key = case when $4 then $5 else profile_image_key end,
                avatar_url = case when $4 then null else avatar_url end,
                updated_at = now()
             where id = $1",
            [
                id.into(),
                display_name.is_some().into(),
                Value::from(display_name.flatten()),
                profile_image_key.is_some().into(),
                Value::from(profile_image_key.flatten()),
            ],
        ))
        .await?;
        Ok(())
    }

    /// Gives a name to a user who has none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn name_if_unnamed(
        db: &impl ConnectionTrait,
        id: Uuid,
        display_name: &str,
    ) -> Result<(), DbErr> {
        db.execute_raw(statement(
            "update users set display_name = $2, updated_at = now()
             where id = $1 and display_name is null",
            [id.into(), display_name.into()],
        ))
        .await?;
        Ok(())
    }

    /// The user who has this (lower-case) address, unless the account was deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_id_by_email(
        db: &impl ConnectionTrait,
        email: &str,
    ) -> Result<Option<Uuid>, DbErr> {
        let row = db
            .query_one_raw(statement(
                "select id from users where email = $1 and anonymized_at is null",
                [email.into()],
            ))
            .await?;
        row.map(|row| row.try_get("", "id")).transpose()
    }

    /// Sets the role; tells whether the user exists.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_role(
        db: &impl ConnectionTrait,
        id: Uuid,
        role: UserRole,
    ) -> Result<bool, DbErr> {
        let result = db
            .execute_raw(statement(
                "update users set role = $2::user_role, updated_at = now() where id = $1",
                [id.into(), enum_text(&role).into()],
            ))
            .await?;
        Ok(result.rows_affected() == 1)
    }
}

/// What a new user is made of. The e-mail is trimmed and lower-case.
#[derive(Debug, Clone, Copy)]
pub struct NewUser<'a> {
    pub id: Uuid,
    pub email: &'a str,
    pub display_name: Option<&'a str>,
    pub avatar_url: Option<&'a str>,
}
