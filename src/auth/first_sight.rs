//! First sight of a user: the row, its identity, its credit accounts and one welcome grant, all in
//! one transaction and safe when many requests of a new user arrive at once (platform contract 2.4).

use sea_orm::{DatabaseConnection, DatabaseTransaction, prelude::Uuid};

use super::{AuthError, tokens::Claims};
use crate::{
    models::{
        begin, job_events,
        users::{self, NewUser, Profile},
    },
    payments::ledger,
};

/// Creates what belongs to a new user inside the caller's transaction; `false` when the id or the
/// e-mail is taken.
///
/// # Errors
/// When the database fails.
pub async fn create(
    txn: &DatabaseTransaction,
    user: &NewUser<'_>,
    provider: &str,
    welcome: i64,
) -> Result<bool, AuthError> {
    if !users::Entity::insert_if_new(txn, user).await? {
        return Ok(false);
    }
    users::Entity::insert_identity(txn, user.id, provider, &user.id.to_string()).await?;
    job_events::Entity::open_sequence(txn, user.id).await?;
    ledger::open_accounts(txn, user.id, welcome).await?;
    Ok(true)
}

/// The user of proven claims, made on first sight.
///
/// # Errors
/// [`AuthError::SessionInvalid`] when the e-mail belongs to another account.
pub async fn from_claims(
    db: &DatabaseConnection,
    claims: &Claims,
    provider: &str,
    welcome: i64,
) -> Result<Profile, AuthError> {
    let email = claims
        .email
        .as_deref()
        .map(|email| email.trim().to_lowercase())
        .filter(|email| !email.is_empty())
        .unwrap_or_else(|| format!("{}@supabase.local", claims.subject));
    let display_name = display_name(claims);
    let new = NewUser {
        id: claims.subject,
        email: &email,
        display_name: display_name.as_deref(),
        avatar_url: text(claims, "avatar_url"),
    };
    let txn = begin(db).await?;
    let is_new = create(&txn, &new, provider, welcome).await?;
    txn.commit().await?;
    if is_new {
        tracing::info!(user.id = %claims.subject, "a new user was seen for the first time");
    }
    find(db, provider, claims.subject).await
}

async fn find(
    db: &DatabaseConnection,
    provider: &str,
    subject: Uuid,
) -> Result<Profile, AuthError> {
    users::Entity::find_by_identity(db, provider, &subject.to_string())
        .await?
        .ok_or(AuthError::SessionInvalid)
}

/// `display_name`, else `full_name`, else the part of the e-mail before the `@`.
fn display_name(claims: &Claims) -> Option<String> {
    let local_part = || {
        let email = claims.email.as_deref()?.trim();
        let (local, _) = email.split_once('@')?;
        Some(local).filter(|local| !local.is_empty())
    };
    text(claims, "display_name")
        .or_else(|| text(claims, "full_name"))
        .or_else(local_part)
        .map(|name| name.chars().take(80).collect())
}

fn text<'a>(claims: &'a Claims, key: &str) -> Option<&'a str> {
    claims
        .user_metadata
        .get(key)
        .and_then(|value| value.as_str())
        .map(str::trim)
        .filter(|text| !text.is_empty())
}
