//! First sight of a user: the row, its identity, its credit accounts and one welcome grant, all in
//! one transaction and safe when many requests of a new user arrive at once (platform contract 2.4).

use sea_orm::{DatabaseConnection, DatabaseTransaction, SqlErr, prelude::Uuid};

use super::{
    AuthError,
    guard::Authenticated,
    identity::{Identity, Keeper, Sighting},
    linking,
    tokens::Claims,
};
use crate::{
    models::{
        begin, identities, job_events,
        users::{self, NewUser, Profile},
    },
    payments::ledger,
};

/// Longest name that is taken over, characters.
const NAME_MAX: usize = 80;

/// Creates what belongs to a new user inside the caller's transaction; `false` when the id or the
/// e-mail is taken.
///
/// # Errors
/// When the database fails.
pub async fn create(
    txn: &DatabaseTransaction,
    user: &NewUser<'_>,
    keeper: Keeper,
    welcome: i64,
) -> Result<bool, AuthError> {
    if !users::Entity::insert_if_new(txn, user).await? {
        return Ok(false);
    }
    identities::Entity::tie(txn, user.id, keeper.as_str(), &user.id.to_string()).await?;
    job_events::Entity::open_sequence(txn, user.id).await?;
    ledger::open_accounts(txn, user.id, welcome).await?;
    Ok(true)
}

/// The user of a proven token, made on first sight or found by its proven address.
///
/// # Errors
/// [`AuthError::SessionInvalid`] when the e-mail belongs to another account.
pub async fn of_token(
    db: &DatabaseConnection,
    identity: &dyn Identity,
    token: &str,
    claims: &Claims,
    welcome: i64,
) -> Result<Profile, AuthError> {
    let seen = identity.look_up(token, claims).await?;
    let keeper = identity.keeper();
    let email = seen
        .email
        .clone()
        .unwrap_or_else(|| placeholder(seen.subject));
    let display_name = display_name(&seen);
    let new = NewUser {
        id: seen.subject,
        email: &email,
        display_name: display_name.as_deref(),
        avatar_url: text(&seen, "avatar_url"),
    };
    let txn = begin(db).await?;
    let is_new = create(&txn, &new, keeper, welcome).await?;
    if !is_new {
        linking::attach(&txn, keeper, &seen, &new, welcome).await?;
    }
    txn.commit().await?;
    if is_new {
        tracing::info!(user.id = %seen.subject, "a new user was seen for the first time");
    }
    users::Entity::find_by_identity(db, keeper.as_str(), &seen.subject.to_string())
        .await?
        .ok_or(AuthError::SessionInvalid)
}

/// Takes over the address that the provider has for a known user, when the token names another one
/// than we do. An address that somebody else has here stays theirs.
///
/// # Errors
/// See [`Identity::look_up`].
pub async fn follow_address(
    db: &DatabaseConnection,
    identity: &dyn Identity,
    token: &str,
    known: Authenticated,
) -> Result<Profile, AuthError> {
    let Authenticated { profile, claims } = known;
    let named = claims
        .email
        .as_deref()
        .map(|email| email.trim().to_lowercase());
    // Our own accounts are changed where they are kept, and a token may be older than that.
    if identity.keeper() == Keeper::Local || named.is_none_or(|named| named == profile.email) {
        return Ok(profile);
    }
    let seen = match identity.look_up(token, &claims).await {
        Ok(seen) => seen,
        Err(AuthError::Unavailable(reason)) => {
            tracing::warn!(reason, "a changed address could not be looked up");
            return Ok(profile);
        }
        Err(AuthError::RateLimited { .. }) => return Ok(profile),
        Err(error) => return Err(error),
    };
    let Some(email) = seen.email.filter(|email| *email != profile.email) else {
        return Ok(profile);
    };
    let is_changed = match identities::Entity::change_email(db, profile.id, &email).await {
        // Somebody else got it at the same moment.
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
            false
        }
        outcome => outcome?,
    };
    if !is_changed {
        tracing::warn!(user.id = %profile.id, "a user's new address is another user's");
        return Ok(profile);
    }
    tracing::info!(user.id = %profile.id, "a user's address was changed at the identity provider");
    Ok(Profile { email, ..profile })
}

/// The address of who has none.
pub(super) fn placeholder(id: Uuid) -> String {
    format!("{id}@supabase.local")
}

/// `display_name`, else `full_name`, else the part of the e-mail before the `@`.
fn display_name(seen: &Sighting) -> Option<String> {
    let local_part = || {
        let (local, _) = seen.email.as_deref()?.split_once('@')?;
        Some(local).filter(|local| !local.is_empty())
    };
    text(seen, "display_name")
        .or_else(|| text(seen, "full_name"))
        .or_else(local_part)
        .map(|name| name.chars().take(NAME_MAX).collect())
}

fn text<'a>(seen: &'a Sighting, key: &str) -> Option<&'a str> {
    seen.user_metadata
        .get(key)
        .and_then(|value| value.as_str())
        .map(str::trim)
        .filter(|text| !text.is_empty())
}
